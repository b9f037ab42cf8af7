"""Own images: unlabeled/**, train/CLASS/**, and optionally val/CLASS/** and test/CLASS/**."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from simclr.data.image_files import image_paths, read_images, visible
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
    paths = {name: image_paths(root / name) for name in FOLDERS if (root / name).is_dir()}
    classes = [folder.name for folder in _subfolders(root / "train")]
    images, broken = read_images(
        [path for part in paths.values() for path in part], (channels, image_size, image_size)
    )
    if problems := [*_misplaced(root, paths, classes), *filter(None, broken)]:
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


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in visible(folder.iterdir(), folder) if path.is_dir())


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
