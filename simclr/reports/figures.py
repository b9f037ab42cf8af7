"""Figures: of a benchmark, and of what a classifier gets wrong."""

from collections.abc import Container, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib as mpl
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from simclr.reports.mosaic import in_colour, mosaic, shown_name
from simclr.reports.results import SEED_SCRATCH, SEED_SIMCLR, Probed, Row, by_method, summary_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

mpl.rcParams.update(
    {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 150,
        "font.size": 10,
        "text.parse_math": False,  # a class may be called $5_to_$10
    }
)

MOST_CLASSES = 30  # with a name of their own on a figure
LARGEST = 18.0  # inches, in each direction
FEW = 10  # different images, which t-SNE makes nothing of
COLOURS = (  # Okabe and Ito's, which the colour-blind tell apart
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#b8a800"),
)
MARKERS = "o^sDvP*X<>p"  # as many as to make each pair of colour and marker differ


def views_figure(originals: Tensor, views: Sequence[Tensor]) -> Figure:
    """Originals (N, C, H, W) in the first column, then a column for each batch of views."""
    return _grid(mosaic(torch.stack([originals, *views], dim=1)), 1 + len(views), "views")


def neighbours_figure(images: Tensor, frames: Tensor, dashed: Tensor) -> Figure:
    """Each image of the first column, then its nearest neighbours; from `mosaic.neighbours`."""
    title = "nearest neighbours (blue frame: of the same class; orange and dashed: of another)"
    return _grid(mosaic(images, frames, dashed), images.shape[1], title)


def _grid(picture: Tensor, columns: int, title: str) -> Figure:
    """An image (3, H, W) of that many columns, the first of which are originals."""
    _, height, width = picture.shape
    tall = min(0.9 * columns * height / width, LARGEST)
    figure = Figure(figsize=(0.9 * columns, tall + 0.35))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=tall / (tall + 0.35))
    axis = figure.subplots()
    axis.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
    for place, text in ((0.5, "image"), (1.1, title)):
        align = "center" if place < 1 else "left"
        axis.text(
            place / columns, 1 + 0.07 / tall, text, ha=align, va="bottom", transform=axis.transAxes
        )
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
    figure = Figure(figsize=(11, 1.6 * lines + 0.8), layout="constrained")
    figure.suptitle(
        f"{len(wrong)} of {len(labels)} images misclassified"
        + f", the {len(shown)} most certain mistakes" * (len(wrong) > len(shown))
    )
    axes = figure.subplots(lines, 10, squeeze=False).flatten()
    for axis in axes:
        axis.set_axis_off()
    for axis, index in zip(axes[: len(shown)], shown, strict=True):
        guess, truth = (shown_name(classes[int(of[index])], 14) for of in (predicted, labels))
        axis.imshow(in_colour(images[index]).permute(1, 2, 0).numpy(), interpolation="nearest")
        apart = ", " if len(guess + truth) < 6 else "\n"
        axis.set_title(f"{guess}{apart}not {truth}\n{certainty[index]:.0%}", fontsize=8)
    return figure


def accuracy_figure(rows: Sequence[Row], reference: bool) -> Figure:
    """Mean test accuracy of each method with its 95 % interval, and every classifier as a dot.

    The interval is that of the table. Methods that lie close to the best one among others that do
    not are shown a second time on the right, on an axis of their own.

    `reference` adds the original project's accuracies, which are of MNIST.
    """
    methods = by_method(rows)
    references = [
        (100 * value, name)
        for value, name in (
            (SEED_SCRATCH, "original, from scratch"),
            (SEED_SIMCLR, "original, SimCLR"),
        )
        if reference
    ]
    close = _close_to_best(methods, [value for value, _ in references])
    figure = Figure(
        figsize=(11.2 if close else 6.4, 0.7 * len(methods) + 1.6), layout="constrained"
    )
    axis, *zoomed = figure.subplots(1, 2 if close else 1, squeeze=False)[0]
    _draw_accuracies(axis, methods, set(methods) - close)
    for height, (value, name) in zip((-0.75, -0.5), references, strict=False):
        axis.axvline(value, ls=":", color="0.4", zorder=0)
        axis.annotate(
            name, (value, height), (4, 0), textcoords="offset points",
            fontsize=8, color="0.4", bbox={"fc": "white", "ec": "none", "pad": 1},
        )  # fmt: skip
    axis.set_xlabel("test accuracy, % (mean and 95 % interval; dots: each label draw)")
    for right in zoomed:
        _draw_accuracies(
            right, {name: own for name, own in methods.items() if name in close}, close
        )
        right.set_xlabel("the same, enlarged")
    return figure


