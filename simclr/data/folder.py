"""Own images: unlabeled/**, train/CLASS/**, and optionally val/CLASS/** and test/CLASS/**."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from simclr.config.schema import MAX_PIXELS
from simclr.data.fingerprint import of_files, of_labels
from simclr.data.given_labels import read_labels
from simclr.data.image_files import (
    Decoding,
    Shape,
    are_few,
    read_images,
    tell_broken,
    value_range,
)
from simclr.data.images import Images, LabelledImages, Source
from simclr.data.streaming import StreamedImages, fits
from simclr.data.walk import Found, find_images, readable, some_of, subfolders, warn
from simclr.errors import SimclrError

logger = logging.getLogger(__name__)

UNLABELLED = "unlabeled"
FOLDERS = (UNLABELLED, "train", "val", "test")
BROKEN = "broken"


def read_folder(
    root: Path,
    image_size: int,
    channels: int,
    stream: str = "auto",
    max_pixels: int = MAX_PIXELS,
    labels: Path | None = None,
) -> Source:
    """Read all images below `root` into memory, brought to one size and number of channels.

    Classes are the folders in train/, sorted by name. Without train/ there are no labels, which
    pretraining does not need. Links are followed. Hidden files are left
    out, and, with a warning, files that are no images. So are broken unlabelled images, if they
    are few.

    Args:
        root: holds train/ or unlabeled/ or both and, if wanted, val/ and test/.
        image_size: the shorter side is scaled to it, then the centre is cut out.
        channels: 1 for grey, 3 for RGB.
        stream: always leaves the images in unlabeled/ in their files, to be decoded when they are
            needed; never reads them, too; auto decides by the memory of the machine.
        max_pixels: a larger image counts as broken.
        labels: CSV of the classes of images in unlabeled/, and of those in train/ that their
            folder does not tell.

    Raises:
        SimclrError: naming the folders and files that are wrong, up to `MOST_NAMED` of them.
    """
    found = _look(root)
    paths: dict[str, list[Path]] = {name: part.images for name, part in found.items()}
    every = [path for part in paths.values() for path in part]
    folders = _classes(root / "train") if "train" in found else []
    given = {} if labels is None else read_labels(labels, "file", _place(root, paths))
    if given:
        files = paths.get(UNLABELLED, [])
        moved = [path for path in files if path in given]
        paths["train"] = [*paths.get("train", []), *moved]
        paths[UNLABELLED] = [path for path in files if path not in given]
    if not paths.get(UNLABELLED, True) and given:
        del paths[UNLABELLED]
    classes = sorted({*folders, *given.values()})
    decoding = Decoding(value_range(every, max_pixels), max_pixels)
    shape = (channels, image_size, image_size)
    streamed = UNLABELLED in paths and (
        stream == "always" or (stream == "auto" and not fits(len(paths[UNLABELLED]), shape))
    )
    parts = {
        name: _read(part, shape, decoding)
        for name, part in paths.items()
        if name != UNLABELLED or not streamed
    }
    few = _without_few_broken(parts)
    broken = [problem for part in parts.values() for problem in part.problems]
    if problems := [*_misplaced(root, paths, classes), *broken]:
        raise SimclrError("\n  ".join([f"data.root={root} cannot be used:", *some_of(problems)]))
    tell_broken(few)

    none = torch.empty(0, *shape, dtype=torch.uint8)
    labelled = {"train": LabelledImages(none, torch.empty(0, dtype=torch.int64))} | {
        name: LabelledImages(part.images, _labels(paths[name], root / name, classes, given))
        for name, part in parts.items()
        if name != UNLABELLED
    }
    unlabelled: Images | None = None
    kept: list[Path] = []
    if streamed:
        unlabelled = StreamedImages(paths[UNLABELLED], none, decoding)
        kept = paths[UNLABELLED]
    elif UNLABELLED in parts:
        unlabelled = parts[UNLABELLED].images
        whole = parts[UNLABELLED].whole if few else [True] * len(unlabelled)
        kept = [path for path, use in zip(paths[UNLABELLED], whole, strict=True) if use]
    return Source(
        train=labelled["train"],
        test=labelled.get("test"),
        classes=tuple(classes),
        unlabelled=unlabelled,
        val=labelled.get("val"),
        left_out=_counts(found.values(), len(few)),
        remarks=_remarks(decoding),
        files=of_files(root, every) | ({} if labels is None else of_labels(labels)),
        root=root,
        paths=(*kept, *paths.get("train", ())),
    )


@dataclass
class _Part:
    """Images of a folder, and the problems of those that could not be read, which are black."""

    images: Tensor
    problems: list[str]
    whole: list[bool]


def _look(root: Path) -> dict[str, Found]:
    """Find the images in each of `FOLDERS` that exists, and warn of what is left out."""
    names = [name for name in FOLDERS if (root / name).is_dir()]
    if not {"train", UNLABELLED} & {*names}:
        raise SimclrError(
            f"data.root={root}: there is no folder train and none named {UNLABELLED}; labelled "
            f"images belong in train/CLASS/, unlabelled ones in {UNLABELLED}/"
        )
    if unread := [path for path in subfolders(root) if path.name not in FOLDERS]:
        logger.warning(
            "Not among %s, not read: %s", ", ".join(FOLDERS), ", ".join(map(readable, unread))
        )
    found = {name: find_images(root / name) for name in names}
    together = Found()
    for part in found.values():
        for why, paths in part.left_out.items():
            together.left_out.setdefault(why, []).extend(paths)
    warn(together.left_out)
    return found


def _read(paths: Sequence[Path], shape: Shape, decoding: Decoding) -> _Part:
    images, problems = read_images(paths, shape, decoding=decoding)
    return _Part(images, [*filter(None, problems)], [problem is None for problem in problems])


def _without_few_broken(parts: Mapping[str, _Part]) -> list[str]:
    """Remove broken images from the unlabelled ones, if they are few, and return their problems."""
    part = parts.get(UNLABELLED)
    if part is None or not are_few(part.problems, len(part.whole)):
        return []
    problems, part.problems = part.problems, []
    part.images = part.images[torch.tensor(part.whole)]
    return problems


def _classes(folder: Path) -> list[str]:
    return sorted({class_name(path) for path in subfolders(folder)})


def class_name(folder: Path) -> str:
    """The class that a folder's name means, however its accents are composed."""
    return unicodedata.normalize("NFC", readable(folder.name))


