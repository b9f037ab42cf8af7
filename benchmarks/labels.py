"""Accuracy of a linear classifier on a frozen encoder against the number of labels.

    python benchmarks/labels.py --json labels.json --figure labels.png FOLDER... data.root=data

FOLDER is the output of a pretraining, one per seed. The penalty is chosen for each number of labels
on the validation images; the test images are scored with it alone.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from loops import configured
from matplotlib.figure import Figure
from measuring import markdown, write_report

from simclr.data.images import LabelledImages
from simclr.data.splits import Splits, load_splits
from simclr.evaluation.probe import FeatureNorm, fitted_accuracy, knn_accuracy
from simclr.models.batch_norm import SAMPLE
from simclr.models.classifier import extract_features
from simclr.models.weights import load_encoder
from simclr.reports.results import SEED_SCRATCH, SEED_SIMCLR
from simclr.reports.tables import Summary, summarise

PER_CLASS = (1, 2, 5, 10, 50, 100)
PENALTIES = (1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6)


def parts(encoder: Path, splits: Splits) -> tuple[LabelledImages, LabelledImages, LabelledImages]:
    """Normalised representations of the training, validation and test images."""
    network = load_encoder(encoder)
    train, *scored = (
        LabelledImages(extract_features(network, part.images), part.labels)
        for part in (splits.train, splits.val, splits.test)
        if part is not None
    )
    norm = FeatureNorm.of(train.images[:SAMPLE])
    val, test = (LabelledImages(norm(part.images), part.labels) for part in scored)
    return LabelledImages(norm(train.images), train.labels), val, test


def measure(folders: Sequence[Path], splits: Splits, draws: int) -> list[dict[str, Any]]:
    """A row for each number of labels per class, None being all."""
    encoders = [parts(folder / "encoder.safetensors", splits) for folder in folders]
    as_it_is = FeatureNorm(torch.zeros(1), torch.ones(1))
    rows: list[dict[str, Any]] = []
    most = int(splits.train.labels.bincount().min())
    for per_class in (*(count for count in PER_CLASS if count < most), None):
        chosen = (
            [torch.arange(len(splits.train.labels))]
            if per_class is None
            else [splits.draw(per_class, seed) for seed in range(draws)]
        )

        def accuracies(part: int, l2: float, chosen: list[torch.Tensor] = chosen) -> list[float]:
            return [
                fitted_accuracy(as_it_is, one[0].select(indices), one[part], l2)
                for one in encoders
                for indices in chosen
            ]

        found = {l2: summarise(accuracies(1, l2)) for l2 in PENALTIES}
        l2 = max(found, key=lambda l2: found[l2].mean)
        row: dict[str, Any] = {"per_class": per_class, "l2": l2, "val": asdict(found[l2])}
        row["test"] = asdict(summarise(accuracies(2, l2)))
        if per_class is None:
            row["neighbours"] = asdict(
                summarise([knn_accuracy(one[0], one[2]) for one in encoders])
            )
        print(row, flush=True)
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each number of labels."""

    def cells(name: str, row: dict[str, Any], part: str) -> list[str]:
        summary = Summary(**row[part])
        low, high = summary.ci95 or (summary.mean, summary.mean)
        interval = f"{low:.2%} to {high:.2%}"
        return [name, f"{summary.mean:.2%}", f"{summary.sd or 0:.2%}", str(summary.n), interval]

    lines = [cells(str(row["per_class"] or "all"), row, "test") for row in rows]
    lines.append(cells("all, nearest neighbours", rows[-1], "neighbours"))
    return markdown(["labels per class", "test accuracy", "sd", "n", "95 % interval"], lines)


def figure(rows: Sequence[dict[str, Any]], images: int) -> Figure:
    """Accuracy against number of labels, on a logarithmic scale, with the original project's."""
    counts = [10 * row["per_class"] if row["per_class"] else images for row in rows]
    drawn = Figure(figsize=(6.4, 4), layout="constrained", dpi=150)
    axis = drawn.subplots()
    means = [100 * row["test"]["mean"] for row in rows]
    intervals = [row["test"]["ci95"] or [row["test"]["mean"]] * 2 for row in rows]
    around = [
        [m - 100 * low for m, (low, _) in zip(means, intervals, strict=True)],
        [100 * high - m for m, (_, high) in zip(means, intervals, strict=True)],
    ]
    axis.errorbar(counts, means, yerr=around, fmt="o-", capsize=4, label="linear, frozen encoder")
    for value, name in ((SEED_SIMCLR, "original, SimCLR"), (SEED_SCRATCH, "original, CNN")):
        axis.plot(100, 100 * value, "x", color="0.4")
        axis.annotate(f" {name}", (100, 100 * value), fontsize=8, color="0.4", va="center")
    for count, mean in zip(counts, means, strict=True):
        axis.text(count, mean + 0.5, f"{mean:.1f}", ha="center", fontsize=8)
    axis.set(xscale="log", xlabel="labels", ylabel="test accuracy, % (mean and 95 % interval)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower right")
    return drawn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="raw results")
    parser.add_argument("--figure", type=Path, help="a picture of them")
    parser.add_argument("--draws", type=int, default=20, help="label draws of each number")
    arguments, rest = parser.parse_known_args()
    folders = [Path(one) for one in rest if "=" not in one]
    splits = load_splits(configured([one for one in rest if "=" in one]).data)
    rows = measure(folders, splits, arguments.draws)
    write_report(arguments.json, results=rows)
    if arguments.figure:
        figure(rows, len(splits.train.labels)).savefig(arguments.figure)
    print(table(rows))
