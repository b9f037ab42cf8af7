"""Digits drawn from fonts: a data set without files or network, for tests and offline use."""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.data.images import LabelledImages, Source
from simclr.errors import SimclrError

FONTS = [
    *(f"DejaVuSans{style}.ttf" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}.ttf" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}.ttf" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}.ttf" for style in ("", "Bol", "Italic", "BolIta")),
]
DIGIT_HEIGHT = 20 / 28  # of the image, as in MNIST
CHUNK = 1024  # images drawn at once


def draw_source(train_size: int, test_size: int, image_size: int, seed: int) -> Source:
    """Draw training and test images, each set with balanced classes.

    Raises:
        SimclrError: if a number is too small.
    """
    if min(train_size, test_size) < 10 or image_size < 8:
        raise SimclrError(
            f"data=synthetic: {train_size} training and {test_size} test images of "
            f"{image_size} pixels; at least 10, 10 and 8 are needed"
        )
    generator = torch.Generator().manual_seed(seed)
    return Source(
        train=draw_digits(train_size, image_size, generator),
        test=draw_digits(test_size, image_size, generator),
        classes=tuple("0123456789"),
    )


def draw_digits(count: int, image_size: int, generator: torch.Generator) -> LabelledImages:
    """Draw white digits on black: random font, size, slant, rotation, place, thickness and noise.

    Classes are balanced to within one image and in random order. A generator in the same
    state gives the same images wherever Pillow is the same: random numbers are uniform, which
    every processor draws alike, and float64 keeps the rounding to uint8 from depending on it.

    Returns:
        images uint8 (count, 1, image_size, image_size) and their digits.
    """
    glyphs = _glyphs(2 * image_size)
    labels = torch.randperm(count, generator=generator) % 10
    fonts = torch.randint(len(FONTS), (count,), generator=generator)
    images = torch.empty(count, 1, image_size, image_size, dtype=torch.uint8)
    for chunk in torch.split(torch.arange(count), CHUNK):
        drawn = _distort(glyphs[fonts[chunk], labels[chunk]], image_size, generator)
        images[chunk] = drawn.mul_(255).round_().to(torch.uint8)
    return LabelledImages(images, labels)


def _distort(glyphs: Tensor, image_size: int, generator: torch.Generator) -> Tensor:
    """Bring glyphs (B, 1, S, S) to image_size, each in its own way; float64 in [0, 1]."""

    def between(low: float, high: float) -> Tensor:
        uniform = torch.rand(len(glyphs), generator=generator, dtype=torch.float64)
        return low + (high - low) * uniform

    angle, slant = between(-0.2, 0.2), between(-0.25, 0.25)
    width, height = between(0.75, 1.1), between(0.75, 1.1)
    cos, sin = angle.cos(), angle.sin()
    where = [
        *(cos / width, (slant * cos - sin) / width, between(-0.15, 0.15)),
        *(sin / height, (slant * sin + cos) / height, between(-0.15, 0.15)),
    ]
    grid = F.affine_grid(
        torch.stack(where, 1).view(-1, 2, 3),
        [len(glyphs), 1, image_size, image_size],
        align_corners=False,
    )
    drawn = F.grid_sample(glyphs.double() / 255, grid, align_corners=False)
    thickness = between(0, 0.8).view(-1, 1, 1, 1)
    drawn = drawn.lerp(F.max_pool2d(drawn, 3, stride=1, padding=1), thickness)
    brightness = between(0.7, 1).view(-1, 1, 1, 1)
    noise = torch.rand(drawn.shape, generator=generator, dtype=torch.float64) - 0.5
    return (drawn * brightness + 0.1 * noise).clamp_(0, 1)


@cache
def _glyphs(size: int) -> Tensor:
    """Render every digit in every font, centred: uint8 (fonts, 10, 1, size, size)."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    glyphs = []
    for name in FONTS:
        # The layout engine is stated because Pillow's default depends on the machine.
        font = ImageFont.truetype(str(folder / name), size, layout_engine=ImageFont.Layout.BASIC)
        _, top, _, bottom = font.getbbox("0", anchor="ls")
        font = font.font_variant(size=size * size * DIGIT_HEIGHT / (bottom - top))
        for digit in "0123456789":
            left, top, right, bottom = font.getbbox(digit, anchor="ls")
            image = Image.new("L", (size, size))
            place = (size - left - right) // 2, (size - top - bottom) // 2
            ImageDraw.Draw(image).text(place, digit, fill=255, font=font, anchor="ls")
            glyphs.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8))
    return torch.stack(glyphs).view(len(FONTS), 10, 1, size, size)
