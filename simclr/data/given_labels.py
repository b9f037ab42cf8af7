"""Labels that a person wrote into a CSV file: which image is of which class."""

import csv
import io
import unicodedata
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from simclr.data.walk import readable, some_of
from simclr.errors import SimclrError
from simclr.files import read_text

Place = TypeVar("Place", Path, int)


def read_labels(
    path: Path,
    column: str,
    place: Callable[[str], Place],
    known: Collection[str] | None = None,
) -> dict[Place, str]:
    """The class of each image that the file names.

    The first line names the columns; others than `column` and class are not read. A line may be
    there twice; empty ones count for nothing.

    Args:
        path: UTF-8 text, with commas.
        column: that tells the image: file or index.
        place: finds an image by what its column says; raises ValueError if there is none.
        known: the classes that there can be; None allows any.

    Raises:
        SimclrError: naming every problem with its line.
    """
    problems: list[str] = []
    classes: dict[Place, str] = {}
    lines: dict[Place, int] = {}
    for line, told, name in _rows(path, column):
        try:
            image = place(told)
            name = unicodedata.normalize("NFC", name)
            if not name:
                raise ValueError(f"no class for {told}")
            if known is not None and name not in known:
                raise ValueError(f"class {name!r} is none of {', '.join(known)}")
            if classes.setdefault(image, name) != name:
                raise ValueError(
                    f"{told} is {name!r} here and {classes[image]!r} in line {lines[image]}"
                )
            lines.setdefault(image, line)
        except ValueError as problem:
            problems.append(readable(f"line {line}: {problem}"))
    if problems:
        raise SimclrError("\n  ".join([f"data.labels={path} cannot be used:", *some_of(problems)]))
    if not classes:
        raise SimclrError(f"data.labels={path}: no labels in this file")
    return classes


def _rows(path: Path, column: str) -> Iterator[tuple[int, str, str]]:
    """Line, image and class of each row."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    wanted = (column, "class")
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if not {*wanted} <= {*header}:
            raise SimclrError(
                f"data.labels={path}: line 1 must name the columns {','.join(wanted)}; "
                f"it says {readable(','.join(header)) or 'nothing'}"
            )
        places = [header.index(name) for name in wanted]
        for row in reader:
            if any(cell.strip() for cell in row):
                told, name = (row[at].strip() if at < len(row) else "" for at in places)
                yield reader.line_num, told, name
    except csv.Error as error:
        raise SimclrError(f"data.labels={path}: line {reader.line_num}: {error}") from error


def _text(path: Path) -> str:
    try:
        return read_text(path).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SimclrError(
            f"data.labels={path}: line {line}: this is no UTF-8; save the table as CSV in UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        raise SimclrError(f"data.labels={path}: {error}") from error
