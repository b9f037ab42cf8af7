"""error.txt, which a job of a sweep that failed leaves in its folder: what it was, and why."""

import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from simclr.errors import SimclrError
from simclr.files import read_text

REPORT = "error.txt"


def write_failure(folder: Path, overrides: Sequence[str], error: Exception) -> None:
    """Leave the command of this job alone and the reason, with a traceback if it is a surprise."""
    expected = isinstance(error, SimclrError)
    reason = f"{error}" if expected else "".join(traceback.format_exception(error)).rstrip()
    (folder / REPORT).write_text(f"{shlex.join(['train.py', *overrides])}\n{reason}\n")


def read_failure(folder: Path) -> tuple[str, str] | None:
    """The command and the reason of a job that failed, of a traceback only its last line."""
    try:
        command, *reason = read_text(folder / REPORT).splitlines()
    except (OSError, ValueError):
        return None
    surprise = reason and reason[0].startswith("Traceback")
    return command, reason[-1] if surprise else "\n".join(reason)


def tell_failures(sweep: Path) -> None:
    """Say on stderr which jobs of a sweep failed, together those that failed for one reason."""
    jobs = sorted((path for path in sweep.glob("*") if path.name.isdecimal()), key=_number)
    by_reason: dict[str, list[str]] = {}
    for job in jobs:
        if found := read_failure(job):
            command, reason = found
            by_reason.setdefault(reason, []).append(f"{job}: {command}")
    if by_reason:
        failed = sum(map(len, by_reason.values()))
        print(f"{failed} of {len(jobs)} jobs failed:", file=sys.stderr)
    for reason, commands in by_reason.items():
        print(indent("\n".join(commands), "  "), indent(reason, "    "), sep="\n", file=sys.stderr)


def _number(job: Path) -> int:
    return int(job.name)
