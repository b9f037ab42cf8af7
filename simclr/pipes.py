"""Output for terminals and for other commands."""

import io
import os
import signal
import sys
from collections.abc import Callable


def escape_what_cannot_be_written() -> None:
    """Let a terminal that lacks a letter (PYTHONIOENCODING=ascii) show its code, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def while_read(command: Callable[[], int]) -> int:
    """The command's exit status; once its output's reader is gone, as `head` is, that of SIGPIPE.

    Where the output cannot be written, as on a full disk, it is 1, and a line says why.

    Python raises BrokenPipeError where other programs are ended by the signal, without a word.
    """
    escape_what_cannot_be_written()
    try:
        status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _write_no_more()
        place = f"{error.filename}: " if error.filename else "The output cannot be written: "
        print(f"{place}{error.strerror}", file=sys.stderr)
        return 1
    return status


def _write_no_more() -> None:
    """Let the flush at exit go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
