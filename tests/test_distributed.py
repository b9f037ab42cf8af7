import threading

import pytest
import torch.distributed as dist
from distributed import run_ranks

pytestmark = pytest.mark.distributed


def report(rank: int, text: str) -> tuple[int, int, str]:
    return rank, dist.get_world_size(), text


def fail_on_rank_1(rank: int) -> None:
    if rank == 1:
        raise RuntimeError("the disk is full")
    dist.barrier()


def wait_for_ever(rank: int) -> None:
    threading.Event().wait()


def test_results_come_back_in_order_of_rank() -> None:
    assert run_ranks(report, 2, "hello") == [(0, 2, "hello"), (1, 2, "hello")]


def test_an_error_brings_the_traceback_of_its_rank() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)rank 1: .*in fail_on_rank_1.*the disk is full"):
        run_ranks(fail_on_rank_1, 2)


def test_a_rank_that_hangs_is_ended() -> None:
    with pytest.raises(TimeoutError, match="1 of 1 ranks still ran after 1 s"):
        run_ranks(wait_for_ever, 1, timeout=1)
