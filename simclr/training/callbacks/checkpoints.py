"""checkpoints/last.ckpt and previous.ckpt: what a stopped training goes on from."""

import logging
import time
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from simclr.errors import SimclrError
from simclr.files import write_whole
from simclr.training.callbacks.stopping import Stopped, agreed

logger = logging.getLogger(__name__)

LAST, PREVIOUS, NEWEST = "last.ckpt", "previous.ckpt", "newest.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is written aside and renamed when it is on the disk; the one before is kept.

    So a process that is killed at any moment leaves a whole checkpoint, and a disk that damages
    the newest one leaves another.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        torch.save(checkpoint, content)
        newest = path.with_name(NEWEST)
        write_whole(newest, content.getvalue())
        if path.exists():
            path.replace(path.with_name(PREVIOUS))
        newest.replace(path)


class Checkpoints(Checkpoint):
    """Writes a checkpoint every so often, when training is told to stop, and at its end.

    Always between two steps, after all other callbacks, so that training goes on as if it had
    never stopped; never one whose weights are not finite.

    Args:
        folder: the output folder of the run.
        seconds: between two checkpoints.
        config: of the run, to be compared with that of a run which goes on from here.
    """

    def __init__(self, folder: Path, seconds: float, config: dict[str, Any]) -> None:
        self.path = folder / "checkpoints" / LAST
        self.seconds = seconds
        self.config = config
        self.metrics: dict[str, float] = {}
        self._due = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._due = time.monotonic() + self.seconds

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any
    ) -> None:
        # Resumed after the last step of an epoch, Lightning (2.6) does not count the next epoch as
        # begun, and a checkpoint in it would lead back into the epoch before.
        progress: Any = trainer.fit_loop.epoch_progress
        for count in (progress.total, progress.current):
            count.ready = count.started = count.processed + 1

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if agreed(trainer, time.monotonic() >= self._due):
            self._save(trainer, pl_module)
            self._due = time.monotonic() + self.seconds

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer, pl_module)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, Stopped):
            self._save(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["config"] = self.config

    def state_dict(self) -> dict[str, Any]:
        """What was logged last: a training that is resumed at its very end logs nothing more."""
        return {"metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics = state_dict["metrics"]

    def _save(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if all(bool(parameter.isfinite().all()) for parameter in pl_module.parameters()):
            self.metrics |= {name: float(v) for name, v in trainer.callback_metrics.items()}
            trainer.save_checkpoint(self.path)


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A checkpoint that `Checkpoints` wrote, on the CPU; no code in the file is run.

    Raises:
        SimclrError: naming the file, if a byte of it is damaged or it is something else.
    """
    try:
        with ZipFile(path) as file:
            whole = file.testzip() is None  # torch.load does not compare checksums
        loaded = torch.load(path, map_location="cpu", weights_only=True) if whole else {}
    except OSError as error:
        raise SimclrError(f"{path}: cannot be read: {error}") from error
    except (BadZipFile, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError):
        loaded = {}
    if not isinstance(loaded, dict) or not loaded.keys() >= {"optimizer_states", "config"}:
        raise SimclrError(
            f"{path}: damaged, or not a checkpoint; runs write checkpoints/{LAST} "
            "into their output folder"
        )
    return loaded


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of the run in `folder`; damaged ones are named in a warning."""
    for path in (folder / "checkpoints" / name for name in (NEWEST, LAST, PREVIOUS)):
        if path.exists():
            try:
                read_checkpoint(path)
            except SimclrError as error:
                logger.warning("Not used: %s", error)
            else:
                return path
    return None
