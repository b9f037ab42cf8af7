"""Run a function in several processes joined by gloo, on one machine without a network."""

import multiprocessing
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def forkserver() -> ForkServerContext:
    """Where new processes come from that need not import what is slow to import."""
    # Imported once for all processes of all tests; DistributedDataParallel imports the first.
    multiprocessing.set_forkserver_preload(["torch._dynamo", "simclr.run"])
    return multiprocessing.get_context("forkserver")


def run_ranks(
    function: Callable[..., Any], world_size: int, *args: Any, timeout: float = 120
) -> list[Any]:
    """Call ``function(rank, *args)`` in ``world_size`` new processes of one process group.

    Args:
        function: A module-level function; it finds the process group initialised.
        world_size: Number of processes.
        args: Handed to the function in every process, by pickle.
        timeout: Seconds after which the processes are ended.

    Returns:
        What each rank returned, in order of rank: tensors, numbers, strings and containers of them.

    Raises:
        RuntimeError: A rank failed; holds its traceback.
        TimeoutError: The ranks did not finish in time.
    """
    context = forkserver()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranks = [
            context.Process(target=_run_rank, args=(rank, world_size, folder, function, args))
            for rank in range(world_size)
        ]
        try:
            for process in ranks:
                process.start()
            _join(ranks, timeout)
        finally:
            for process in ranks:
                process.kill()
                process.join()
        if any(process.exitcode for process in ranks):
            errors = [path.read_text() for path in sorted(folder.glob("*.error"))]
            codes = [process.exitcode for process in ranks]
            raise RuntimeError("\n".join([f"the ranks ended with status {codes}", *errors]))
        return [torch.load(folder / f"{rank}.pt") for rank in range(world_size)]


def _join(ranks: Sequence[BaseProcess], timeout: float) -> None:
    """Wait for all ranks, or for one to fail: the others would wait for it for ever."""
    deadline = time.monotonic() + timeout
    while running := [process for process in ranks if process.is_alive()]:
        if any(process.exitcode for process in ranks):
            return
        if not wait([process.sentinel for process in running], deadline - time.monotonic()):
            raise TimeoutError(f"{len(running)} of {len(ranks)} ranks still ran after {timeout} s")


def _run_rank(
    rank: int, world_size: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=world_size
        )
        torch.save(function(rank, *args), folder / f"{rank}.pt")
        dist.destroy_process_group()
    except Exception:
        (folder / f"{rank}.error").write_text(f"rank {rank}: {traceback.format_exc()}")
        sys.exit(1)
