"""Warn of projections that collapse to a point, or to one or two directions."""

import logging
from typing import Any

import lightning as L

from simclr.evaluation.embedding_metrics import effective_rank, embedding_sd
from simclr.training.callbacks.watching import watching

logger = logging.getLogger(__name__)

LEAST_SD = 0.1  # 1 is a full sphere
LEAST_RANK = 2.5  # or the middle between 1 and the width, where that is less
FEWEST = 8  # projections, which vary in fewer directions than there are


class CollapseWarning(L.Callback):
    """Warns once, after warm-up, if the projections of a batch have collapsed.

    Args:
        first_step: no look before it; what is untrained may look collapsed.
        every_steps: between two looks, which cost about a millisecond each.
    """

    def __init__(self, first_step: int, every_steps: int = 50) -> None:
        self.first_step = first_step
        self.every_steps = every_steps
        self._warned = False

    @watching
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        step = trainer.global_step
        if (
            self._warned
            or not trainer.is_global_zero
            or step < self.first_step
            or step % self.every_steps
        ):
            return
        projections = outputs["projections"]
        if len(projections) < FEWEST:
            return
        sd, rank = float(embedding_sd(projections)), float(effective_rank(projections))
        if sd < LEAST_SD or rank < min(LEAST_RANK, (1 + projections.shape[1]) / 2):
            self._warned = True
            logger.warning(
                "The embeddings have collapsed at step %d: sd %.2g (1: a full sphere), effective "
                "rank %.1f of %d. Try a lower optimizer.lr, a larger data.batch_size, stronger "
                "augment.* or another loss.temperature.",
                step,
                sd,
                rank,
                projections.shape[1],
            )
