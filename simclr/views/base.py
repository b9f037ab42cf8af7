"""What every transform of a batch of images is."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Transform(ABC):
    """A random change of each image, decided by uniform random numbers handed in.

    With all randomness in the arguments and no state, equal numbers give equal views, and a
    process can make its part of a global batch from its rows of the numbers.
    """

    @abstractmethod
    def numbers(self, shape: tuple[int, int, int]) -> int:
        """Count the uniform random numbers that one view of an image (C, H, W) takes."""

    @abstractmethod
    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        """Make one view per row of ``u``.

        Args:
            images: (N, C, H, W), float32 in [0, 1].
            u: (k * N, numbers), float32 in [0, 1). Row j belongs to image j mod N.

        Returns:
            (k * N, C, H, W), float32 in [0, 1].
        """


def tile(images: Tensor, rows: int) -> Tensor:
    """Repeat the batch until it has ``rows`` rows; no copy if it has them already."""
    return images if len(images) == rows else images.repeat(rows // len(images), 1, 1, 1)


def per_image(values: Tensor) -> Tensor:
    """Shape (N,) or (N, 1) so that it broadcasts over (N, C, H, W)."""
    return values.reshape(-1, 1, 1, 1)


def symmetric(u: Tensor) -> Tensor:
    """Map uniform numbers in [0, 1) to [-1, 1)."""
    return 2 * u - 1


def normal(u: Tensor) -> Tensor:
    """Map uniform numbers in [0, 1) to standard normal ones; 0 gives -5.3, not infinity."""
    return torch.erfinv(symmetric(u).clamp(min=2**-24 - 1)) * math.sqrt(2)