def _class_of(path: Path, folder: Path) -> str:
    return class_name(Path(path.relative_to(folder).parts[0]))


def _labels(
    paths: Sequence[Path], folder: Path, classes: Sequence[str], given: Mapping[Path, str]
) -> Tensor:
    places = {name: place for place, name in enumerate(classes)}
    names = (given.get(path) or _class_of(path, folder) for path in paths)
    return torch.tensor([places[name] for name in names], dtype=torch.int64)


def _place(root: Path, paths: Mapping[str, Sequence[Path]]) -> Callable[[str], Path]:
    """Finds the image in unlabeled/ or train/ that a file of labels names."""
    known = {
        file_name(root, path): path
        for part in (UNLABELLED, "train")
        for path in paths.get(part, ())
    }

    def place(name: str) -> Path:
        if name in known:
            return known[name]
        if f"{UNLABELLED}/{name}" in known:
            raise ValueError(f"{name}: no such file; {UNLABELLED}/{name} is there")
        if name and (root / name).exists():
            raise ValueError(f"{name}: no image in {UNLABELLED}/ or train/ of {root}")
        raise ValueError(f"{name}: no such file in {root}")

    return place


def file_name(root: Path, path: Path) -> str:
    """The name below `root` that files of labels use."""
    return readable(path.relative_to(root).as_posix())


def _misplaced(
    root: Path, paths: Mapping[str, Sequence[Path]], classes: Sequence[str]
) -> Iterator[str]:
    for name, images in paths.items():
        if not images:
            yield f"{root / name}: no images"
        elif name != UNLABELLED:
            for path in images:
                if path.parent == root / name:
                    yield f"{readable(path)}: not in a class folder"
    inside = (path for path in paths.get("train", ()) if path.is_relative_to(root / "train"))
    with_images = {_class_of(path, root / "train") for path in inside}
    for folder in subfolders(root / "train") if with_images else ():
        if class_name(folder) not in with_images:
            yield f"{readable(folder)}: no images"
    for name in ("val", "test"):
        for folder in subfolders(root / name) if name in paths else ():
            if class_name(folder) not in classes:
                yield f"{readable(folder)}: no such class in train/ or data.labels"


def _counts(found: Iterable[Found], broken: int) -> dict[str, int]:
    counts = Counter({BROKEN: broken})
    for part in found:
        counts.update({why: len(paths) for why, paths in part.left_out.items()})
    return {why: count for why, count in counts.items() if count}


def _remarks(decoding: Decoding) -> tuple[str, ...]:
    if decoding.values is None:
        return ()
    black, white = decoding.values
    return (f"In float and 32-bit images {black:g} is black and {white:g} white.",)
