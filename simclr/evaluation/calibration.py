"""Calibration: how far a classifier's confidences are from how often it is right."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.data.images import LabelledImages
from simclr.evaluation.probe import softmax_regression

BINS = 15
SHARPEST, SOFTEST = 0.01, 100.0  # temperatures; what is fitted lies between them
ENOUGH = 1_000  # held-out logits, from which a temperature is known to a few per cent
_STEPS = 60  # of the search, each of which makes the interval 0.62 as long

Fit = Callable[[LabelledImages, LabelledImages], Tensor]


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error: mean distance between confidence and accuracy, over bins.

    Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599, eq. 3; a bin
    weighs as many images as it holds.

    Args:
        logits: (N, C).
        labels: int64 (N,).
    """
    number, confidence, accuracy = reliability(logits, labels)
    return float((number / number.sum() * (confidence - accuracy).abs()).sum())


def reliability(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images, mean confidence and accuracy in each bin of confidence; 0 where a bin is empty.

    Args:
        logits: (N, C).
        labels: int64 (N,).

    Returns:
        (BINS,) each, float64; bins are equally wide.
    """
    confidence, predicted = logits.double().softmax(1).max(1)
    place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    number = place.bincount(minlength=BINS).double()
    confidences = place.bincount(confidence, BINS) / number.clamp(min=1)
    accuracies = place.bincount((predicted == labels).double(), BINS) / number.clamp(min=1)
    return number, confidences, accuracies


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which softmax(logits / T) is most likely (Guo et al. 2017, sec. 4.2).

    The target is not quite certain, so that a few logits that are all right do not make a
    classifier certain: of n logits a quarter of one may be wrong. This is less
    doubt than Platt's 1 / (n + 2), and fits MNIST's validation images better.

    Args:
        logits: (N, C) of images that the classifier was not trained on.
        labels: int64 (N,).

    Returns:
        From `SHARPEST` to `SOFTEST`.
    """
    count, classes = logits.shape
    target = F.one_hot(labels, classes).double()
    doubt = 1 / (4 * count)
    target = target * (1 - doubt) + (1 - target) * (doubt / max(1, classes - 1))
    exact = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = exact * torch.exp(torch.tensor(-log_temperature, dtype=torch.float64))
        return float(F.cross_entropy(scaled, target))

    low, high = (float(torch.tensor(end).double().log()) for end in (SHARPEST, SOFTEST))
    shrink = (5**0.5 - 1) / 2
    for _ in range(_STEPS):  # golden section: in 1/T the loss is convex, so it has one valley
        first, second = high - shrink * (high - low), low + shrink * (high - low)
        low, high = (low, second) if loss(first) <= loss(second) else (first, high)
    return float(torch.tensor((low + high) / 2).exp())


def trained_folds(labels: int, fewest: int, folds: int) -> int:
    """How many of at most `folds` folds `held_out_logits` trains a classifier for.

    Args:
        labels: number of labelled images.
        fewest: of them in a class.
        folds: at most.
    """
    folds = min(folds, fewest)
    return 0 if folds < 2 else min(folds, math.ceil(ENOUGH * folds / labels))


def held_out_logits(labelled: LabelledImages, folds: int, fit: Fit) -> tuple[Tensor, Tensor] | None:
    """Logits of labelled images by classifiers that were trained without their fold.

    There are no more folds than it takes for `ENOUGH` logits.

    Args:
        labelled: images or features (N, ...), with labels.
        folds: how many; each has as equal a share of every class as there is.
        fit: from a training part and a held-out part to logits of the latter.

    Returns:
        Logits (M, C) and their labels (M,), on the CPU; None if a class has one image only.
    """
    per_class = labelled.labels.bincount()
    fewest = int(per_class[per_class > 0].min())
    if not (trained := trained_folds(len(labelled.labels), fewest, folds)):
        return None
    folds = min(folds, fewest)
    fold = torch.empty_like(labelled.labels)
    for label in labelled.labels.unique():
        own = (labelled.labels == label).nonzero().flatten()
        fold[own] = torch.arange(len(own)) % folds
    logits, labels = [], []
    for one in range(trained):
        held_out = labelled.select((fold == one).nonzero().flatten())
        logits.append(fit(labelled.select((fold != one).nonzero().flatten()), held_out).cpu())
        labels.append(held_out.labels)
    return torch.cat(logits), torch.cat(labels)


def linear_fit(num_classes: int, l2: float) -> Fit:
    """A `Fit` by softmax regression on normalised features (N, D)."""

    def fit(train: LabelledImages, held_out: LabelledImages) -> Tensor:
        labels = train.labels.to(train.images.device)
        weight, bias = softmax_regression(train.images, labels, num_classes, l2)
        return F.linear(held_out.images, weight, bias)

    return fit
