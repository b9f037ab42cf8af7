"""Settings of the views: the strength of each augmentation."""

from dataclasses import dataclass, fields, replace

from simclr.config.keys import key


@dataclass
class AugmentConfig:
    """One random view of an image; every default is off.

    "up to" and "±" mean: drawn anew for every view, uniformly, from that range.
    """

    rotation: float = key(0.0, "± degrees", at_least=0, at_most=180, scaled=True)
    scale: list[float] = key([1.0, 1.0], "size factor: [min, max]")
    aspect: float = key(
        0.0, "± natural logarithm of width over height", at_least=0, at_most=2, scaled=True
    )
    shear: float = key(
        0.0, "± horizontal pixels per vertical pixel", at_least=0, at_most=2, scaled=True
    )
    shift: float = key(
        0.0, "± fraction of the image's side, in x and in y", at_least=0, at_most=1, scaled=True
    )
    elastic: float = key(
        0.0,
        "sd in pixels of the displacement of each control point",
        at_least=0,
        at_most=100,
        scaled=True,
    )
    elastic_grid: int = key(5, "control points per side", at_least=2, at_most=64)
    crop_area: list[float] | None = key(
        None, "[min, max] fraction of the area, enlarged to full size"
    )
    size: float = key(
        1.0, "side of a view in pretraining, as a share of the image's", at_least=0.1, at_most=1
    )
    flip: float = key(0.0, "probability of a horizontal mirror image", at_least=0, at_most=1)

    thickness: float = key(
        0.0,
        "up to this much of a 3x3 dilation (or erosion) is mixed in",
        at_least=0,
        at_most=1,
        scaled=True,
    )
    stroke: float = key(
        0.0, "probability of a straight pen stroke across the image", at_least=0, at_most=1
    )
    stroke_length: float = key(10.0, "up to so many pixels", at_least=0, at_most=10_000)
    stroke_width: float = key(2.5, "from 1 up to so many pixels", at_least=1, at_most=10_000)
    erasing: int = key(
        0, "sides in pixels of the rectangle set to zero: up to", at_least=0, at_most=10_000
    )

    gamma: float = key(0.0, "pixel ** exp(± gamma)", at_least=0, at_most=3, scaled=True)
    blur: float = key(
        0.0, "sd in pixels of the Gaussian: up to", at_least=0, at_most=100, scaled=True
    )
    noise: float = key(
        0.0,
        "sd of the Gaussian noise added to pixels in [0, 1]: up to",
        at_least=0,
        at_most=1,
        scaled=True,
    )

    brightness: float = key(0.0, "factor 1 ±", at_least=0, at_most=1, scaled=True)
    contrast: float = key(
        0.0, "factor 1 ±, around the image's mean", at_least=0, at_most=1, scaled=True
    )
    saturation: float = key(
        0.0, "factor 1 ±, around each pixel's grey", at_least=0, at_most=1, scaled=True
    )
    hue: float = key(0.0, "± turns of the colour wheel", at_least=0, at_most=0.5, scaled=True)
    grey: float = key(0.0, "probability of dropping all colour", at_least=0, at_most=1)


def milder(config: AugmentConfig, strength: float) -> AugmentConfig:
    """The same augmentation with `strength` times the effect; 0 is none, 1 leaves it as it is.

    Probabilities (`flip`, `grey`, `stroke`) stay: they say how often, not how far. The length of a
    stroke stays, too, because a shorter one no longer crosses a seven.
    """
    scaled = {
        one.name: getattr(config, one.name) * strength
        for one in fields(config)
        if one.metadata["scaled"]
    }
    crop_area = config.crop_area if strength else None
    return replace(
        config,
        **scaled,
        scale=[1 - strength + factor * strength for factor in config.scale],
        erasing=round(config.erasing * strength),
        crop_area=crop_area and [1 - strength + share * strength for share in crop_area],
    )
