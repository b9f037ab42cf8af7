"""One progress bar for the whole job, however many trainings it has."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from tqdm import tqdm

from simclr.ranks import is_first


class Progress(L.Callback):
    """Counts images that went through the encoder; every stage says how many it will be.

    On a terminal it is one line with the time left; elsewhere (logs, CI) a line per stage.

    Args:
        total: images of the whole job, forward and backward.
    """

    def __init__(self, total: int) -> None:
        self.first = is_first()
        self.interactive = sys.stderr.isatty()
        self.bar = tqdm(
            total=total,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not (self.interactive and self.first),
            mininterval=0.5,
        )
        self._images_per_step = 0

    @contextmanager
    def stage(self, name: str, images_per_step: int = 0) -> Iterator[None]:
        """Name what is going on, and say how many images a training step of it takes."""
        self._images_per_step = images_per_step
        self.bar.set_description(name)
        if self.first and not self.interactive:
            print(name, file=sys.stderr, flush=True)
        yield

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.bar.update(self._images_per_step)

    def say(self, text: str) -> None:
        """Print on the terminal, above the bar; once, however many processes there are."""
        if self.first:
            self.bar.write(text)

    def close(self) -> None:
        """Leave the line as it is."""
        self.bar.close()