def _close_to_best(methods: Mapping[str, Sequence[Row]], others: Sequence[float]) -> set[str]:
    """The methods within a tenth of the whole range of the best; empty if they are all or one."""
    means = {name: 100 * summary_of(own).mean for name, own in methods.items()}
    everything = [*means.values(), *others]
    reach = (max(everything) - min(everything)) / 10
    close = {name for name, mean in means.items() if mean >= max(means.values()) - reach}
    return close if 1 < len(close) < len(everything) else set()


def _draw_accuracies(
    axis: "Axes", methods: Mapping[str, Sequence[Row]], with_numbers: Container[str]
) -> None:
    """A line for each method; the means of some are written beside them."""
    for place, (name, own) in enumerate(methods.items()):
        accuracies = [100 * row.test_accuracy for row in own]
        summary = summary_of(own)
        mean = 100 * summary.mean
        low, high = (100 * end for end in summary.ci95 or (summary.mean, summary.mean))
        axis.plot(accuracies, [place + 0.22] * len(own), "o", color="0.6", ms=3)
        axis.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], fmt="o", capsize=4, color=COLOURS[0]
        )
        if name in with_numbers:
            axis.annotate(
                f"{mean:.2f} %", (mean, place), (0, 8), textcoords="offset points",
                ha="center", fontsize=9,
            )  # fmt: skip
    axis.set(yticks=range(len(methods)), yticklabels=list(methods), ylim=(len(methods) - 0.4, -1))


def confusion_figure(confusion: Tensor, classes: Sequence[str]) -> Figure:
    """Counts (true class, predicted class), mistakes shaded by their share of the true class.

    Of more than `MOST_CLASSES` classes those are shown of which most images were mistaken.
    """
    wrong = confusion - confusion.diag().diag()
    worst = (wrong.sum(0) + wrong.sum(1)).argsort(descending=True, stable=True)
    shown = worst[:MOST_CLASSES].sort().values
    names = [shown_name(classes[index]) for index in shown.tolist()]
    shares = wrong / confusion.sum(1, keepdim=True).clamp(min=1)
    mistakes, counts = shares[shown][:, shown], confusion[shown][:, shown]
    size, longest = 0.45 * len(names), max(map(len, names))
    extra = 2 + 0.09 * longest
    figure = Figure(figsize=(size + extra, size + extra - 0.4), layout="constrained")
    axis = figure.subplots()
    axis.imshow(mistakes.numpy(), cmap="Reds", vmin=0)
    for true, predicted in counts.nonzero().tolist():
        axis.text(
            predicted,
            true,
            str(int(counts[true, predicted])),
            ha="center",
            va="center",
            fontsize=7,
            weight="bold" if true == predicted else "normal",
            color="white" if mistakes[true, predicted] > mistakes.max() / 2 else "black",
        )
    places = range(len(names))
    axis.set(xticks=places, yticks=places, xlabel="predicted", ylabel="true")
    axis.set_xticklabels(names, rotation=90 if longest > 3 else 0)
    axis.set_yticklabels(names)
    most = f", the {len(names)} most confused of {len(classes)} classes"
    axis.set_title("test images" + most * (len(names) < len(classes)))
    axis.spines[:].set_visible(False)
    return figure


