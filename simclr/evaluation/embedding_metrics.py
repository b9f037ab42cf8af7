"""Measures of how contrastive learning spreads embeddings, and whether they collapse."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def alignment(z0: Tensor, z1: Tensor) -> Tensor:
    """Mean squared distance of the two views of an image, on the unit sphere.

    Wang & Isola 2020, "Understanding contrastive representation learning through alignment and
    uniformity", with alpha = 2. 0: the same place; 4: opposite places.

    Args:
        z0: (B, D), before normalisation.
        z1: (B, D), the other views, in the same order.

    Returns:
        A scalar, float32.
    """
    return (_on_sphere(z0) - _on_sphere(z1)).square().sum(1).mean()


def uniformity(z: Tensor) -> Tensor:
    """Logarithm of the mean Gaussian potential of all pairs of embeddings on the unit sphere.

    Wang & Isola 2020, with t = 2. From 0, all in one place, down to about -4 where they are
    spread evenly over a sphere of many dimensions.

    Args:
        z: (B, D), before normalisation; B at least 2.

    Returns:
        A scalar, float32.
    """
    distances = torch.pdist(_on_sphere(z)).square()
    return (-2 * distances).logsumexp(0) - math.log(distances.numel())


def embedding_sd(z: Tensor) -> Tensor:
    """Standard deviation of embeddings on the unit sphere, times the square root of D.

    Chen & He 2021, "Exploring simple Siamese representation learning", section 4.1, scaled: 1 where
    directions are spread evenly, whatever D, and 0 where all embeddings are the same.

    Args:
        z: (B, D), before normalisation.

    Returns:
        A scalar, float32.
    """
    return _on_sphere(z).var(0, correction=0).sum().sqrt()


def effective_rank(z: Tensor) -> Tensor:
    """Number of directions in which embeddings vary: exp of the entropy of their singular values.

    Roy & Vetterli 2007, "The effective rank", applied to representations by Garrido et al. 2023,
    "RankMe"; centred first, as in Jing et al. 2022, "Understanding dimensional collapse", so that a
    common mean does not count as a direction. From 1 (one direction, or none) to min(B - 1, D).

    Args:
        z: (B, D), used as they are.

    Returns:
        A scalar, float32.
    """
    centred = z.double() - z.double().mean(0)
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    rank: Tensor = torch.special.entr(shares).sum().exp()
    return rank.float()


def _on_sphere(z: Tensor) -> Tensor:
    return F.normalize(z.float(), dim=1)
