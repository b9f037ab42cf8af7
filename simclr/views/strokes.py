"""Thicker, thinner, additional and interrupted strokes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simclr.views.base import Transform, symmetric, tile


@dataclass(frozen=True)
class Thickness(Transform):
    """Mix in a 3x3 dilation (bright strokes grow) or erosion (they shrink).

    The share is uniform on ±``strength``; a negative one means erosion. Both neighbourhoods are
    computed once per image, however many views are made of it.

    Args:
        strength: Largest share of the dilated or eroded image, in [0, 1].
    """

    strength: float

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 1

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        share = (symmetric(u) * self.strength).view(-1, len(images), 1, 1, 1)
        thicker = images.lerp(dilate(images), share.clamp(min=0))
        return thicker.lerp_(-dilate(-images), (-share).clamp_(min=0)).flatten(0, 1)


def dilate(images: Tensor) -> Tensor:
    """Maximum over each 3x3 neighbourhood, by shifted maxima along one axis after the other."""
    rows = images.clone()
    torch.maximum(rows[..., 1:], images[..., :-1], out=rows[..., 1:])
    torch.maximum(rows[..., :-1], images[..., 1:], out=rows[..., :-1])
    both = rows.clone()
    torch.maximum(both[..., 1:, :], rows[..., :-1, :], out=both[..., 1:, :])
    torch.maximum(both[..., :-1, :], rows[..., 1:, :], out=both[..., :-1, :])
    return both


@dataclass(frozen=True)
class ExtraStroke(Transform):
    """Draw a straight pen stroke of full brightness across the image, in all channels.

    Its centre is uniform over the middle half of the image, in x and in y; any direction.

    Args:
        probability: Share of the views that get one.
        length: Longest stroke in pixels; lengths are uniform from 0, the round ends not counted.
        width: Widest stroke in pixels; widths are uniform from 1.
    """

    probability: float
    length: float
    width: float

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 6

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        drawn, centre_x, centre_y, angle, length, thickness = u.view(-1, 6, 1, 1).unbind(1)
        x = _from_centre(width, u.device) - symmetric(centre_x) * (width / 4)
        y = (_from_centre(height, u.device) - symmetric(centre_y) * (height / 4)).mT
        cosine, sine = (angle * math.pi).cos(), (angle * math.pi).sin()
        beyond = (x * cosine + y * sine).abs_().sub_(length * (self.length / 2)).clamp_(min=0)
        beside = y * cosine - x * sine
        distance = beyond.square_().addcmul_(beside, beside).sqrt_()
        reach = (2 + thickness * (self.width - 1)) / 2  # half the width, and half a pixel
        reach = reach.where(drawn < self.probability, 0)
        stroke = distance.neg_().add_(reach).clamp_(0, 1)
        return images.maximum(stroke.view(-1, len(images), 1, height, width)).flatten(0, 1)


def _from_centre(side: int, device: torch.device) -> Tensor:
    """Positions of an axis's pixels, 0 in the middle: (1, 1, side)."""
    return (torch.arange(side, device=device) - (side - 1) / 2).view(1, 1, -1)


@dataclass(frozen=True)
class Erasing(Transform):
    """Set a random rectangle inside the image to zero (random erasing, arXiv:1708.04896).

    Args:
        size: Each side of the rectangle is 1 to ``size`` pixels, at most the image's.
    """

    size: int

    def numbers(self, shape: tuple[int, int, int]) -> int:
        return 4

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        rows = self._covered(u[:, 0:1], u[:, 1:2], height)
        columns = self._covered(u[:, 2:3], u[:, 3:4], width)
        keep = 1 - rows.unsqueeze(2) * columns.unsqueeze(1)
        return tile(images, len(u)) * keep.unsqueeze(1)

    def _covered(self, length: Tensor, start: Tensor, side: int) -> Tensor:
        """1 at the covered pixels of an axis of ``side`` pixels, 0 elsewhere: (N, side)."""
        length = 1 + (length * min(self.size, side)).floor()
        start = (start * (side - length + 1)).floor()
        position = torch.arange(side, device=start.device)
        return ((position >= start) & (position < start + length)).float()
