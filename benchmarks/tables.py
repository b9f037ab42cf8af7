"""Write the tables of the documents anew from the raw results: `python benchmarks/tables.py`.

What results/NAME or results/NAME.json holds becomes the table between `<!-- NAME -->` and
`<!-- /NAME -->`, wherever that stands.
"""

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ablation
import busy
import choosing
import folder
import kinds
import labels
import neighbours
import nt_xent
import paired
import photos
import seconds
import startup
import throughput

from simclr.reports.results import Row, table

HERE = Path(__file__).parent
ROOT = HERE.parent
RECORD = HERE / "results" / "record"
PAGES = (
    ROOT / "README.md",
    HERE / "README.md",
    ROOT / "docs" / "RESULTS.md",
    ROOT / "docs" / "OWN_IMAGES.md",
    ROOT / "docs" / "CHOOSING_LABELS.md",
)
PLAIN = "linear_eval, plain SimCLR"


def main_table(folder: Path) -> str:
    """README's table, with the linear classifier of plain SimCLR, which has no second stage."""
    plain = [row for row in _rows(kinds.FOLDER / "plain") if row.method == "linear_eval"]
    rows = _rows(folder)
    ours = [row for row in rows if row.method == "linear_eval"]
    others = [row for row in rows if row.method != "linear_eval"]
    both = table([*ours, *(replace(row, method=PLAIN) for row in plain), *others])
    return run_table(folder).replace(table(rows), both)


def run_table(folder: Path) -> str:
    """The table that a run wrote itself."""
    return (folder / "README.md").read_text().strip()


def _rows(folder: Path) -> list[Row]:
    with (folder / "results.csv").open(newline="") as file:
        return [_row(fields) for fields in csv.DictReader(file)]


def _row(fields: dict[str, str]) -> Row:
    return Row(
        method=fields["method"],
        pretrain_seed=int(fields["pretrain_seed"]),
        label_seed=int(fields["label_seed"]),
        test_accuracy=float(fields["test_accuracy"]),
        val_accuracy=None,
        seconds=float(fields["seconds"]),
        labels_sha256=fields["labels_sha256"],
    )


TABLES: dict[str, Callable[[Any], str]] = {
    "throughput": throughput.compared_table,
    "scaling": throughput.scaling_table,
    "busy": busy.table,
    "startup": startup.table,
    "neighbours": neighbours.table,
    "folder": folder.table,
    "nt_xent": nt_xent.table,
    "seconds": seconds.table,
    "labels": labels.table,
    "photos": photos.table,
    "choosing/mnist": choosing.table,
    "choosing/photos": choosing.table,
}
FOLDERS: dict[str, Callable[[Path], str]] = {
    "default": main_table,
    "record": run_table,
    "without_student": run_table,
    "self_train": run_table,
    "student": lambda _: paired.table(RECORD, HERE / "results" / "without_student"),
    "ablation": ablation.table,
    "kinds": lambda _: kinds.kinds_table(kinds.FOLDER),
    "sizes": lambda _: kinds.sizes_table(kinds.FOLDER),
}


def section(name: str, page: Path) -> str:
    """A table, and what it was measured on."""
    if name in FOLDERS:
        return FOLDERS[name](HERE / "results" / name)
    path = HERE / "results" / f"{name}.json"
    report = json.loads(path.read_text())
    machine, versions = report["machine"], report["versions"]
    line = (
        f"{machine['cpu']}, {machine['threads']} threads, {machine['capability']}, load at the end "
        f"{machine['load']:.1f}; " + ", ".join(" ".join(item) for item in versions.items())
    )
    return (
        f"{TABLES[name](report['results'])}\n\n{line} ([raw]({os.path.relpath(path, page.parent)}))"
    )


def renewed(page: Path) -> str:
    """The text of a page, with all its tables as the raw results have them."""
    text = page.read_text()
    for name in (*TABLES, *FOLDERS):
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            before, _, rest = text.partition(start)
            _, _, after = rest.partition(end)
            text = f"{before}{start}\n{section(name, page)}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page))
