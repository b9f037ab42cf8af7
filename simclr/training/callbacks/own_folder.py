"""Training ends when somebody deletes the folder that it writes to."""

import os
from pathlib import Path
from typing import Any

import lightning as L

from simclr.errors import SimclrError


class OwnFolder(L.Callback):
    """Look after every step whether the output folder is still the one that training began in.

    Nothing is made anew in its place, where another run may have begun.

    Args:
        folder: the output folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._began_in: tuple[int, int] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began_in = self._now()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Refuse to go on in another folder.

        Raises:
            SimclrError: if it was deleted or replaced.
        """
        if self._began_in is not None and self._now() != self._began_in:
            raise SimclrError(
                f"output_dir={self.folder}: was deleted or replaced while this run was writing to "
                f"it, after {trainer.global_step} steps; nothing of the run is left"
            )

    def _now(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.folder)  # noqa: PTH116  as quick as can be, after every step
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino
