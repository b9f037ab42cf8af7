"""The linear probe: multinomial logistic regression on frozen features, solved to the optimum."""

import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.data.images import LabelledImages

FEW_LABELS = 100

logger = logging.getLogger(__name__)

_ROUNDING = 1e-5  # of a feature's mean: float32 sums of images' pixels differ by so much, or less
_HARDLY = 1e-3  # of a feature's mean; where none differs by more, the network is nearly dead
_NOTHING = 1e-3  # length below which a standardised row is rounding alone; usual is the root of D


class FeatureNorm(nn.Module):
    """Standardise features by statistics of unlabelled ones, then scale each to unit length.

    Args:
        mean: (D,), of the unlabelled training features.
        sd: (D,), likewise; for a feature that does not vary beyond rounding, 1 or its larger mean.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, mean: Tensor, sd: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("sd", sd)

    @classmethod
    def of(cls, features: Tensor) -> "FeatureNorm":
        """The norm whose statistics are those of `features` (N, D)."""
        sd, mean = features.std(0), features.mean(0)
        varies = sd > (_ROUNDING * mean.abs()).clamp(min=1e-6)
        if not varies.any():
            logger.warning("No feature varies between images: the encoder tells them apart no more")
        elif not (sd[varies] > _HARDLY * mean[varies].abs()).any():
            most = float((sd / mean.abs())[varies].max())
            logger.warning(
                "Features differ between images by %.0e of their mean at most: the encoder hardly "
                "tells them apart, so that rounding is part of every result",
                most,
            )
        return cls(mean, torch.where(varies, sd, mean.abs().clamp(min=1)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) to (B, D), rows of unit length; rows that hold rounding alone stay short."""
        return F.normalize((features - self.mean) / self.sd, eps=_NOTHING)


def knn_accuracy(
    train: LabelledImages, test: LabelledImages, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of features in `test` whose nearest neighbours in `train` vote for their label.

    Each neighbour's vote weighs exp(cosine / temperature), as in Wu et al. 2018, "Unsupervised
    feature learning via non-parametric instance discrimination", section 3.4.

    Args:
        train: labelled features (N, D).
        test: labelled features (M, D).
        k: how many neighbours vote; all if there are fewer.
        temperature: the lower, the more the nearest decides.
    """
    cosines = F.normalize(test.images) @ F.normalize(train.images).T
    nearest = cosines.topk(min(k, len(train.labels)), dim=1)
    weights = ((nearest.values - 1) / temperature).exp().cpu()
    votes = torch.zeros(len(test.labels), int(train.labels.max()) + 1)
    votes.scatter_add_(1, train.labels[nearest.indices.cpu()], weights)
    return float((votes.argmax(1) == test.labels).float().mean())


def softmax_regression(
    features: Tensor, labels: Tensor, num_classes: int, l2: float, max_iter: int = 500
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + l2 / 2 * |weight|^2 with L-BFGS, from zero, in float64.

    The problem is convex: the answer does not depend on a seed, a schedule or a learning rate.

    Args:
        features: (N, D).
        labels: int64 (N,), classes 0 to num_classes - 1.
        num_classes: C.
        l2: strength of the penalty on the weights, biases excluded.
        max_iter: at most so many iterations.

    Returns:
        Weight (C, D) and bias (C,), in the features' dtype.
    """
    x = features.double()
    targets = F.one_hot(labels, num_classes).to(x)
    weight = torch.zeros(num_classes, x.shape[1], dtype=x.dtype, device=x.device)
    bias = torch.zeros(num_classes, dtype=x.dtype, device=x.device)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=max_iter, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        """The objective; its gradient in closed form is quicker than autograd's."""
        log_shares = F.linear(x, weight, bias).log_softmax(1)
        residual = (log_shares.exp() - targets) / len(x)
        weight.grad = residual.T @ x + l2 * weight
        bias.grad = residual.sum(0)
        return l2 / 2 * weight.square().sum() - (targets * log_shares).sum() / len(x)

    optimizer.step(objective)
    return weight.to(features.dtype), bias.to(features.dtype)


def penalty(l2: float, labels: int) -> float:
    """The L2 penalty for so many labels, if `l2` is right for up to `FEW_LABELS`.

    Beyond those it falls as 1 / labels. Summed over all labels, the cross-entropy then stands
    against the same Gaussian prior on the weights, however many labels there are.
    """
    return l2 * min(1, FEW_LABELS / max(1, labels))


def fitted_accuracy(
    norm: FeatureNorm, train: LabelledImages, scored: LabelledImages, l2: float
) -> float:
    """Fit a softmax regression to the features `train`, and return its accuracy on `scored`.

    Args:
        norm: applied to both.
        train: labelled features (N, D).
        scored: labelled features (M, D).
        l2: strength of the penalty on the weights.
    """
    features = norm(train.images)
    classes = int(train.labels.max()) + 1
    weight, bias = softmax_regression(features, train.labels.to(features.device), classes, l2)
    predicted = (norm(scored.images) @ weight.T + bias).argmax(1)
    return float((predicted.cpu() == scored.labels).float().mean())
