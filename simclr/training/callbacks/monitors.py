"""How the embeddings lie on the sphere while the encoder is being pretrained."""

from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import Tensor

from simclr.evaluation.embedding_metrics import alignment, embedding_sd, uniformity
from simclr.reports.tensorboard import log_scalars, shown_step, writer_of
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.watching import watching

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BINS = 64  # of a histogram, from -1 to 1


class Monitors(L.Callback):
    """Sends projection/* and histograms of similarities to the logger every so many steps.

    They come from the projections of the training batch, which the loss has made anyway.

    Args:
        clock: stopped meanwhile.
        every_steps: steps between two looks.
    """

    def __init__(self, clock: Clock, every_steps: int) -> None:
        self.clock = clock
        self.every_steps = every_steps

    @watching
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        if not trainer.loggers or trainer.global_step % self.every_steps:
            return
        z0, z1 = outputs["projections"].float().chunk(2)
        if len(z0) < 2:
            return  # nothing to compare
        with self.clock.paused():
            measures = {
                "projection/alignment": alignment(z0, z1),
                "projection/uniformity": uniformity(z0),
                "projection/sd": embedding_sd(z0),
            }
            log_scalars(trainer, {name: float(value) for name, value in measures.items()})
            if (writer := writer_of(trainer)) is not None:
                positive, negative = similarities(z0, z1)
                for name, cosines in (("positive", positive), ("negative", negative)):
                    _add_histogram(writer, f"similarity/{name}", cosines, shown_step(trainer))


def similarities(z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of the two views of an image (B,), and of views of different images (B * (B - 1),).

    Args:
        z0: (B, D), before normalisation.
        z1: (B, D), the other views, in the same order.
    """
    cosines = torch.nn.functional.normalize(z0) @ torch.nn.functional.normalize(z1).T
    different = ~torch.eye(len(z0), dtype=torch.bool, device=z0.device)
    return cosines.diagonal(), cosines[different]


def _add_histogram(writer: "SummaryWriter", name: str, cosines: Tensor, step: int) -> None:
    """As `add_histogram` does with NumPy, whose threads then keep a core from the next step."""
    within = cosines.clamp(-1, 1)
    writer.add_histogram_raw(
        name,
        min=float(within.min()),
        max=float(within.max()),
        num=len(within),
        sum=float(within.sum()),
        sum_squares=float(within.square().sum()),
        bucket_limits=torch.linspace(-1, 1, BINS + 1)[1:].tolist(),
        bucket_counts=within.histc(BINS, -1, 1).tolist(),
        global_step=step,
    )
