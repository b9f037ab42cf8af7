"""Keep the memory of freed tensors, because the next training step needs as much again."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MIB = 2**20


def keep_freed_memory() -> None:
    """Tell glibc, if it is there, not to return large blocks to the system.

    By default it returns them at every step, and the system clears the pages when it lends them
    again. This costs about a tenth of the processor time of a training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1024 * _MIB) or mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
