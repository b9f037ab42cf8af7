"""How long training takes, without what only watches it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch


class Clock(L.Callback):
    """Wall-clock seconds from the start of training to its end, pauses excluded."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for a while, after the device has done what was asked of it."""
        self._stop()
        yield
        self._started = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds + time.perf_counter() - self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def _stop(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self._started
