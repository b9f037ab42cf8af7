"""Own images: unlabeled/**, train/CLASS/**, and optionally val/CLASS/** and test/CLASS/**."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simclr.data.images import LabelledImages, Source
from simclr.errors import SimclrError

logger = logging.getLogger(__name__)

FOLDERS = ("unlabeled", "train", "val", "test")
MOST_NAMED = 10  # problems in one message


def read_folder(root: Path, image_size: int, channels: int) -> Source:
    """Read all images below `root` into memory, brought to one size and number of channels.

    Classes are the folders in train/, sorted by name. Hidden files are left out, and, with a
    warning, files whose extension belongs to no image format.

    Args:
        root: holds train/ and, if wanted, unlabeled/, val/ and test/.
        image_size: the shorter side is scaled to it, then the centre is cut out.
        channels: 1 for grey, 3 for RGB.

    Raises:
        SimclrError: naming the folders and files that are wrong, up to `MOST_NAMED` of them.
    """
    if not (root / "train").is_dir():
        raise SimclrError(
            f"data.root={root}: there is no folder train; labelled images belong in train/CLASS/, "
            "unlabelled ones in unlabeled/"
        )
    if unread := [folder for folder in _subfolders(root) if folder.name not in FOLDERS]:
        logger.warning(
            "Not among %s, not read: %s", ", ".join(FOLDERS), ", ".join(map(str, unread))
        )
    paths = {name: _image_paths(root / name) for name in FOLDERS if (root / name).is_dir()}
    classes = [folder.name for folder in _subfolders(root / "train")]
    images, broken = _read_images(
        [path for part in paths.values() for path in part], image_size, channels
    )
    if problems := [*_misplaced(root, paths, classes), *broken]:
        more = len(problems) - MOST_NAMED
        named = problems[:MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])
        raise SimclrError("\n  ".join([f"data.root={root} cannot be used:", *named]))

    sizes = [len(part) for part in paths.values()]
    labelled = {
        name: LabelledImages(
            part,
            torch.tensor([classes.index(_class_name(path, root / name)) for path in paths[name]]),
        )
        for name, part in zip(paths, torch.split(images, sizes), strict=True)
        if name != "unlabeled"
    }
    return Source(
        train=labelled["train"],
        test=labelled.get("test"),
        classes=tuple(classes),
        unlabelled=images[: sizes[0]] if "unlabeled" in paths else None,
        val=labelled.get("val"),
    )


def _image_paths(folder: Path) -> list[Path]:
    from PIL import Image

    extensions = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files = sorted(path for path in _visible(folder.rglob("*"), folder) if path.is_file())
    images = [path for path in files if path.suffix.lower() in extensions]
    if len(images) < len(files):
        stray = next(path for path in files if path.suffix.lower() not in extensions)
        logger.warning("Not images: %d files like %s", len(files) - len(images), stray)
    return images


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in _visible(folder.iterdir(), folder) if path.is_dir())


def _visible(paths: Iterator[Path], folder: Path) -> Iterator[Path]:
    for path in paths:
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _class_name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]


def _misplaced(
    root: Path, paths: Mapping[str, Sequence[Path]], classes: Sequence[str]
) -> Iterator[str]:
    for name, images in paths.items():
        if not images:
            yield f"{root / name}: no images"
        elif name != "unlabeled":
            for path in images:
                if path.parent == root / name:
                    yield f"{path}: not in a class folder"
    with_images = {_class_name(path, root / "train") for path in paths["train"]}
    for name in classes:
        if paths["train"] and name not in with_images:
            yield f"{root / 'train' / name}: no images"
    for name in ("val", "test"):
        for folder in _subfolders(root / name) if name in paths else ():
            if folder.name not in classes:
                yield f"{folder}: no such class in train/"


def _read_images(paths: Sequence[Path], size: int, channels: int) -> tuple[Tensor, list[str]]:
    """Decode in parallel; give uint8 (N, channels, size, size) and what went wrong."""
    images = torch.empty(len(paths), channels, size, size, dtype=torch.uint8)

    def read(index: int) -> str | None:
        try:
            images[index] = _read_image(paths[index], size, channels)
        except Exception as error:  # Pillow's decoders raise nearly anything on broken files
            return f"{paths[index]}: cannot be read: {error}"
        return None

    with ThreadPoolExecutor() as pool:
        return images, [problem for problem in pool.map(read, range(len(paths))) if problem]


def _read_image(path: Path, size: int, channels: int) -> Tensor:
    """Transparent pixels become white; 16-bit and float images are scaled, not cut off."""
    from PIL import Image, ImageOps

    mode = "L" if channels == 1 else "RGB"
    with Image.open(path) as file:
        file.draft(mode, (size, size))
        image = ImageOps.exif_transpose(file)
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float32)
        white = 65_535 if image.mode != "F" else 255 if values.max() > 1 else 1
        image = Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).view(size, size, channels).permute(2, 0, 1)
