"""Output for terminals and for other commands."""

import io
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable


def escape_what_cannot_be_written() -> None:
    """Let a terminal that lacks a letter (PYTHONIOENCODING=ascii) show its code, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def folded(text: str) -> str:
    """The text with line breaks between words, where a terminal would break within one.

    Rows of tables stay whole, and so does all that is not written to a terminal.
    """
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(
        line
        if line.startswith("|")
        else "\n".join(textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False))
        for line in text.split("\n")
    )


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
