"""Files that are there whole, or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, force to disk and rename: neither a kill nor a full disk leaves half a file.

    Raises:
        OSError: if it cannot be written; what was there before still is.
    """
    aside = path.with_suffix(".tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
