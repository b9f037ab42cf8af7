"""Own images: unlabeled/**, train/CLASS/**, and optionally val/CLASS/** and test/CLASS/**."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from simclr.data.image_files import image_paths, read_images, some_of, visible
from simclr.data.images import Images, LabelledImages, Source
from simclr.data.streaming import StreamedImages, fits
from simclr.errors import SimclrError

logger = logging.getLogger(__name__)

FOLDERS = ("unlabeled", "train", "val", "test")


def read_folder(root: Path, image_size: int, channels: int, stream: str = "auto") -> Source:
    """Read all images below `root` into memory, brought to one size and number of channels.

    Classes are the folders in train/, sorted by name. Hidden files are left out, and, with a
    warning, files whose extension belongs to no image format.

    Args:
        root: holds train/ and, if wanted, unlabeled/, val/ and test/.
        image_size: the shorter side is scaled to it, then the centre is cut out.
        channels: 1 for grey, 3 for RGB.
        stream: always leaves the images in unlabeled/ in their files, to be decoded when they are
            needed; never reads them, too; auto decides by the memory of the machine.

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
    shape = (channels, image_size, image_size)
    streamed = "unlabeled" in paths and (
        stream == "always" or (stream == "auto" and not fits(len(paths["unlabeled"]), shape))
    )
    read = {name: part for name, part in paths.items() if name != "unlabeled" or not streamed}
    images, broken = read_images([path for part in read.values() for path in part], shape)
    if problems := [*_misplaced(root, paths, classes), *filter(None, broken)]:
        raise SimclrError("\n  ".join([f"data.root={root} cannot be used:", *some_of(problems)]))

    sizes = [len(part) for part in read.values()]
    parts = dict(zip(read, torch.split(images, sizes), strict=True))
    labelled = {
        name: LabelledImages(
            part,
            torch.tensor([classes.index(_class_name(path, root / name)) for path in paths[name]]),
        )
        for name, part in parts.items()
        if name != "unlabeled"
    }
    unlabelled: Images | None = parts.get("unlabeled")
    if streamed:
        unlabelled = StreamedImages(paths["unlabeled"], images[:0])
    return Source(
        train=labelled["train"],
        test=labelled.get("test"),
        classes=tuple(classes),
        unlabelled=unlabelled,
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
