"""Image files of any size and mode as uint8 tensors of one shape."""

import logging
import stat
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from simclr.config.schema import MAX_PIXELS
from simclr.data.walk import readable
from simclr.data.workers import ahead, usual_workers

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

logger = logging.getLogger(__name__)

Shape = tuple[int, int, int]  # (C, H, W) of an image
Range = tuple[float, float]  # the values that are black and white

MANY = 2_000  # files: starting processes takes less time than they save
CHUNK = 64  # files that a process decodes at once; shared memory holds a few of these

ORIENTATION = 0x0112  # the EXIF tag
USUAL_WHITES = (1, 255, 1_023, 4_095, 16_383, 65_535)  # floats, and integers of 8 to 16 bits
OVERSHOOT = 1.05  # interpolation leaves values slightly beyond white
SHALLOW = {  # extensions of formats without floats and 32-bit integers
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif"),
}


@dataclass(frozen=True)
class Decoding:
    """How files are decoded.

    Attributes:
        values: black and white of float and 32-bit images; None guesses it from each image.
        max_pixels: a larger image is not decoded.
    """

    values: Range | None = None
    max_pixels: int = MAX_PIXELS


AS_IT_IS = Decoding()


def read_images(
    paths: Sequence[Path], shape: Shape, threads: int | None = None, decoding: Decoding = AS_IT_IS
) -> tuple[Tensor, list[str | None]]:
    """Decode in parallel, `MANY` files and more in processes of their own.

    Python's lock lets threads decode small images no faster than one of them does.

    Args:
        paths: N files.
        shape: (C, H, W) that every image is brought to.
        threads: so many, and no processes; None leaves the choice to this function.
        decoding: the same for all files.

    Returns:
        uint8 (N, C, H, W), and for each file what is wrong with it, naming it, or None.
    """
    if threads is None and len(paths) >= MANY:
        return _read_by_processes(_Chunks(paths, shape, decoding))
    with torch.inference_mode(False):  # which threads do not inherit
        images = torch.zeros(len(paths), *shape, dtype=torch.uint8)

    def read(index: int) -> str | None:
        try:
            images[index] = read_image(paths[index], shape, decoding)
        except Exception as error:  # Pillow's decoders raise nearly anything on broken files
            return readable(f"{paths[index]}: cannot be read: {error}")
        return None

    if threads == 1:
        return images, [*map(read, range(len(paths)))]
    with ThreadPoolExecutor(threads) as pool:
        return images, [*pool.map(read, range(len(paths)))]


