"""Changes of brightness, sharpness and colour that move nothing."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simclr.views.base import Transform, normal, per_image, symmetric, tile


@dataclass(frozen=True)
class Gamma(Transform):
    """Raise pixels to the power exp(± ``spread``): darker or brighter grey values.

    Args:
        spread: Largest absolute natural logarithm of the exponent.
    """

    spread: float

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 1

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        exponent = per_image((symmetric(u) * self.spread).exp())
        return tile(images, len(u)).log2().mul_(exponent).exp2_()  # 4 x as fast as pow


@dataclass(frozen=True)
class Blur(Transform):
    """Gaussian blur of random width, renormalised at the image's edges.

    Args:
        sigma: Largest standard deviation, in pixels.
    """

    sigma: float

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 1

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        sigma = (u * self.sigma).clamp(min=1e-3)
        down, across = (_gaussian(side, sigma) for side in images.shape[-2:])
        return (down @ tile(images, len(u)) @ across.mT).clamp_(0, 1)


def _gaussian(side: int, sigma: Tensor) -> Tensor:
    """Matrices (N, 1, side, side) that blur along one axis, for sigma (N, 1); rows sum to 1."""
    offset = torch.arange(1 - side, side, device=sigma.device)
    density = (offset / sigma).square().mul(-0.5).exp()
    matrix = density.unfold(1, side, 1).flip(1)  # row i holds the offsets -i to side - 1 - i
    return (matrix / matrix.sum(dim=2, keepdim=True)).unsqueeze(1)


@dataclass(frozen=True)
class Noise(Transform):
    """Add Gaussian noise of random strength, independent for every pixel.

    Args:
        sd: Largest standard deviation; pixels lie in [0, 1].
    """

    sd: float

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 1 + math.prod(shape)

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        noise = normal(u[:, 1:]).view(len(u), *images.shape[1:]) * per_image(u[:, 0] * self.sd)
        return noise.add_(tile(images, len(u))).clamp_(0, 1)


_LUMA = (0.299, 0.587, 0.114)  # Rec. 601: how bright red, green and blue look
_YIQ = (_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


@dataclass(frozen=True)
class Colour(Transform):
    """Brightness, contrast, saturation and hue, as one affine map of each image's channels.

    Hue turns the chroma plane of YIQ and keeps the luma. Images whose channels are not red, green
    and blue have no hue to turn, and those of one channel no saturation to change.

    Args:
        brightness: Factor 1 ±.
        contrast: Factor 1 ±, around the image's mean luma.
        saturation: Factor 1 ±, around each pixel's luma.
        hue: Turns of the colour wheel, ±.
        grey: Probability of saturation 0.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 5

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        pixels = tile(images, len(u)).flatten(2)
        luma, quarter = _luma_and_quarter_turn(images.shape[1], u.device)
        chroma = torch.eye(len(luma), device=u.device) - luma

        signed = symmetric(u).t()[:, :, None, None]
        brightness = 1 + self.brightness * signed[0]
        contrast = 1 + self.contrast * signed[1]
        coloured = u[:, 4, None, None] >= self.grey
        saturation = (1 + self.saturation * signed[2]) * coloured
        angle = signed[3] * (2 * math.pi * self.hue)

        colour = luma + saturation * (angle.cos() * chroma + angle.sin() * quarter)
        mean = luma @ pixels.mean(dim=2, keepdim=True)
        mixed = torch.baddbmm(
            brightness * (1 - contrast) * mean, brightness * contrast * colour, pixels
        )
        return mixed.clamp_(0, 1).view(len(u), *images.shape[1:])


def _luma_and_quarter_turn(channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices (C, C): every channel becomes the luma; a quarter turn of the chroma plane."""
    if channels != 3:
        shape = (channels, channels)
        return torch.full(shape, 1 / channels, device=device), torch.zeros(shape, device=device)
    yiq = torch.tensor(_YIQ)
    quarter = torch.linalg.inv(yiq) @ torch.stack([torch.zeros(3), -yiq[2], yiq[1]])
    return yiq[0].expand(3, 3).to(device), quarter.to(device)
