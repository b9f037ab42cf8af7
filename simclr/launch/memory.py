"""The memory that this process may use, by its machine and its container."""

import os
from collections.abc import Iterator
from pathlib import Path

UNKNOWN = 8 * 2**30  # what is taken for granted where the system does not say


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes of the machine, or fewer if a control group (a container, a SLURM job) allows fewer.

    Args:
        root: of the file system in which the limits are looked up.
    """
    return min([_machine(), *_control_groups(root)])


def _machine() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # as on Windows
        return UNKNOWN


def _control_groups(root: Path) -> Iterator[int]:
    """The limits of the group of this process and of those it is in, of version 2 and 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    groups = root / "sys/fs/cgroup"
    for _, kinds, own in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if kinds and "memory" not in kinds.split(","):
            continue
        top, name = (
            (groups / "memory", "memory.limit_in_bytes") if kinds else (groups, "memory.max")
        )
        place = Path(own.lstrip("/"))
        for part in (place, *place.parents):  # the last is the top
            yield from _number(top / part / name)


def _number(path: Path) -> Iterator[int]:
    try:
        text = path.read_text().strip()
    except OSError:
        return
    if text.isdecimal():  # else "max"
        yield int(text)
