"""Runs as a person starts them, in three speeds, and settings that keep each to a second or two."""

import io
import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from omegaconf import OmegaConf

from simclr.config.schema import Config
from simclr.run import run

TRAIN = Path(__file__).parent.parent / "train.py"

TINY = (
    *("data.name=synthetic", "data.train_images=300", "data.val_images=50", "data.test_images=60"),
    *("data.batch_size=32", "labels.per_class=2", "labels.draws=2", "logger=none"),
    *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_epochs=1"),
    *("finetune.max_epochs=12", "supervised.max_epochs=12"),
    *("self_train.max_epochs=2", "self_train.batch_size=32"),
    "probe.every_steps=5",
    *("clustering.max_epochs=0", "clustering.batch_size=64", "student.max_epochs=0"),
    *("encoder.channels=[4,8,8,16]", "encoder.convs_per_stage=2"),
    *("augment.rotation=20", "head.hidden=[16]", "head.dim=16"),
)


@dataclass(frozen=True)
class Ended:
    """A run of train.py that is over."""

    status: int
    out: str
    err: str


def start(
    *arguments: str, folder: Path, by: Sequence[str] = (), **environment: str | None
) -> "subprocess.Popen[str]":
    """Start `python BY train.py ARGUMENTS` in `folder`, with one thread if nothing else is said."""
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(
        [sys.executable, *by, str(TRAIN), *arguments],
        cwd=folder,
        env={name: value for name, value in variables.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: "subprocess.Popen[str]") -> Ended:
    """Wait until a started run is over."""
    out, err = process.communicate(timeout=240)
    return Ended(process.returncode, out, err)


def train(*arguments: str, folder: Path) -> Ended:
    """Run train.py in this process: the same file and the same way through it, imports excluded."""
    out, err = io.StringIO(), io.StringIO()
    with _as_before(folder), redirect_stdout(out), redirect_stderr(err):
        sys.argv = [str(TRAIN), *arguments]
        try:
            runpy.run_path(str(TRAIN), run_name="__main__")
            status: object = 0
        except SystemExit as end:
            status = end.code
    assert isinstance(status, int), f"exit status {status!r}\n{err.getvalue()}"
    return Ended(status, out.getvalue(), err.getvalue())


def configured(*settings: str) -> Config:
    """The default configuration with these keys set, without Hydra and its files."""
    schema = OmegaConf.structured(Config)
    made = OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.from_dotlist([*settings])))
    assert isinstance(made, Config)
    return made


def do(folder: Path, *settings: str) -> Path:
    """Do a tiny task in a new `folder`, without Hydra, which takes longer than the task."""
    folder.mkdir(exist_ok=True)
    run(configured(*TINY, f"output_dir={folder}", *settings))
    return folder


@contextmanager
def _as_before(folder: Path) -> Iterator[None]:
    """Work in `folder`, then restore what a run changes in its process."""
    root, here = logging.getLogger(), Path.cwd()
    handlers, level = root.handlers[:], root.level
    handled = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    os.chdir(folder)
    try:
        with patch.object(sys, "argv", []), patch.dict(os.environ):
            yield
    finally:
        os.chdir(here)
        for signum, before_run in handled.items():
            signal.signal(signum, before_run)
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def at_step(number: int, event: Callable[[], object]) -> Callable[..., None]:
    """A replacement for `Progress.on_train_batch_end` that lets something happen after a step."""
    steps = 0

    def on_train_batch_end(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            event()

    return on_train_batch_end
