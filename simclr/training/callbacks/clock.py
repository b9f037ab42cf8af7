"""The time of training, without probes and pictures."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch


class Clock(L.Callback):
    """Wall-clock seconds from the start of training to its end, pauses excluded."""

    def __init__(self) -> None:
        self._stopped_at = 0.0
        self._running_since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        if self._running_since is None:
            return self._stopped_at
        return self._stopped_at + time.perf_counter() - self._running_since

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._running_since = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for a while, once the device has finished its work."""
        self._stop()
        try:
            yield
        finally:
            self._running_since = time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count work outside of training, too."""
        self._running_since = time.perf_counter()
        yield
        self._stop()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped_at = state_dict["seconds"]

    def _stop(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._stopped_at, self._running_since = self.seconds, None