class _Chunks(Dataset[tuple[Tensor, list[str | None]]]):
    """A data set whose items are what `read_images` says of `CHUNK` files each."""

    def __init__(self, paths: Sequence[Path], shape: Shape, decoding: Decoding) -> None:
        self.paths, self.shape, self.decoding = paths, shape, decoding

    def __len__(self) -> int:
        return -(-len(self.paths) // CHUNK)

    def __getitem__(self, index: int) -> tuple[Tensor, list[str | None]]:
        paths = self.paths[index * CHUNK : (index + 1) * CHUNK]
        return read_images(paths, self.shape, 1, self.decoding)


def _read_by_processes(chunks: _Chunks) -> tuple[Tensor, list[str | None]]:
    with torch.inference_mode(False):
        images = torch.empty(len(chunks.paths), *chunks.shape, dtype=torch.uint8)
    problems: list[str | None] = []
    for read, wrong in ahead(chunks, usual_workers()):
        images[len(problems) : len(problems) + len(read)] = read
        problems += wrong
    return images, problems


def read_image(path: Path, shape: Shape, decoding: Decoding = AS_IT_IS) -> Tensor:
    """One file as uint8 (C, H, W), C 1 for grey or 3 for RGB.

    The image is scaled until it just covers H x W, and its centre cut out. Transparent pixels
    become white; images of more than 8 bits are scaled, not cut off.

    Raises:
        Exception: of nearly any kind, if the file is no image that Pillow decodes.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    with _open(path, decoding.max_pixels) as file:
        file.draft(mode, (width, height))
        image = _upright(file)
        if _is_16_bit(file):
            image = _eight_bits(image, (0, 65_535))
        elif _is_deeper(file):
            image = _eight_bits(image, decoding.values or _usual_range(*_ends(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = ImageOps.fit(image.convert(mode), (width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).view(height, width, channels).permute(2, 0, 1)


def are_few(broken: Collection[str], total: int) -> bool:
    """Whether training can go on without so many unlabelled images: one, or a tenth."""
    return len(broken) < total and len(broken) <= max(1, total // 10)


def tell_broken(problems: Sequence[str]) -> None:
    """Warn of broken unlabelled images, which training leaves out."""
    if problems:
        logger.warning(
            "Going on without %d unlabelled images that are broken:\n  %s",
            *(len(problems), "\n  ".join(problems)),
        )


def value_range(paths: Iterable[Path], max_pixels: int = MAX_PIXELS) -> Range | None:
    """The values of black and white in all float and 32-bit images; None without such images.

    One range serves all, so that equal values become equal greys. It is the smallest usual one
    that holds the values: 0 to 1, or to the greatest integer of 8, 10, 12, 14 or 16 bits. Values
    that are negative, greater, or fill less than a tenth of it reach from their least to their
    greatest.
    """

    def ends(path: Path) -> Range | None:
        try:
            with _open(path, max_pixels) as file:
                if _is_16_bit(file) or not _is_deeper(file):
                    return None
                return _ends(file)
        except Exception:  # who decodes the file says what is wrong with it
            return None

    deep = [path for path in paths if path.suffix.lower() not in SHALLOW]
    with ThreadPoolExecutor() as pool:
        found = [both for both in pool.map(ends, deep) if both is not None]
    if not found:
        return None
    return _usual_range(min(low for low, _ in found), max(high for _, high in found))


def _usual_range(low: float, high: float) -> Range:
    for white in USUAL_WHITES:
        if high <= OVERSHOOT * white:
            if low >= (1 - OVERSHOOT) * white and high >= white / 10:
                return 0, white
            if white == 1 and -OVERSHOOT <= low < 0:
                return -1, 1
            break
    black = min(low, 0)
    return black, high if high > black else black + 1


def _ends(image: "PillowImage") -> Range:
    """The least and the greatest finite value."""
    pixels = np.asarray(image)
    pixels = pixels[np.isfinite(pixels)]
    return (float(pixels.min()), float(pixels.max())) if pixels.size else (0, 1)


def _open(path: Path, max_pixels: int) -> "PillowImage":
    """Open an image file, unless the image has more pixels than allowed."""
    from PIL import Image

    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("no ordinary file")
    Image.MAX_IMAGE_PIXELS = None
    file = Image.open(path)
    if file.width * file.height > max_pixels:
        file.close()
        raise ValueError(
            f"{file.width}x{file.height} pixels, more than data.max_pixels={max_pixels} allows"
        )
    return file


def _upright(file: "PillowImage") -> "PillowImage":
    """Turn an image as its camera says; other EXIF tags are not looked at, whatever they hold."""
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    file.load()
    try:
        orientation = file.getexif().get(ORIENTATION)
    except Exception:  # a block that is no EXIF: so much for the orientation
        orientation = None
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return file.copy() if turn is None else file.transpose(turn)


def _is_16_bit(file: "PillowImage") -> bool:
    """Whether white is 65 535; Pillow calls some of these images 32-bit."""
    return file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PNG", "PPM"))


def _is_deeper(file: "PillowImage") -> bool:
    """Whether values are floats or 32-bit integers, whose type does not tell what is white."""
    return file.mode in ("F", "I")


def _eight_bits(image: "PillowImage", values: Range) -> "PillowImage":
    from PIL import Image

    black, white = values
    pixels = np.asarray(image, dtype=np.float64)
    scaled = np.nan_to_num((pixels - black) * (255 / (white - black))).round().clip(0, 255)
    if (clear := image.info.get("transparency")) is not None:
        scaled[pixels == clear] = 255
    return Image.fromarray(scaled.astype(np.uint8))
