"""One change at a time: the jobs of `train.py -m experiment=ablation` as a table and a figure.

    python benchmarks/ablation.py FOLDER --figure ablation.png

Validation accuracies, which settings are chosen by; the test images are left alone.
"""

import argparse
from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure
from measuring import markdown

from simclr.reports.gather import compare, gather
from simclr.reports.tables import Summary, summary_cells

Rows = list[tuple[str, Summary]]


def rows(folder: Path) -> Rows:
    """What each job changes, and its accuracy over seeds and draws, best first."""
    samples, _ = gather([folder])
    found = compare(samples, "val_accuracy")
    columns = zip(*(values for values, _ in found.groups), strict=True)
    usual = [Counter(column).most_common(1)[0][0] for column in columns]
    return [
        (
            ", ".join(
                f"{key}={value}"
                for key, value, common in zip(found.keys, values, usual, strict=True)
                if value != common
            ),
            summary,
        )
        for values, summary in found.groups
    ]


def table(folder: Path) -> str:
    """One line for each change."""
    lines = [
        [f"`{change}`" if change else "none", *summary_cells(summary, ".2%")]
        for change, summary in rows(folder)
    ]
    return markdown(["change", "validation accuracy", "sd", "n", "95 % interval"], lines)


def _name(change: str) -> str:
    return change.replace(", ", "\n") or "the default"


def figure(found: Rows) -> Figure:
    """Mean and 95 % interval of each change."""
    drawn = Figure(figsize=(6.4, 0.4 * len(found) + 1), layout="constrained", dpi=150)
    axis = drawn.subplots()
    for place, (change, summary) in enumerate(found):
        low, high = summary.ci95 or (summary.mean, summary.mean)
        around = [[100 * (summary.mean - low)], [100 * (high - summary.mean)]]
        colour = "C0" if change else "C1"
        axis.errorbar(100 * summary.mean, place, xerr=around, fmt="o", capsize=4, color=colour)
    axis.set_yticks(range(len(found)), [_name(change) for change, _ in found], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("validation accuracy, %: mean and 95 % interval")
    axis.spines[["top", "right"]].set_visible(False)
    return drawn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="output of the sweep")
    parser.add_argument("--figure", type=Path, help="a picture of it")
    arguments = parser.parse_args()
    if arguments.figure:
        figure(rows(arguments.folder)).savefig(arguments.figure)
    print(table(arguments.folder))
