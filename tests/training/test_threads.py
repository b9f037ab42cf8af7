"""The number of threads: what a run chooses, and what it keeps when it goes on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import at_step, do

from simclr.config.schema import Config
from simclr.training import threads
from simclr.training.callbacks.progress import Progress
from simclr.training.threads import with_threads

BUSY = "print(flush=True)\nwhile True: pass"


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def busy() -> Iterator[None]:
    """Every processor is busy with another program."""
    others = [
        subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
        for _ in range(os.cpu_count() or 1)
    ]
    for other in others:
        assert other.stdout is not None
        other.stdout.readline()
    yield
    for other in others:
        other.kill()
        other.wait()


def recorded(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())["config"]["trainer"]["threads"]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were 64 processors, and nothing in the environment said a number."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "ALL", 64)
    monkeypatch.setattr("joblib.cpu_count", lambda: 64)


@pytest.mark.usefixtures("busy", "many")
def test_beside_busy_programs_a_run_takes_one_thread_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    config = with_threads(Config(), tmp_path, said.append)
    assert config.trainer.threads == torch.get_num_threads() == 1
    assert said == ["Other programs are at work: 1 of 64 threads (trainer.threads=N)"]


@pytest.mark.usefixtures("busy", "many")
@pytest.mark.parametrize("by", ["configuration", "environment"])
def test_a_given_number_comes_first(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Config()
    if by == "configuration":
        asked.trainer.threads = 64
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", "64")
    said: list[str] = []
    assert with_threads(asked, tmp_path, said.append).trainer.threads == 64
    assert said == []


@pytest.mark.usefixtures("busy", "many")
def test_what_a_container_does_not_allow_is_not_another_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    said: list[str] = []
    assert with_threads(Config(), tmp_path, said.append).trainer.threads == 1
    assert said == []


@pytest.mark.usefixtures("many")
def test_processes_that_share_a_batch_are_left_to_lightning(tmp_path: Path) -> None:
    asked = Config()
    asked.trainer.devices = 2
    assert with_threads(asked, tmp_path, print).trainer.threads is None


def test_a_run_goes_on_with_the_threads_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    settings = ("task=pretrain", "trainer.checkpoint_seconds=0")
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "on_train_batch_end", at_step(3, stop))
        with pytest.raises(SystemExit):
            do(tmp_path, *settings, "trainer.threads=3")
    torch.set_num_threads(1)
    do(tmp_path, *settings, "checkpoint=auto")
    assert recorded(tmp_path) == 3
    assert torch.get_num_threads() == 3
