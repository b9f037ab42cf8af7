"""checkpoints/last.ckpt: what an interrupted pretraining resumes from."""

import sys
from pathlib import Path
from pickle import UnpicklingError

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from simclr.errors import SimclrError


class LastCheckpoint(ModelCheckpoint):
    """Writes checkpoints/last.ckpt after each epoch and when training is interrupted.

    Args:
        folder: the output folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder / "checkpoints",
            filename="last",
            enable_version_counter=False,
            save_on_exception=True,
            save_on_train_epoch_end=True,
        )

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        super().on_exception(trainer, pl_module, exception)
        path = Path(self.dirpath or "", "last.ckpt")
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero and path.exists():
            print(f"\nInterrupted. To go on: task=pretrain checkpoint={path}", file=sys.stderr)


def check_resumable(path: str) -> None:
    """Refuse a file that is no checkpoint of a training.

    Raises:
        SimclrError: naming the file.
    """
    try:
        resumable = "optimizer_states" in torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError):
        resumable = False
    if not resumable:
        raise SimclrError(
            f"checkpoint={path}: damaged, or not a checkpoint; task=pretrain writes "
            "checkpoints/last.ckpt into its output folder"
        )
