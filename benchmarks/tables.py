"""Write the tables of the documents anew from the raw results: `python benchmarks/tables.py`.

What results/NAME or results/NAME.json holds becomes the table between `<!-- NAME -->` and
`<!-- /NAME -->`, wherever that stands.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ablation
import choosing
import labels
import nt_xent
import own_images
import photos
import startup
import throughput

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = (
    ROOT / "README.md",
    HERE / "README.md",
    ROOT / "docs" / "RESULTS.md",
    ROOT / "docs" / "OWN_IMAGES.md",
    ROOT / "docs" / "CHOOSING_LABELS.md",
)
TABLES: dict[str, Callable[[Any], str]] = {
    "throughput": throughput.compared_table,
    "scaling": throughput.scaling_table,
    "startup": startup.table,
    "nt_xent": nt_xent.table,
    "labels": labels.table,
    "photos": photos.table,
    "choosing/mnist": choosing.table,
    "choosing/photos": choosing.table,
}
FOLDERS: dict[str, Callable[[Path], str]] = {
    "default": lambda folder: (folder / "README.md").read_text().strip(),
    "record": lambda folder: (folder / "README.md").read_text().strip(),
    "ablation": ablation.table,
    "kinds": lambda _: own_images.kinds_table(own_images.FOLDER),
    "sizes": lambda _: own_images.sizes_table(own_images.FOLDER),
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
