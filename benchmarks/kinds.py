"""The tables and the figure of docs/OWN_IMAGES.md, from runs of train.py in results/own_images.

python benchmarks/kinds.py RUN...  # copies what is committed of each run's output folder
"""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measuring import markdown

FOLDER = Path(__file__).parent / "results" / "own_images"
KEPT = ("README.md", "results.csv", "results.json", "summary.json")
CURVES = "curves.csv"
KINDS = {
    "photos": "20 000 photos (CIFAR-10)",
    "photos_2000": "2 000 of them",
    "bare_2000": "the same, without `experiment=photos`",
    "letters": "11 000 letters, 26 classes",
    "fashion": "55 000 clothes (Fashion-MNIST)",
    "long_tail": "digits, classes of 5 500 down to 280",
    "plain": "MNIST, plain SimCLR",
}
METHODS = ("linear_eval", "finetune", "label_spread", "self_train", "supervised", "pixels")
SIZES = (500, 1_000, 2_000, 5_000, 10_000)
GOOD, BAD = "photos_2000", "bare_2000"  # runs whose curves are compared


def keep(run: Path) -> None:
    """Copy the results and curves of a finished run."""
    own = FOLDER / run.name
    own.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy(run / name, own / name)
    if run.name in (GOOD, BAD):
        shutil.copy(run / "csv" / "metrics.csv", own / CURVES)


def kinds_table(folder: Path) -> str:
    """One line for each kind of images that was tried: test accuracy of each method."""
    lines = []
    for name, what in KINDS.items():
        summary, result = _read(folder / name)
        methods = summary["methods"]
        cells = [f"{methods[one]['mean']:.1%}" if one in methods else "" for one in METHODS]
        lines.append([what, *cells, _minutes(result)])
    return markdown(["images", *METHODS, "minutes"], lines)


def sizes_table(folder: Path) -> str:
    """One line for each number of MNIST's images: test accuracy of the linear classifier."""
    lines = []
    for images in SIZES:
        summary, result = _read(folder / f"mnist_{images}")
        found = summary["methods"]["linear_eval"]
        low, high = found["ci95"]
        interval = f"{low:.2%} to {high:.2%}"
        lines.append([f"{images}", f"{found['mean']:.2%}", interval, _minutes(result)])
    return markdown(["images in all", "linear_eval", "95 % interval", "minutes"], lines)


def curves(folder: Path) -> Figure:
    """A pretraining that goes well beside one that does not: two curves of each."""
    drawn = Figure(figsize=(8, 3.2), layout="constrained", dpi=150)
    left, right = drawn.subplots(1, 2)
    for name, colour in ((GOOD, "#0072b2"), (BAD, "#d55e00")):
        rows = list(csv.DictReader((folder / name / CURVES).open()))
        label = "experiment=photos" if name == GOOD else "settings for digits"
        _draw(left, rows, "training/contrastive_accuracy", colour, label)
        _draw(right, rows, "probe/linear_accuracy", colour, label)
    left.set(ylabel="contrastive accuracy, %", ylim=(0, 100))
    right.set(ylabel="linear probe, validation, %", ylim=(0, None))
    right.legend(frameon=False, loc="lower right")
    return drawn


def _draw(axis: Axes, rows: list[dict[str, str]], name: str, colour: str, label: str) -> None:
    found = [(int(row["step"]), 100 * float(row[name])) for row in rows if row.get(name)]
    axis.plot(*zip(*found, strict=True), color=colour, label=label)
    axis.set(xlabel="step")
    axis.spines[["top", "right"]].set_visible(False)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    names = ("summary.json", "results.json")
    summary, result = (json.loads((folder / name).read_text()) for name in names)
    return summary, result


def _minutes(result: dict[str, Any]) -> str:
    return f"{result['timing']['fit_seconds'] / 60:.1f}"


if __name__ == "__main__":
    for run in sys.argv[1:]:
        keep(Path(run))
    curves(FOLDER).savefig(FOLDER / "curves.png")
