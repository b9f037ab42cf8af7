"""Write the tables of README.md anew from the raw results: `python benchmarks/tables.py`.

What results/NAME.json holds becomes the table between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nt_xent
import startup
import throughput

HERE = Path(__file__).parent
TABLES: dict[str, Callable[[Any], str]] = {
    "throughput": throughput.compared_table,
    "scaling": throughput.scaling_table,
    "startup": startup.table,
    "nt_xent": nt_xent.table,
}


def section(name: str) -> str:
    """A table, and what it was measured on."""
    path = HERE / "results" / f"{name}.json"
    if not path.exists():
        return "Not measured yet."
    report = json.loads(path.read_text())
    machine, versions = report["machine"], report["versions"]
    line = (
        f"{machine['cpu']}, {machine['threads']} threads, {machine['capability']}, load at the end "
        f"{machine['load']:.1f}; " + ", ".join(" ".join(item) for item in versions.items())
    )
    return f"{TABLES[name](report['results'])}\n\n{line} ([raw]({path.relative_to(HERE)}))"


def renewed(text: str) -> str:
    """The text with all its tables as the raw results have them."""
    for name in TABLES:
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{section(name)}\n{end}{after}"
    return text


if __name__ == "__main__":
    readme = HERE / "README.md"
    readme.write_text(renewed(readme.read_text()))
