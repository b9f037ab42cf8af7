"""Killed at random moments and begun again, a run ends as if nothing had happened.

SIGKILL leaves no time for anything: what counts is what is on the disk at that moment.
"""

import os
import pkgutil
import random
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import TINY, configured
from distributed import forkserver

from simclr.run import run

KILLS = 20
LONGEST = 0.6  # seconds of training until a kill
PRETRAIN = (*TINY, "task=pretrain", "trainer.max_epochs=20", "trainer.checkpoint_seconds=0.05")


def goes_on(folder: Path) -> None:
    """Begin the pretraining in a folder, or go on with it."""
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    run(configured(*PRETRAIN, f"output_dir={folder}", "checkpoint=auto"))


def before_calls(function: str, event: Callable[[], None]) -> None:
    """Let something happen before each call of a function."""
    owner, _, name = function.rpartition(".")
    original = pkgutil.resolve_name(function)

    def wrapped(*arguments: Any) -> Any:
        event()
        return original(*arguments)

    setattr(pkgutil.resolve_name(owner), name, wrapped)


def says_when_it_trains(folder: Path, training: Event) -> None:
    before_calls("simclr.training.callbacks.clock.Clock.on_train_start", training.set)
    goes_on(folder)


def kills_itself(folder: Path, function: str, turn: int) -> None:
    """In one of the calls of a function."""
    calls = iter(range(1, turn + 1))

    def event() -> None:
        if next(calls) == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    before_calls(function, event)
    goes_on(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a pretraining that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    process = forkserver().Process(target=goes_on, args=(folder,))
    process.start()
    process.join(120)
    return weights(folder)


def weights(folder: Path) -> bytes:
    return (folder / "encoder.safetensors").read_bytes()


def trains(process: BaseProcess, training: Event) -> bool:
    """Wait for a process to train; killed after its last step, the one before left nothing to."""
    for _ in range(1_200):
        if training.wait(0.1) or not process.is_alive():
            return training.is_set()
    raise TimeoutError("neither training nor at its end after two minutes")


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
        if kills < KILLS and trains(process, training):
            process.join(moments.uniform(0, LONGEST))
            process.kill()
        process.join(120)
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            assert weights(folder) == whole
            runs += 1


@pytest.mark.parametrize(
    ("function", "turn"),
    [("os.fsync", 3), *(("pathlib.Path.replace", turn) for turn in (6, 7, 8))],
    ids=["half written", "written", "whole", "the one before renamed"],
)
def test_a_kill_while_a_checkpoint_is_written_changes_nothing(
    function: str, turn: int, whole: bytes, tmp_path: Path
) -> None:
    context = forkserver()
    killed = context.Process(target=kills_itself, args=(tmp_path, function, turn))
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    assert list((tmp_path / "checkpoints").glob("newest.*"))
    again = context.Process(target=goes_on, args=(tmp_path,))
    again.start()
    again.join(120)
    assert weights(tmp_path) == whole
