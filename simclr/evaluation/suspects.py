"""Labels that look wrong: what a classifier that has not seen a label thinks of it."""

import torch
from torch import Tensor

from simclr.evaluation.probe import penalty, softmax_regression

FOLDS = 10


def held_out_shares(
    features: Tensor, labels: Tensor, num_classes: int, l2: float, seed: int = 0
) -> Tensor:
    """The probability of each class for each image, by a linear classifier of the other folds.

    Every class is spread evenly over the folds.

    Args:
        features: (N, D), normalised representations.
        labels: int64 (N,).
        num_classes: C.
        l2: penalty of the linear probe, for up to 100 labels.
        seed: which image is in which fold.

    Returns:
        (N, C).
    """
    count = len(labels)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].argsort(stable=True)]
    fold = torch.empty(count, dtype=torch.int64)
    fold[order] = torch.arange(count) % FOLDS
    shares = torch.empty(count, num_classes)
    for one in fold.unique().tolist():
        out = fold == one
        if out.all():  # a single image
            shares[out] = 1 / num_classes
            continue
        known, strength = ~out, penalty(l2, int((~out).sum()))
        weight, bias = softmax_regression(features[known], labels[known], num_classes, strength)
        shares[out] = (features[out] @ weight.T + bias).softmax(1)
    return shares


def suspects(shares: Tensor, labels: Tensor, most: int) -> Tensor:
    """Images whose label the held-out classifier would not give, the least plausible first.

    The only image of its class is none of them: nothing could know the class without it.

    Args:
        shares: (N, C), from `held_out_shares`.
        labels: int64 (N,).
        most: at most so many.

    Returns:
        Int64 positions.
    """
    plausible = shares[torch.arange(len(labels)), labels]
    alone = torch.bincount(labels, minlength=shares.shape[1])[labels] == 1
    doubted = (shares.argmax(1) != labels) & ~alone
    order = torch.where(doubted, plausible, torch.inf).argsort(stable=True)
    return order[: min(most, int(doubted.sum()))]
