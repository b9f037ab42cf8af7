"""The registry of data sources, and the folder in IDX format."""

import re
from pathlib import Path

import torch
from torch import Tensor

from simclr.config.schema import MAX_PIXELS
from simclr.data.folder import read_folder
from simclr.data.idx import read_idx
from simclr.data.images import LabelledImages, Source
from simclr.data.published import FASHION_MNIST, KMNIST, MNIST, Published, read_published
from simclr.data.synthetic import draw_source
from simclr.errors import SimclrError

PUBLISHED = {"mnist": MNIST, "fashion_mnist": FASHION_MNIST, "kmnist": KMNIST}
SOURCES = (*PUBLISHED, "idx", "folder", "synthetic")

IDX_FILES = {  # usual name: pattern of the names that are accepted before -idx or .idx
    "train-images-idx3-ubyte": "train-images",
    "train-labels-idx1-ubyte": "train-labels",
    "t10k-images-idx3-ubyte": "(t10k|test)-images",
    "t10k-labels-idx1-ubyte": "(t10k|test)-labels",
}


def load_source(
    name: str,
    root: Path,
    *,
    image_size: int = 28,
    channels: int = 1,
    train_size: int = 12_000,
    test_size: int = 2_000,
    seed: int = 0,
    stream: str = "auto",
    max_pixels: int = MAX_PIXELS,
    labels: Path | None = None,
) -> Source:
    """Load a data set, into memory if it fits.

    Args:
        name: one of `SOURCES`.
        root: folder of the files; `synthetic` needs none.
        image_size: height and width; `folder` and `synthetic` only.
        channels: 1 for grey, 3 for RGB; `folder` only.
        train_size: training images; `synthetic` only.
        test_size: test images; `synthetic` only.
        seed: which images; `synthetic` only.
        stream: whether unlabelled images stay in their files; `folder` only.
        max_pixels: of an image file; `folder` only.
        labels: CSV of classes of image files; `folder` only.

    Raises:
        SimclrError: if the name is unknown, or files are missing or not what they should be.
    """
    if name in PUBLISHED:
        return _published_source(PUBLISHED[name], root)
    match name:
        case "idx":
            return read_idx_folder(root)
        case "folder":
            return read_folder(root, image_size, channels, stream, max_pixels, labels)
        case "synthetic":
            return draw_source(train_size, test_size, image_size, seed)
    raise SimclrError(f"data.name={name}: unknown; choose one of {', '.join(SOURCES)}")


def read_idx_folder(root: Path) -> Source:
    """Read train-images, train-labels, t10k-images and t10k-labels (or test-*) in IDX format.

    Files lie in `root` or `root`/raw, raw or gzip-compressed, named like MNIST's or
    EMNIST's, in small or capital letters. Images are
    uint8 (N, H, W) or (N, C, H, W) of any size; the classes are the values among the train labels.

    Raises:
        SimclrError: naming every file that is missing, or the one that does not fit the others.
    """
    paths = {file: path for file in IDX_FILES if (path := _find_idx(root, IDX_FILES[file]))}
    if missing := [file for file in IDX_FILES if file not in paths]:
        raise SimclrError(
            f"data.root={root}: no {', '.join(missing)} (raw or .gz) there or in raw/; "
            "four files named like MNIST's are needed"
        )
    train_images, train_labels, test_images, test_labels = paths.values()
    train, values = _read_pair(train_images, train_labels)
    test, test_values = _read_pair(test_images, test_labels)
    if train.shape[1:] != test.shape[1:]:
        raise SimclrError(
            f"{test_images}: images are {_size(test)}, but those in {train_images} are "
            f"{_size(train)}"
        )
    classes = torch.unique(values)
    strangers = torch.unique(test_values[~torch.isin(test_values, classes)])
    if len(strangers):
        raise SimclrError(
            f"{test_labels}: labels {strangers.tolist()} are not among those in {train_labels}"
        )
    return Source(
        train=LabelledImages(train, torch.searchsorted(classes, values)),
        test=LabelledImages(test, torch.searchsorted(classes, test_values)),
        classes=tuple(map(str, classes.tolist())),
    )


def _published_source(data: Published, root: Path) -> Source:
    images, labels, test_images, test_labels = read_published(data, root)
    return Source(
        train=LabelledImages(images.unsqueeze(1), labels.long()),
        test=LabelledImages(test_images.unsqueeze(1), test_labels.long()),
        classes=data.classes,
    )


def _find_idx(root: Path, pattern: str) -> Path | None:
    name = re.compile(rf"(emnist-[a-z]+-)?{pattern}[-.]idx\d-ubyte(\.gz)?", re.IGNORECASE)
    for folder in filter(Path.is_dir, (root, root / "raw")):
        found = {
            match[1]: path
            for path in sorted(folder.iterdir(), reverse=True)
            if (match := name.fullmatch(path.name)) and path.is_file()
        }
        if len(found) > 1:
            raise SimclrError(
                f"data.root={root}: holds several data sets: "
                f"{', '.join(path.name for path in found.values())}; keep each in its own folder"
            )
        if found:
            return next(iter(found.values()))
    return None


def _read_pair(images_path: Path, labels_path: Path) -> tuple[Tensor, Tensor]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if images.ndim != 4 or images.numel() == 0:
        raise SimclrError(
            f"{images_path}: shape {tuple(images.shape)}, expected images (N, H, W) or (N, C, H, W)"
        )
    if labels.ndim != 1:
        raise SimclrError(f"{labels_path}: shape {tuple(labels.shape)}, expected labels (N,)")
    if len(images) != len(labels):
        raise SimclrError(
            f"{labels_path}: {len(labels)} labels, but {len(images)} images in {images_path}"
        )
    return images, labels


def _size(images: Tensor) -> str:
    return "x".join(map(str, images.shape[1:]))
