"""Processes that decode images ahead, and leave signals to the process that started them."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from simclr.launch.signals import STOP

# Not what a launcher such as joblib has set for processes of its own kind.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def usual_workers() -> int:
    """One process for each core that this one may use, shared with the others on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def ahead(items: Dataset[Any], workers: int) -> Iterator[Any]:
    """The items of a data set in order, made ahead by so many processes; 0: by this one.

    A signal to the whole process group, as SLURM and `timeout` send it, must not end them before
    this process has finished its step. They inherit what is blocked here while they are started.
    """
    on_linux = sys.platform == "linux"
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context=PROCESSES if workers else None,
        worker_init_fn=_obey_the_parent if on_linux else None,
    )
    if not on_linux:
        return iter(loader)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _obey_the_parent(worker: int) -> None:
    """End this process upon a SIGTERM of its parent alone."""

    def wait() -> None:
        parent = os.getppid()
        while (received := signal.sigwaitinfo({signal.SIGTERM})) and received.si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
