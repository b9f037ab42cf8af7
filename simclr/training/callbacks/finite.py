"""Stop a training whose loss is not finite."""

from typing import Any

import lightning as L
import torch

from simclr.errors import SimclrError
from simclr.training.callbacks.stopping import ASK_EVERY


class FiniteLoss(L.Callback):
    """Stop when the loss is not finite: after that step on a CPU, else soon after.

    Looking at a number makes a GPU, or several processes, wait for each other, so there the loss
    is looked at every `ASK_EVERY` steps; what is nan once stays nan.

    Args:
        hint: settings to say in the message, and which to change.
    """

    def __init__(self, hint: str) -> None:
        self.hint = hint

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        loss = outputs["loss"]
        waits = trainer.world_size > 1 or loss.device.type != "cpu"
        if waits and trainer.global_step % ASK_EVERY:
            return
        wrong = not bool(torch.isfinite(loss))
        if trainer.strategy.reduce_boolean_decision(wrong, all=False):
            rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
            raise SimclrError(
                f"training diverged: loss={float(loss)} at step {trainer.global_step}, "
                f"lr={max(rates):.3g}; {self.hint}\n{_last_good(trainer)}"
            )


def _last_good(trainer: L.Trainer) -> str:
    paths = [getattr(callback, "path", None) for callback in trainer.checkpoint_callbacks]
    found = [path for path in paths if path is not None and path.exists()]
    return f"The last good checkpoint: {found[0]}" if found else "There is no checkpoint yet."
