"""checkpoints/last.ckpt and previous.ckpt, from which a stopped training goes on."""

import logging
import os
import time
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from simclr.errors import SimclrError
from simclr.files import open_regular, printable, write_whole
from simclr.training.callbacks.stopping import Stopped, agreed

logger = logging.getLogger(__name__)

SEAL = b"sha256:"
SEAL_BYTES = len(SEAL) + 64
PARTS: dict[str, tuple[type, bool]] = {  # of a checkpoint: their kind, and whether it may be empty
    "state_dict": (dict, False),
    "optimizer_states": (list, False),
    "lr_schedulers": (list, True),
    "loops": (dict, False),
    "callbacks": (dict, False),
    "config": (dict, True),
}

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
        write_whole(newest, sealed(content.getvalue()))
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
        belongs_to: entries that a run which goes on from here compares with its own.
    """

    def __init__(self, folder: Path, seconds: float, belongs_to: Mapping[str, Any]) -> None:
        self.path = folder / "checkpoints" / LAST
        self.seconds = seconds
        self.belongs_to = belongs_to
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
        checkpoint.update(self.belongs_to)

    def state_dict(self) -> dict[str, Any]:
        """The last logged metrics; a training that is resumed at its very end logs no others."""
        return {"metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics = state_dict["metrics"]

    def _save(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if all(bool(parameter.isfinite().all()) for parameter in pl_module.parameters()):
            self.metrics |= {name: float(v) for name, v in trainer.callback_metrics.items()}
            trainer.save_checkpoint(self.path)


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """A checkpoint that `Checkpoints` wrote, on the CPU; no code in the file is run.

    Its digest is compared first, so that every single bit that changed is seen.

    Raises:
        SimclrError: naming the file, if it is damaged or something else.
    """
    try:
        loaded = _opened(Path(path))
    except OSError as error:
        raise SimclrError(f"{path}: cannot be read: {error}") from error
    except Exception as error:  # what a crafted archive makes torch raise is not to be foreseen
        reason = printable(str(error).partition("\n")[0])[:200]
        raise SimclrError(
            f"{path}: damaged, or not a checkpoint; runs write checkpoints/{LAST} "
            f"into their output folder ({reason})"
        ) from error
    return loaded


def sealed(archive: bytes) -> bytes:
    """The archive with a digest of all its bytes as the zip file's comment, its very end."""
    comment = SEAL_BYTES.to_bytes(2, "little")
    if archive[-2:] != b"\0\0":
        raise ValueError("no zip archive, or one that has a comment")
    covered = archive[:-2] + comment + SEAL
    return covered + sha256(covered).hexdigest().encode()


def _opened(path: Path) -> dict[str, Any]:
    """The content of a sealed checkpoint in an ordinary file.

    Raises:
        OSError: if it cannot be read.
        Exception: of any kind, if it is something else.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        unsealed = _is_unsealed(file)
        if not unsealed:
            _check_seal(file)
        with ZipFile(file) as archive:  # torch packs nothing: what is packed may be a bomb
            if any(part.compress_type != ZIP_STORED for part in archive.infolist()):
                raise ValueError("it is compressed")
            if unsealed and (damaged := archive.testzip()):
                raise ValueError(f"the checksum of {damaged} is another")
        file.seek(0)
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        raise ValueError("it holds no state of a training")
    for name, (kind, may_be_empty) in PARTS.items():
        part = loaded.get(name)
        if not isinstance(part, kind) or not (part or may_be_empty):
            raise ValueError(f"{name} is missing or of another kind")
    for name, weight in loaded["state_dict"].items():
        if not isinstance(weight, Tensor) or not weight.isfinite().all():
            raise ValueError(f"the weight {name} is not finite")
    return loaded


def _is_unsealed(file: BinaryIO) -> bool:
    """Whether an earlier version wrote the file: it ends with the zip's directory, uncommented.

    One changed bit of a sealed file cannot look like that.
    """
    file.seek(-min(22, os.fstat(file.fileno()).st_size), os.SEEK_END)
    end = file.read()
    file.seek(0)
    return end.startswith(b"PK\5\6") and end.endswith(b"\0\0")


def _check_seal(file: BinaryIO) -> None:
    """Compare the digest at the file's end with that of all bytes before it."""
    size, digest = os.fstat(file.fileno()).st_size, sha256()
    left = size - (SEAL_BYTES - len(SEAL))
    while left > 0 and (block := file.read(min(left, 2**20))):
        digest.update(block)
        left -= len(block)
    if file.read(SEAL_BYTES) != digest.hexdigest().encode():
        raise ValueError("its digest is another")


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
