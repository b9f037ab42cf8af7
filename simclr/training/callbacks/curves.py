"""The curves of a training: loss, learning rate, speed."""

from typing import Any

import lightning as L

from simclr.reports.tensorboard import log_scalars
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.watching import watching


class Curves(L.Callback):
    """Sends training/* to the logger every so many steps.

    Args:
        clock: the clock of this training.
        every_steps: steps between two points.
        views_per_step: images that go through the encoder in a step.
        names: which of the metrics the module logs; TensorBoard groups all curves together.
    """

    def __init__(self, clock: Clock, every_steps: int, views_per_step: int, *names: str) -> None:
        self.clock = clock
        self.every_steps = every_steps
        self.views_per_step = views_per_step
        self.names = names
        self._last = (0, 0.0)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last = trainer.global_step, self.clock.seconds

    @watching
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if not trainer.loggers or trainer.global_step % self.every_steps:
            return
        values = {name: float(trainer.callback_metrics[name]) for name in self.names}
        steps, seconds = trainer.global_step, self.clock.seconds
        views = self.views_per_step * (steps - self._last[0])
        values["views_per_second"] = views / (seconds - self._last[1])
        self._last = steps, seconds
        values["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        log_scalars(trainer, {f"training/{name}": value for name, value in values.items()})
