"""Killed at random moments and begun again, a run ends as if nothing had happened.

SIGKILL leaves no time for anything: what counts is what is on the disk at that moment.
"""

import os
import pkgutil
import random
import signal
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import TINY, configured
from distributed import forkserver

from simclr.callbacks.clock import Clock
from simclr.run import run

KILLS = 20
LONGEST = 0.6  # seconds of training until a kill
PRETRAIN = (*TINY, "task=pretrain", "trainer.max_epochs=20", "trainer.checkpoint_seconds=0")


def goes_on(folder: Path, owner: Any, name: str, event: Callable[[], None]) -> None:
    """Go on with the pretraining in a folder; `event` happens before each call of a function."""
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    original = getattr(owner, name)

    def function(*arguments: Any) -> Any:
        event()
        return original(*arguments)

    setattr(owner, name, function)
    run(configured(*PRETRAIN, f"output_dir={folder}", "checkpoint=auto"))


def says_when_it_trains(folder: Path, training: Event) -> None:
    goes_on(folder, Clock, "on_train_start", training.set)


def kills_itself(folder: Path, function: str, turn: int) -> None:
    """In one of the calls of a function."""
    owner, _, name = function.rpartition(".")
    calls = iter(range(1, turn + 1))

    def event() -> None:
        if next(calls) == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    goes_on(folder, pkgutil.resolve_name(owner), name, event)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a pretraining that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run(configured(*PRETRAIN, "trainer.checkpoint_seconds=30", f"output_dir={folder}"))
    return weights(folder)


def weights(folder: Path) -> bytes:
    return (folder / "encoder.safetensors").read_bytes()


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(whole: bytes, tmp_path: Path) -> None:
    """One run after the other, each killed and begun again until it is through."""
    moments = random.Random(0)
    context = forkserver()
    kills = runs = 0
    while kills < KILLS or not runs:
        folder = tmp_path / str(runs)
        training = context.Event()
        process = context.Process(target=says_when_it_trains, args=(folder, training))
        process.start()
        if kills < KILLS:
            assert training.wait(60)
            process.join(moments.uniform(0, LONGEST))
            process.kill()
        process.join(60)
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            assert weights(folder) == whole
            runs += 1


@pytest.mark.parametrize(
    ("function", "turn"),
    [("os.fsync", 3), ("pathlib.Path.replace", 4), ("pathlib.Path.replace", 5)],
    ids=["half written", "written", "the one before renamed"],
)
def test_a_kill_while_a_checkpoint_is_written_changes_nothing(
    function: str, turn: int, whole: bytes, tmp_path: Path
) -> None:
    context = forkserver()
    killed = context.Process(target=kills_itself, args=(tmp_path, function, turn))
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    assert (tmp_path / "checkpoints" / "last.tmp").exists()
    run(configured(*PRETRAIN, f"output_dir={tmp_path}", "checkpoint=auto"))
    assert weights(tmp_path) == whole
