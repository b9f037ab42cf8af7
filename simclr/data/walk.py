"""Find the image files below a folder, and list what is left out."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)

HIDDEN = "hidden or of the system"
FOREIGN = "not images"
DANGLING = "links to nothing"
AGAIN = "links to folders that are read anyway"
CLOSED = "folders that may not be opened"

SYSTEM = {  # what NAS boxes, Windows and archives leave among images; compared in small letters
    *("@eadir", "@recycle", "@recently-snapshot", "@sharebin", "@sharesnap", "@tmp"),
    *("#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"),
    *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"),
}
NOT_DECODED = {
    "BUFR",
    "EPS",
    "GRIB",
    "HDF5",
    "MPEG",
    "WMF",
}  # Pillow knows no more than their names
MOST_NAMED = 100  # files in one message


@dataclass
class Found:
    """The image files below a folder, and what is left out.

    Attributes:
        images: image files, sorted.
        left_out: why, and what was left out for that reason.
    """

    images: list[Path] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    def leave_out(self, why: str, path: Path) -> None:
        """Count a file or folder among what is left out."""
        self.left_out.setdefault(why, []).append(path)


def find_images(folder: Path) -> Found:
    """Find image files in a folder and below it; links are followed.

    A link to a folder that holds the link, or that was read before, is not followed.
    """
    found = Found()
    real = folder.resolve()
    _walk(folder, {_identity(path) for path in (real, *real.parents)}, found)
    found.images.sort()
    return found


def image_paths(folder: Path) -> list[Path]:
    """The image files of `find_images`; a warning names what is left out."""
    found = find_images(folder)
    warn(found.left_out)
    return found.images


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, and links to folders, sorted; those of the system are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not meant to be seen."""
    return name.startswith(".") or name.lower() in SYSTEM


def warn(left_out: Mapping[str, Sequence[Path]]) -> None:
    """Warn once for each reason why files are left out; hidden files are not mentioned."""
    if foreign := left_out.get(FOREIGN):
        kinds = Counter(path.suffix.lower() or "no extension" for path in foreign)
        counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
        logger.warning(
            "Passed over, not images: %d files (%s), such as %s",
            *(len(foreign), readable(counts), readable(foreign[0])),
        )
    for why in (DANGLING, AGAIN, CLOSED):
        if paths := left_out.get(why):
            logger.warning("Passed over, %s: %s", why, ", ".join(some_of(map(readable, paths))))


def readable(name: object) -> str:
    """A name as text that can be written anywhere: bytes that are no UTF-8 are escaped."""
    return str(name).encode(errors="backslashreplace").decode()


def some_of(problems: Iterable[str]) -> list[str]:
    """As many as one message names, and how many more there are."""
    named = list(problems)
    more = len(named) - MOST_NAMED
    return named[:MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])


def _walk(folder: Path, seen: set[tuple[int, int]], found: Found) -> None:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        found.leave_out(CLOSED, folder)
        return
    for entry in listed:
        path = folder / entry.name
        if is_hidden(entry.name):
            found.leave_out(HIDDEN, path)
        elif entry.is_symlink() and not path.exists():
            found.leave_out(DANGLING, path)
        elif entry.is_dir():
            if (identity := _identity(path)) in seen:
                found.leave_out(AGAIN, path)
            else:
                seen.add(identity)
                _walk(path, seen, found)
        elif entry.is_file() and path.suffix.lower() in _extensions():
            found.images.append(path)
        else:
            found.leave_out(FOREIGN, path)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


@cache
def _extensions() -> frozenset[str]:
    from PIL import Image

    known = Image.registered_extensions().items()
    return frozenset(end for end, kind in known if kind in {*Image.OPEN} - NOT_DECODED)
