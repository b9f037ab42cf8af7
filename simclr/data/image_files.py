"""Image files of any size and mode as uint8 tensors of one shape."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

logger = logging.getLogger(__name__)

MOST_NAMED = 10  # problems in one message
Shape = tuple[int, int, int]  # (C, H, W) of an image


def image_paths(folder: Path) -> list[Path]:
    """The image files anywhere below a folder, sorted.

    Hidden files are left out, and, with a warning, files whose extension belongs to no image
    format.
    """
    from PIL import Image

    extensions = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files = sorted(path for path in visible(folder.rglob("*"), folder) if path.is_file())
    images = [path for path in files if path.suffix.lower() in extensions]
    if len(images) < len(files):
        stray = next(path for path in files if path.suffix.lower() not in extensions)
        logger.warning("Not images: %d files like %s", len(files) - len(images), stray)
    return images


def visible(paths: Iterator[Path], folder: Path) -> Iterator[Path]:
    """Those of the paths in `folder` of which no part is hidden."""
    for path in paths:
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def some_of(problems: list[str]) -> list[str]:
    """As many as one message names, and how many more there are."""
    more = len(problems) - MOST_NAMED
    return problems[:MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])


def read_images(
    paths: Sequence[Path], shape: Shape, threads: int | None = None
) -> tuple[Tensor, list[str | None]]:
    """Decode in parallel.

    Args:
        paths: N files.
        shape: (C, H, W) that every image is brought to.
        threads: None leaves their number to Python.

    Returns:
        uint8 (N, C, H, W), and for each file what is wrong with it, naming it, or None.
    """
    with torch.inference_mode(False):  # which threads do not inherit
        images = torch.zeros(len(paths), *shape, dtype=torch.uint8)

    def read(index: int) -> str | None:
        try:
            images[index] = read_image(paths[index], shape)
        except Exception as error:  # Pillow's decoders raise nearly anything on broken files
            return f"{paths[index]}: cannot be read: {error}"
        return None

    with ThreadPoolExecutor(threads) as pool:
        return images, list(pool.map(read, range(len(paths))))


def read_image(path: Path, shape: Shape) -> Tensor:
    """One file as uint8 (C, H, W), C 1 for grey or 3 for RGB.

    The image is scaled until it just covers H x W, and its centre cut out. Transparent pixels
    become white; 16-bit and float images are scaled, not cut off.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    with Image.open(path) as file:
        file.draft(mode, (width, height))
        image = ImageOps.exif_transpose(file)
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float32)
        white = 65_535 if image.mode != "F" else 255 if values.max() > 1 else 1
        image = Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = ImageOps.fit(image.convert(mode), (width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).view(height, width, channels).permute(2, 0, 1)
