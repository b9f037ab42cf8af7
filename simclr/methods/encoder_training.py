"""What all stages of pretraining share: the encoder, its optimiser, and the logged metrics."""

import lightning as L
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from simclr.config.schema import OptimizerConfig
from simclr.models.encoders import Encoder
from simclr.training.optim import scheduled


class EncoderTraining(L.LightningModule):
    """Training of an encoder without labels; a stage adds the loss.

    Args:
        encoder: the network that pretraining is for.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule; None: that of the training.
        log_every_n_steps: steps between two logged losses; the last step is logged, too.

    Attributes:
        curves: names of the logged metrics.
    """

    curves: tuple[str, ...] = ("loss",)

    def __init__(
        self,
        encoder: Encoder,
        optimizer: OptimizerConfig,
        total_steps: int | None = None,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.optimizer_config = optimizer
        self.total_steps = total_steps
        self.log_every_n_steps = log_every_n_steps

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) in [0, 1] to representations (B, D)."""
        representations: Tensor = self.encoder(images)
        return representations

    def log_training(self, loss: Tensor, metrics: dict[str, Tensor]) -> None:
        """Log every `log_every_n_steps` steps, because logging takes time, and at the last step."""
        if self.is_to_log():
            self.log_dict({"loss": loss.detach(), **metrics}, sync_dist=True, logger=False)

    def is_to_log(self) -> bool:
        step = self.trainer.global_step + 1
        return step % self.log_every_n_steps == 0 or step == self.total_steps

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.optimizer_config
        if self.total_steps is None:
            self.total_steps = int(self.trainer.estimated_stepping_batches)
        parts = [(module, config.lr) for module in self.children()]
        return scheduled(config, parts, self.total_steps)
