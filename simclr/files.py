"""Files: written whole or not at all, and read without trust in what they hold."""

import json
import os
import stat
from math import isfinite
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20  # of a text file; what runs write is far smaller
MAX_DIGITS = 40  # of an integer in JSON; seeds have 20 at most


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, force to disk and rename: neither a kill nor a full disk leaves half a file.

    Raises:
        OSError: if it cannot be written; what was there before still is.
    """
    aside = path.with_name(f"{path.name}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def open_regular(path: Path) -> int:
    """A descriptor for reading an ordinary file; a FIFO or a device is refused, not waited for.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is something else than an ordinary file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is no ordinary file")
    return descriptor


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """The UTF-8 text of an ordinary file of at most `limit` bytes.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is another kind of file, larger, or no text.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name} is larger than {limit} bytes")
    return content.decode()


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no ordinary file, too large, or not what `parse_json` takes.
    """
    return parse_json(read_text(path))


def parse_json(text: str) -> Any:
    """The content of strict JSON text of any origin.

    Raises:
        ValueError: if it is no JSON, nested too deep, or has numbers that are not finite or of
            more than 40 digits.
    """
    try:
        return json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=_real)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"a number that is not finite: {digits[:MAX_DIGITS]}")
    return number


def printable(text: str) -> str:
    r"""The text with all that a terminal would not show as it is escaped, such as ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
