"""error.txt: the command and the reason of a failed job of a sweep, in its folder."""

import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from simclr.errors import InUseError, SimclrError
from simclr.files import read_text

REPORT = "error.txt"


def write_failure(folder: Path, overrides: Sequence[str], error: Exception) -> None:
    """Write the command of this job and the reason, with a traceback if it is not a SimclrError.

    Beside the folder, as NAME.error.txt, where that belongs to another run.
    """
    expected = isinstance(error, SimclrError)
    reason = f"{error}" if expected else "".join(traceback.format_exception(error)).rstrip()
    path = _beside(folder) if isinstance(error, InUseError) else folder / REPORT
    path.write_text(f"{shlex.join(['train.py', *overrides])}\n{reason}\n")


def forget_failure(folder: Path) -> None:
    """Remove what `write_failure` has left: the job is done again."""
    for path in (folder / REPORT, _beside(folder)):
        path.unlink(missing_ok=True)


def read_failure(folder: Path) -> tuple[str, str] | None:
    """The command and the reason of a job that failed, of a traceback only its last line."""
    path = _beside(folder) if _beside(folder).exists() else folder / REPORT
    try:
        command, *reason = read_text(path).splitlines()
    except (OSError, ValueError):
        return None
    surprise = reason and reason[0].startswith("Traceback")
    return command, reason[-1] if surprise else "\n".join(reason)


def tell_sweep(sweep: Path) -> None:
    """Say on stderr which jobs of a sweep failed, by reason, and how to compare the others.

    Jobs are told by what they leave, whatever the name of their folder.
    """
    failed = {path.parent for path in sweep.rglob(REPORT)}
    failed |= {
        path.with_name(path.name.removesuffix(f".{REPORT}")) for path in sweep.rglob(f"*.{REPORT}")
    }
    finished = {path.parent for path in sweep.rglob("results.json")}
    by_reason: dict[str, list[str]] = {}
    for job in sorted(failed, key=_in_order):
        if found := read_failure(job):
            command, reason = found
            by_reason.setdefault(reason, []).append(f"{job}: {command}")
    if by_reason:
        count = sum(map(len, by_reason.values()))
        print(f"{count} of {len(failed | finished)} jobs failed:", file=sys.stderr)
    for reason, commands in by_reason.items():
        print(indent("\n".join(commands), "  "), indent(reason, "    "), sep="\n", file=sys.stderr)
    if finished:
        name = shlex.quote(str(sweep))
        print(f"All jobs in one table: python -m simclr.results {name}", file=sys.stderr)


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.{REPORT}")


def _in_order(job: Path) -> list[tuple[str, int]]:
    """Numbers in names count as numbers."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", str(job))]
