"""Settings of the views, and what they may be."""

import math
from dataclasses import dataclass, field, replace


@dataclass
class AugmentConfig:
    """One random view of an image; every default is off.

    "up to" and "±" mean: drawn anew for every view, uniformly, from that range.
    """

    rotation: float = 0.0  # ± degrees
    scale: list[float] = field(default_factory=lambda: [1.0, 1.0])  # size factor: [min, max]
    aspect: float = 0.0  # ± natural logarithm of width over height
    shear: float = 0.0  # ± horizontal pixels per vertical pixel
    shift: float = 0.0  # ± fraction of the image's side, in x and in y
    elastic: float = 0.0  # sd in pixels of the displacement of each control point
    elastic_grid: int = 5  # control points per side
    crop_area: list[float] | None = None  # [min, max] fraction of the area, enlarged to full size
    flip: float = 0.0  # probability of a horizontal mirror image

    thickness: float = 0.0  # up to this much of a 3x3 dilation (or erosion) is mixed in
    stroke: float = 0.0  # probability of a straight pen stroke drawn across the image
    stroke_length: float = 10.0  # pixels: up to
    stroke_width: float = 2.5  # pixels: from 1 up to
    erasing: int = 0  # sides in pixels of the rectangle set to zero: each up to this

    gamma: float = 0.0  # pixel ** exp(± gamma)
    blur: float = 0.0  # sd in pixels of the Gaussian: up to
    noise: float = 0.0  # sd of the Gaussian noise added to pixels in [0, 1]: up to

    brightness: float = 0.0  # factor 1 ±
    contrast: float = 0.0  # factor 1 ±, around the image's mean
    saturation: float = 0.0  # factor 1 ±, around each pixel's grey
    hue: float = 0.0  # ± turns of the colour wheel
    grey: float = 0.0  # probability of dropping all colour


_SPREADS = (
    *("rotation", "aspect", "shear", "shift", "elastic", "thickness"),
    *("gamma", "blur", "noise", "brightness", "contrast", "saturation", "hue"),
)

_BOUNDS: dict[str, tuple[float, float]] = {
    "rotation": (0, 180),
    "aspect": (0, 2),
    "shear": (0, 2),
    "shift": (0, 1),
    "elastic": (0, 100),
    "elastic_grid": (2, 64),
    "flip": (0, 1),
    "thickness": (0, 1),
    "stroke": (0, 1),
    "stroke_length": (0, 10_000),
    "stroke_width": (1, 10_000),
    "erasing": (0, 10_000),
    "gamma": (0, 3),
    "blur": (0, 100),
    "noise": (0, 1),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "hue": (0, 0.5),
    "grey": (0, 1),
}


def milder(config: AugmentConfig, strength: float) -> AugmentConfig:
    """The same changes, `strength` times as far from leaving the image alone (1: as they are).

    Probabilities (`flip`, `grey`, `stroke`) stay: they say how often, not how far; and so does a
    stroke's length, because a shorter one no longer crosses a seven.
    """
    spreads = {name: getattr(config, name) * strength for name in _SPREADS}
    crop_area = config.crop_area if strength else None
    return replace(
        config,
        **spreads,
        scale=[1 - strength + factor * strength for factor in config.scale],
        erasing=round(config.erasing * strength),
        crop_area=crop_area and [1 - strength + share * strength for share in crop_area],
    )


def check_augment(config: AugmentConfig) -> list[str]:
    """List everything in ``config`` that cannot be, one line each; empty if all is well."""
    problems = [
        f"augment.{name}={value:g}: must be between {low:g} and {high:g}"
        for name, (low, high) in _BOUNDS.items()
        if not low <= (value := getattr(config, name)) <= high
    ]
    if not _is_range(config.scale, math.inf):
        problems.append(f"augment.scale={list(config.scale)}: must be [min, max], 0 < min <= max")
    if config.crop_area is not None and not _is_range(config.crop_area, 1.0):
        problems.append(
            f"augment.crop_area={list(config.crop_area)}: "
            "must be null or [min, max], 0 < min <= max <= 1"
        )
    return problems


def _is_range(values: list[float], top: float) -> bool:
    return len(values) == 2 and 0 < values[0] <= values[1] <= top and math.isfinite(values[1])
