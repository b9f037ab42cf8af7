"""Runs that several test files look at, each made once."""

import signal
from pathlib import Path

import pytest
from command_line import do


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A shell that starts the suite in the background makes it ignore SIGINT, nohup SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a tiny task=pretrain."""
    return do(tmp_path_factory.mktemp("pretrained"), "task=pretrain")


@pytest.fixture(scope="session")
def benchmarked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a tiny benchmark with two pretraining seeds and two label draws."""
    return do(tmp_path_factory.mktemp("benchmarked"), "pretrain_seeds=[0,1]")
