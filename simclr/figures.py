"""The pictures of a benchmark."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from simclr.results import SEED_SCRATCH, SEED_SIMCLR, Row, by_method
from simclr.tables import summarise

mpl.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 150, "font.size": 10}
)


def views_figure(originals: Tensor, views: Sequence[Tensor], path: Path) -> None:
    """Originals (N, C, H, W) in the first column, then a column for each batch of views."""
    grid = F.pad(torch.stack([originals, *views], dim=1), (1, 1, 1, 1), value=1.0)
    rows, columns, channels, height, width = grid.shape
    mosaic = grid.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    figure = Figure(figsize=(0.9 * columns, 0.9 * rows + 0.4), layout="constrained")
    axis = figure.subplots()
    axis.imshow(mosaic.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(yticks=[], xticks=[(column + 0.5) * width for column in range(columns)])
    axis.set_xticklabels(["original", "views", *[""] * (columns - 2)])
    axis.tick_params(length=0, top=True, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    figure.savefig(path)


def accuracy_figure(rows: Sequence[Row], path: Path, reference: bool) -> None:
    """Mean test accuracy of each method with its 95 % interval, and every classifier as a dot.

    `reference` adds the original project's accuracies, which are of MNIST.
    """
    methods = by_method(rows)
    figure = Figure(figsize=(6.4, 0.7 * len(methods) + 1.6), layout="constrained")
    axis = figure.subplots()
    for place, own in enumerate(methods.values()):
        accuracies = [100 * row.test_accuracy for row in own]
        summary = summarise(accuracies)
        low, high = summary.ci95 or (summary.mean, summary.mean)
        axis.plot(accuracies, [place + 0.22] * len(own), "o", color="0.6", ms=3)
        axis.errorbar(
            summary.mean,
            place,
            xerr=[[summary.mean - low], [high - summary.mean]],
            fmt="o",
            capsize=4,
            color=f"C{place}",
        )
        axis.annotate(
            f"{summary.mean:.1f} %", (summary.mean, place), (0, 8), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip
    if reference:
        for value, name in (
            (SEED_SCRATCH, "original, from scratch"),
            (SEED_SIMCLR, "original, SimCLR"),
        ):
            axis.axvline(100 * value, ls=":", color="0.4", zorder=0)
            axis.text(
                100 * value, -0.75, f"{name} ", rotation=0, ha="right", fontsize=8, color="0.4"
            )
    axis.set(yticks=range(len(methods)), yticklabels=list(methods), ylim=(len(methods) - 0.4, -1))
    axis.set_xlabel("test accuracy, % (mean and 95 % interval; dots: each label draw)")
    figure.savefig(path)


def confusion_figure(confusion: Tensor, classes: Sequence[str], path: Path) -> None:
    """Counts (true class, predicted class), mistakes shaded by their share of the true class."""
    figure = Figure(
        figsize=(0.45 * len(classes) + 2, 0.45 * len(classes) + 1.6), layout="constrained"
    )
    axis = figure.subplots()
    mistakes = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    mistakes.fill_diagonal_(0)
    axis.imshow(mistakes.numpy(), cmap="Reds", vmin=0)
    for true, counts in enumerate(confusion.tolist()):
        for predicted, count in enumerate(counts):
            if count:
                weight = "bold" if true == predicted else "normal"
                colour = "white" if mistakes[true, predicted] > mistakes.max() / 2 else "black"
                axis.text(
                    predicted,
                    true,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=7,
                    weight=weight,
                    color=colour,
                )
    places = range(len(classes))
    axis.set(xticks=places, yticks=places, xticklabels=classes, yticklabels=classes)
    axis.set(xlabel="predicted", ylabel="true", title="linear evaluation, test images")
    axis.spines[:].set_visible(False)
    figure.savefig(path)


def embedding_figure(features: Tensor, labels: Tensor, classes: Sequence[str], path: Path) -> None:
    """A t-SNE map of features (N, D), coloured by their labels (N,)."""
    from sklearn.manifold import TSNE

    points = TSNE(
        perplexity=min(30, (len(features) - 1) / 3), init="pca", max_iter=500, random_state=0
    ).fit_transform(features.numpy())
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axis = figure.subplots()
    shown = axis.scatter(
        points[:, 0], points[:, 1], c=labels.tolist(), s=5,
        cmap="tab10" if len(classes) <= 10 else "nipy_spectral",
    )  # fmt: skip
    handles, _ = shown.legend_elements(num=list(range(len(classes))))
    axis.legend(handles, classes, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axis.set(xticks=[], yticks=[], title=f"{len(points)} test images, t-SNE of the representation")
    axis.spines[:].set_visible(False)
    figure.savefig(path)


def history_figure(history: Sequence[tuple[float, float]], path: Path, reference: bool) -> None:
    """Probe accuracy on validation images against seconds of pretraining.

    `reference` adds the original project's accuracy, which is of MNIST.
    """
    seconds, accuracies = zip(*history, strict=True)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.plot(seconds, [100 * accuracy for accuracy in accuracies], "o-", ms=3)
    if reference:
        axis.axhline(100 * SEED_SIMCLR, ls=":", color="0.4")
        axis.text(
            seconds[-1], 100 * SEED_SIMCLR, "original, 100 epochs", ha="right", va="top", fontsize=8
        )
    axis.set(xlabel="seconds of pretraining", ylabel="linear probe, validation accuracy, %")
    figure.savefig(path)