def reliability_figure(number: Tensor, confidence: Tensor, accuracy: Tensor) -> Figure:
    """Accuracy against confidence, and how many test images have it.

    Args:
        number: images in each bin of confidence, (BINS,).
        confidence: their mean confidence.
        accuracy: the share of them that is right.
    """
    figure = Figure(figsize=(5.4, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    some = number > 0
    error = float((number / number.sum() * (confidence - accuracy).abs()).sum())
    upper.plot([0, 100], [0, 100], ":", color="0.4", label="as confident as right")
    upper.plot(
        100 * confidence[some],
        100 * accuracy[some],
        "o-",
        color=COLOURS[0],
        label="this classifier",
    )
    upper.set(ylabel="accuracy, %", title=f"expected calibration error {100 * error:.1f} points")
    upper.legend(frameon=False, loc="upper left")
    edges = torch.arange(len(number)) * (100 / len(number))
    lower.bar(
        edges.numpy(),
        number.numpy(),
        width=100 / len(number),
        align="edge",
        color=COLOURS[0],
        ec="white",
    )
    lower.set_yscale("symlog")
    lower.yaxis.set_major_formatter("{x:.0f}")
    lower.set(
        xlabel="confidence, % (15 bins)",
        ylabel="images",
        xlim=(0, 100),
        ylim=(0, None),
    )
    return figure


def embedding_figure(features: Tensor, labels: Tensor, classes: Sequence[str]) -> Figure:
    """A t-SNE map of features (N, D), a colour and a marker for each label of (N,).

    Of more than `MOST_CLASSES` classes those have them of which most images are on the map.
    """
    points = map_of(features)
    number = labels.bincount(minlength=len(classes))
    named = number.argsort(descending=True, stable=True)[:MOST_CLASSES].sort().values.tolist()
    figure = Figure(figsize=(7.5, 5.4), layout="constrained")
    axis = figure.subplots()
    others = points[~torch.isin(labels, torch.tensor(named))]
    if len(others):
        name = f"{len(classes) - len(named)} others"
        axis.scatter(others[:, 0], others[:, 1], s=6, color="0.8", label=name)
    for place, index in enumerate(named):
        own = points[labels == index]
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        axis.scatter(
            own[:, 0], own[:, 1], s=14, color=colour, marker=marker, linewidths=0,
            label=f"\u2060{shown_name(classes[index])}",
        )  # fmt: skip
    axis.legend(
        loc="center left", bbox_to_anchor=(1, 0.5), frameon=False,
        ncols=1 + len(axis.collections) // 16, fontsize=8, markerscale=1.5,
    )  # fmt: skip
    axis.set(xticks=[], yticks=[], title=f"{len(points)} test images, t-SNE of the representation")
    axis.spines[:].set_visible(False)
    return figure


def map_of(features: Tensor) -> Tensor:
    """Places (N, 2) of features (N, D): by t-SNE, or where few differ, by principal components.

    Raises:
        ValueError: if the features are not finite.
    """
    if not bool(features.isfinite().all()):
        raise ValueError("features that are not finite")
    centred = features.double() - features.double().mean(0)
    largest = centred.abs().max()
    if largest <= 1e-6 * features.abs().max():
        return torch.zeros(len(features), 2)
    rounded = (centred / largest * 1e6).round() / 1e6
    different, place = rounded.unique(dim=0, return_inverse=True)  # equal ones crash t-SNE
    if len(different) < FEW:
        _, _, directions = torch.pca_lowrank(different, q=min(2, *different.shape))
        places = F.pad(different @ directions, (0, 2))[:, :2]
    else:
        from sklearn.manifold import TSNE

        perplexity = min(30, (len(different) - 1) / 3)
        start = F.pad(different, (0, 1)) if different.shape[1] == 1 else different
        tsne = TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=0)
        places = torch.from_numpy(tsne.fit_transform(start.float().numpy()))
    return places[place].float()


def history_figure(history: Sequence[Probed], reference: bool) -> Figure:
    """Probe accuracy on validation images against seconds of pretraining, over all its stages.

    `reference` adds the original project's accuracy, which is of MNIST.
    """
    accuracies = [100 * one.accuracy for one in history]
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.plot([one.seconds for one in history], accuracies, "o-", ms=3, color=COLOURS[0])
    for before, after in pairwise(history):
        if after.stage != before.stage:
            axis.axvline(before.seconds, ls="--", color=COLOURS[5])
            axis.annotate(
                f" {after.stage}", (before.seconds, 0.02), xycoords=("data", "axes fraction"),
                fontsize=8, color=COLOURS[5],
            )  # fmt: skip
    if reference:
        axis.axhline(100 * SEED_SIMCLR, ls=":", color="0.4")
        axis.annotate(
            "original, 100 epochs", (1, 100 * SEED_SIMCLR), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=8, color="0.4",
        )  # fmt: skip
    axis.set(xlabel="seconds of pretraining", ylabel="linear probe, validation accuracy, %")
    return figure
