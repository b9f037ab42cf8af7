"""The transforms of a run in a row, and their random numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simclr.config.augment import AugmentConfig
from simclr.views.base import Transform, tile
from simclr.views.geometry import Geometry
from simclr.views.photometric import Blur, Colour, Gamma, Noise
from simclr.views.strokes import Erasing, ExtraStroke, Thickness


class Views(nn.Module):
    """Random views of a batch of images, made by ``transforms`` one after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        super().__init__()
        self.transforms = tuple(transforms)

    def draw(
        self,
        count: int,
        shape: tuple[int, int, int],
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Draw the random numbers of ``count`` views of images (C, H, W), in one call.

        They are drawn where the generator lives, so a CPU generator gives the same views on every
        device.

        Returns:
            (count, numbers), float32 in [0, 1), on ``device``.
        """
        size = (count, sum(self._numbers(shape)))
        source = device if generator is None else generator.device
        u = torch.rand(size, generator=generator, device=source, dtype=torch.float32)
        return u.to(device)

    @torch.no_grad()
    def forward(self, images: Tensor, u: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Make one view per row of ``u``.

        Call it once for both views: what the views of an image share is then computed once.

        Args:
            images: (N, C, H, W), uint8, or float in [0, 1].
            u: (k * N, numbers) from ``draw``. Row j belongs to image j mod N: with k = 2 the
                views of image i are rows i and N + i of the result.
            dtype: Of the result. All before is computed in float32, under autocast too.

        Returns:
            (k * N, C, H, W), in [0, 1].

        Raises:
            ValueError: ``u`` does not fit the images, or they are not of the types above.
        """
        if images.dtype != torch.uint8:
            _refuse_other_than_shares(images)
        count, *shape = images.shape
        numbers = self._numbers((shape[0], shape[1], shape[2]))
        if len(u) % count or u.shape[1] != sum(numbers):
            raise ValueError(
                f"random numbers of shape {tuple(u.shape)} do not fit images of shape "
                f"{tuple(images.shape)}: draw (a multiple of {count}, {sum(numbers)})"
            )
        with torch.autocast(images.device.type, enabled=False):
            views = images.float() / 255 if images.dtype == torch.uint8 else images.float()
            for transform, part in zip(
                self.transforms, torch.split(u, numbers, dim=1), strict=True
            ):
                views = transform(views, part)
            return tile(views, len(u)).to(dtype)

    def pair(
        self, images: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Make two views of each image (N, C, H, W), float32 in [0, 1]."""
        count, channels, height, width = images.shape
        u = self.draw(2 * count, (channels, height, width), generator, images.device)
        views = self(images, u)
        return views[:count], views[count:]

    def _numbers(self, shape: tuple[int, int, int]) -> list[int]:
        return [transform.numbers(shape) for transform in self.transforms]


def _refuse_other_than_shares(images: Tensor) -> None:
    if not images.is_floating_point():
        raise ValueError(f"images must be uint8, or floating point in [0, 1]; got {images.dtype}")
    low, high = (float(end) for end in images.aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"floating-point images must lie in [0, 1], got {low:g} to {high:g}; "
            "divide pixels of 0 to 255 by 255, or pass them as uint8"
        )


def build_views(config: AugmentConfig) -> Views:
    """Put together the transforms that ``config`` asks for, strokes first, noise last.

    Strokes change before the warp, where all views of an image share the work.
    """
    geometry = Geometry(
        rotation=config.rotation,
        scale=_limits(config.scale),
        aspect=config.aspect,
        shear=config.shear,
        shift=config.shift,
        elastic=config.elastic,
        elastic_grid=config.elastic_grid,
        crop_area=None if config.crop_area is None else _limits(config.crop_area),
        flip=config.flip,
        size=config.size,
    )
    colour = Colour(config.brightness, config.contrast, config.saturation, config.hue, config.grey)
    transforms: list[tuple[bool, Transform]] = [
        (config.thickness > 0, Thickness(config.thickness)),
        (
            config.stroke > 0 and config.stroke_length > 0,
            ExtraStroke(config.stroke, config.stroke_length, config.stroke_width),
        ),
        (geometry != Geometry(elastic_grid=config.elastic_grid), geometry),
        (colour != Colour(), colour),
        (config.erasing > 0, Erasing(config.erasing)),
        (config.gamma > 0, Gamma(config.gamma)),
        (config.blur > 0, Blur(config.blur)),
        (config.noise > 0, Noise(config.noise)),
    ]
    return Views([transform for wanted, transform in transforms if wanted])


def _limits(values: list[float]) -> tuple[float, float]:
    low, high = values
    return low, high
