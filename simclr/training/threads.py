"""How many processor threads a run computes with: fewer where other programs are at work."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import joblib
import psutil
import torch

from simclr.config.schema import Config
from simclr.errors import SimclrError
from simclr.launch.ranks import world_size
from simclr.training.callbacks.checkpoints import read_checkpoint
from simclr.training.resume import AUTO

ALL = torch.get_num_threads()  # before a run changes it; OMP_NUM_THREADS where that is set
WATCHED = 0.2  # seconds of a look
LOOKS = 5  # at most
SPARE = 0.2  # a processor that is busy for no more than this share counts as idle


def with_threads(config: Config, folder: Path, say: Callable[[str], None]) -> Config:
    """Set the number of threads, and return the configuration with that number.

    Threads that share an operation wait for the slowest of them, so a run loses most of its speed
    if another program uses one of their processors. A run therefore takes as many threads as
    processors are idle when it begins. A run that goes on takes as many as before, because
    another number rounds differently. `trainer.threads` and OMP_NUM_THREADS come first; Lightning
    divides the processors among several processes of one run.

    Args:
        config: of the run.
        folder: its output folder.
        say: tells the user.
    """
    settings = config.trainer
    alone = world_size(settings.devices, settings.num_nodes) == 1
    threads = settings.threads or _before(config.checkpoint, folder)
    if threads is None and alone:
        allowed = min(ALL, int(joblib.cpu_count()))  # a container may allow fewer
        threads = ALL if "OMP_NUM_THREADS" in os.environ else _idle(allowed)
        if threads < allowed:
            say(f"Other programs are at work: {threads} of {allowed} threads (trainer.threads=N)")
    if threads is None:
        return config
    torch.set_num_threads(threads)
    if not alone:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # else Lightning sets another number
    return replace(config, trainer=replace(settings, threads=threads))


def _before(checkpoint: str | None, folder: Path) -> int | None:
    """The number in the checkpoint to go on from; None if there is none, or it does not say."""
    if checkpoint is None:
        return None
    paths = sorted(folder.rglob("*.ckpt")) if checkpoint == AUTO else [Path(checkpoint)]
    for path in paths:
        with suppress(SimclrError):  # which is said where the run goes on from it
            threads = read_checkpoint(path)["config"].get("trainer", {}).get("threads")
            return threads if isinstance(threads, int) else None
    return None


def _idle(allowed: int) -> int:
    """Processors of this process that no other program uses; from one to `allowed`.

    The best of some looks counts, so that what another program does for a moment does not.
    """
    found = 1
    for _ in range(LOOKS):
        used = psutil.cpu_percent(WATCHED, percpu=True)
        own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(used))
        found = max(found, int(sum(1 - used[index] / 100 for index in own) + SPARE))
        if found >= allowed:
            return allowed
    return found
