"""Every displacement of pixels, in one resampling."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.views.base import Transform, normal, symmetric, tile

_SCALARS = 11  # rotation, scale, aspect, shear, shift x y, flip, crop area, aspect, x, y
_TRIES = 10  # boxes drawn until one fits into the image, as torchvision does


@dataclass(frozen=True)
class Geometry(Transform):
    """Crop and flip, then scale, aspect, shear, rotation, shift and elastic displacement.

    All are composed into one map from each output pixel to the point of the image it shows, and
    read there with one bilinear ``grid_sample``. That map is linear in the per-image numbers, so
    a single matrix product with a fixed basis (x, y, 1 and the control points' bicubic kernels)
    makes it for the whole batch. What lies outside the image is zero, as around a digit; with
    ``crop_area`` it continues the edge.

    Args:
        rotation: Degrees, ±; positive turns counter-clockwise.
        scale: Smallest and largest size factor.
        aspect: Natural logarithm of width over height, ±.
        shear: Horizontal pixels per vertical pixel, ±.
        shift: Fraction of the side, ±, horizontally and vertically.
        elastic: Standard deviation, in pixels, of the displacement of each control point.
        elastic_grid: Control points per side; the outer ones lie on the image's corner pixels.
        crop_area: Smallest and largest fraction of the area that is kept and enlarged, of aspect
            3/4 to 4/3, as in ``torchvision.transforms.RandomResizedCrop``: a box that does not
            fit into the image is drawn again, up to ten times. None keeps all.
        flip: Probability of a horizontal mirror image.
        size: Height and width of the result, as a share of the image's.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    aspect: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    elastic_grid: int = 5
    crop_area: tuple[float, float] | None = None
    flip: float = 0.0
    size: float = 1.0

    @property
    def _points(self) -> int:
        return self.elastic_grid if self.elastic > 0 else 0

    def numbers(self, shape: tuple[int, int, int]) -> int:
        redrawn = 0 if self.crop_area is None else 2 * (_TRIES - 1)
        return _SCALARS + 2 * self._points**2 + redrawn

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        out = (round(height * self.size), round(width * self.size))
        basis = _basis((height, width), out, self._points, u.device)
        grid = self._weights(u, height, width) @ basis
        return F.grid_sample(
            tile(images, len(u)),
            grid.view(-1, 2, *out).permute(0, 2, 3, 1),
            padding_mode="zeros" if self.crop_area is None else "border",
            align_corners=False,
        ).clamp_(0, 1)

    def _weights(self, u: Tensor, height: int, width: int) -> Tensor:
        """Weights of the basis for x and y, in grid_sample's units: (2N, 3 + control points)."""
        scalars = u[:, :_SCALARS].t().contiguous()
        turn, _, aspect, shear, right, down, _, _, _, crop_x, crop_y = symmetric(scalars)
        angle = turn * math.radians(self.rotation)
        cos, sin = angle.cos(), angle.sin()
        shear = shear * self.shear
        size = _between(self.scale, scalars[1])
        stretch = (aspect * (self.aspect / 2)).exp()
        mirror = 1 - 2 * (scalars[6] < self.flip).float()
        crop_w = crop_h = torch.ones_like(size)
        if self.crop_area is not None:
            drawn = torch.cat([u[:, 7:9], u[:, -2 * (_TRIES - 1) :]], dim=1)
            crop_w, crop_h = _boxes(self.crop_area, drawn, height, width)

        # From output point to image point: undo the shift, the rotation, the shear and the size.
        gain_x, gain_y = mirror * crop_w, crop_h
        per_x, per_y = gain_x / (size * stretch), gain_y * stretch / size
        xx, xy = per_x * (cos - shear * sin), -per_x * (sin + shear * cos)
        yx, yy = per_y * sin, per_y * cos
        right, down = right * (self.shift * width), down * (self.shift * height)
        x0 = crop_x * (1 - crop_w) * (width / 2) - xx * right - xy * down
        y0 = crop_y * (1 - crop_h) * (height / 2) - yx * right - yy * down
        weights = torch.stack([xx, xy, x0, yx, yy, y0], dim=1).view(-1, 2, 3)
        if self.elastic > 0:
            points = u[:, _SCALARS : _SCALARS + 2 * self._points**2]
            moves = normal(points).view(len(u), 2, -1)
            gains = torch.stack([gain_x, gain_y], dim=1).unsqueeze(2)
            weights = torch.cat([weights, moves * (gains * self.elastic)], dim=2)
        return (weights * weights.new_tensor([[2 / width], [2 / height]])).flatten(0, 1)


def _boxes(
    area: tuple[float, float], drawn: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Width and height (N,) of the first box that fits, as shares of the image's.

    Of none that fits it is the first, cut to the image.

    Args:
        area: smallest and largest share of the image's.
        drawn: uniform numbers (N, 2 * tries), area and aspect of each box.
        height: of the image.
        width: of the image.
    """
    areas, aspects = drawn[:, ::2], symmetric(drawn[:, 1::2])
    side = (_between(area, areas) * height * width).sqrt()
    stretch = (aspects * (math.log(4 / 3) / 2)).exp()
    widths, heights = side * stretch / width, side / stretch / height
    first = ((widths <= 1) & (heights <= 1)).int().argmax(1, keepdim=True)
    return (
        widths.gather(1, first)[:, 0].clamp(max=1),
        heights.gather(1, first)[:, 0].clamp(max=1),
    )


def _between(limits: tuple[float, float], u: Tensor) -> Tensor:
    low, high = limits
    return low + (high - low) * u


@lru_cache(maxsize=16)
def _basis(
    image: tuple[int, int], out: tuple[int, int], points: int, device: torch.device
) -> Tensor:
    """Rows x, y (the image's pixels from its centre), 1 and points^2 bicubic kernels.

    Each row has an entry per output pixel: (3 + points^2, H * W).
    """
    height, width = out
    y = (torch.arange(height) - (height - 1) / 2) * (image[0] / height)
    x = (torch.arange(width) - (width - 1) / 2) * (image[1] / width)
    ones = torch.ones(height, width)
    rows = torch.stack([ones * x, ones * y[:, None], ones]).flatten(1)
    if points:
        impulses = torch.eye(points**2).view(1, -1, points, points)
        kernels = F.interpolate(impulses, (height, width), mode="bicubic", align_corners=True)
        rows = torch.cat([rows, kernels[0].flatten(1)])
    return rows.to(device)
