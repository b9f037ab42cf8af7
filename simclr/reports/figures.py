"""Figures: of a benchmark, and of what a classifier gets wrong."""

from collections.abc import Sequence

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from simclr.reports.mosaic import mosaic
from simclr.reports.results import SEED_SCRATCH, SEED_SIMCLR, Row, by_method
from simclr.reports.tables import summarise

mpl.rcParams.update(
    {"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 150, "font.size": 10}
)


def views_figure(originals: Tensor, views: Sequence[Tensor]) -> Figure:
    """Originals (N, C, H, W) in the first column, then a column for each batch of views."""
    return _grid(mosaic(torch.stack([originals, *views], dim=1)), 1 + len(views), "views")


def neighbours_figure(images: Tensor, frames: Tensor) -> Figure:
    """Each image of the first column, then its nearest neighbours; from `mosaic.neighbours`."""
    title = "nearest neighbours (frame: green if of the same class, else red)"
    return _grid(mosaic(images, frames), images.shape[1], title)


def _grid(picture: Tensor, columns: int, title: str) -> Figure:
    """An image (3, H, W) of that many columns, the first of which are originals."""
    _, height, width = picture.shape
    figure = Figure(figsize=(0.9 * columns, 0.9 * columns * height / width + 0.35))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - 0.35 / figure.get_figheight())
    axis = figure.subplots()
    axis.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
    for place, text in ((0.5, "image"), (1.1, title)):
        align = "center" if place < 1 else "left"
        axis.text(place * width / columns, -0.01 * width, text, ha=align, va="bottom")
    axis.set_axis_off()
    return figure


def mistakes_figure(
    images: Tensor, labels: Tensor, logits: Tensor, classes: Sequence[str], rows: int = 4
) -> Figure:
    """The misclassified images of which the classifier was most certain, the most certain first.

    Args:
        images: uint8 (N, C, H, W).
        labels: (N,).
        logits: (N, C).
        classes: a name for each class.
        rows: of ten images each, at most.
    """
    certainty, predicted = logits.softmax(1).max(1)
    wrong = (predicted != labels).nonzero().flatten()
    shown = wrong[certainty[wrong].argsort(descending=True)][: 10 * rows].tolist()
    lines = max(1, -(-len(shown) // 10))
    figure = Figure(figsize=(10, 1.5 * lines + 0.8), layout="constrained")
    figure.suptitle(
        f"{len(wrong)} of {len(labels)} images misclassified"
        + f", the {len(shown)} most certain mistakes" * (len(wrong) > len(shown))
    )
    axes = figure.subplots(lines, 10, squeeze=False).flatten()
    for axis in axes:
        axis.set_axis_off()
    for axis, index in zip(axes[: len(shown)], shown, strict=True):
        guess, truth = classes[int(predicted[index])], classes[int(labels[index])]
        picture = images[index].permute(1, 2, 0).squeeze(-1).numpy()
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(f"{guess}, not {truth}\n{certainty[index]:.0%}", fontsize=8)
    return figure


def accuracy_figure(rows: Sequence[Row], reference: bool) -> Figure:
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
            f"{summary.mean:.2f} %", (summary.mean, place), (0, 8), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip
    if reference:
        for value, height, name in (
            (SEED_SCRATCH, -0.75, "original, from scratch"),
            (SEED_SIMCLR, -0.5, "original, SimCLR"),
        ):
            axis.axvline(100 * value, ls=":", color="0.4", zorder=0)
            axis.annotate(
                name, (100 * value, height), (4, 0), textcoords="offset points",
                fontsize=8, color="0.4", bbox={"fc": "white", "ec": "none", "pad": 1},
            )  # fmt: skip
    axis.set(yticks=range(len(methods)), yticklabels=list(methods), ylim=(len(methods) - 0.4, -1))
    axis.set_xlabel("test accuracy, % (mean and 95 % interval; dots: each label draw)")
    return figure


def confusion_figure(confusion: Tensor, classes: Sequence[str]) -> Figure:
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
    axis.set(xlabel="predicted", ylabel="true", title="test images")
    axis.spines[:].set_visible(False)
    return figure


def embedding_figure(features: Tensor, labels: Tensor, classes: Sequence[str]) -> Figure:
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
    return figure


def history_figure(history: Sequence[tuple[float, float]], reference: bool) -> Figure:
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
    return figure
