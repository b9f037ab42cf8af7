"""How long pretraining takes until a linear classifier with 100 labels passes 98.5 %.

    python train.py -m methods=[linear_eval] seed=0,1,2,3,4 trainer.steps=425,850,1700
    python benchmarks/seconds.py outputs/SWEEP --json benchmarks/results/seconds.json

Each run goes to the end of its schedule. The accuracy of a seed is that of the validation images,
averaged over the label draws.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from measuring import markdown, options, write_report

GOAL = 0.985


def lengths(sweep: Path) -> list[dict[str, Any]]:
    """Seconds and accuracy of each seed, for each length of the first stage, the shortest first."""
    runs: dict[int, list[Mapping[str, Any]]] = {}
    for path in sorted(sweep.glob("*/results.json")):
        run = json.loads(path.read_text())
        runs.setdefault(run["config"]["trainer"]["steps"], []).append(run["metrics"])
    return [
        {
            "steps": steps,
            "seconds": [metrics["pretrain_seconds"] for metrics in own],
            "val_accuracy": [metrics["val_accuracy"] for metrics in own],
        }
        for steps, own in sorted(runs.items())
    ]


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """One line for each length."""
    lines = []
    for row in results:
        accuracies = row["val_accuracy"]
        passed = sum(accuracy >= GOAL for accuracy in accuracies)
        cells = [_spread(row["seconds"], ".1f"), _spread(accuracies, ".2%")]
        lines.append([f"`trainer.steps={row['steps']}`", *cells, f"{passed} of {len(accuracies)}"])
    header = ["length", "seconds, median (range)", "validation accuracy, median (range)"]
    return markdown([*header, f"seeds past {GOAL:.1%}"], lines)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("sweep", type=Path, help="output of the sweep")
    arguments = parser.parse_args()
    found = lengths(arguments.sweep)
    if arguments.json:
        write_report(arguments.json, results=found)
    print(table(found))
