"""Say once that other programs slow a training down."""

import logging
import statistics
from time import perf_counter
from typing import Any

import lightning as L
import torch

logger = logging.getLogger(__name__)

STEPS = 20  # whose median is compared
SLOWER = 3.0  # times the quickest median so far


class Starved(L.Callback):
    """Warns once if steps on the CPU take `SLOWER` times as long as at their best."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._seconds: list[float] = []
        self._best = float("inf")
        self._warned = False

    def on_train_batch_start(self, *_: Any) -> None:
        self._begun = perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if self._warned or not trainer.is_global_zero or not on_cpu:
            return
        self._seconds.append(perf_counter() - self._begun)
        if len(self._seconds) < STEPS:
            return
        median = statistics.median(self._seconds)
        self._seconds.clear()
        self._best = min(self._best, median)
        if median > SLOWER * self._best:
            self._warned = True
            fewer = "; trainer.threads=1 suffers less" * (torch.get_num_threads() > 1)
            logger.warning(
                "Steps take %.0f times as long as before: other programs use the processors. "
                "The results stay the same%s.",
                median / self._best,
                fewer,
            )
