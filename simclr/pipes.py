"""Commands whose output other commands read."""

import os
import signal
import sys
from collections.abc import Callable


def while_read(command: Callable[[], int]) -> int:
    """The command's exit status; once its output's reader is gone, as `head` is, that of SIGPIPE.

    Python raises BrokenPipeError where other programs are ended by the signal, without a word.
    """
    try:
        status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 128 + signal.SIGPIPE
    return status
