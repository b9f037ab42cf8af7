"""SimCLR as a LightningModule (Chen et al. 2020, arXiv:2002.05709)."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from simclr.config.schema import LossConfig, OptimizerConfig
from simclr.losses import LOSSES
from simclr.losses.nt_xent import nt_xent, nt_xent_with_accuracy
from simclr.models.encoders import Encoder
from simclr.training.optim import build_optimizer, warmup_cosine


class SimCLR(L.LightningModule):
    """Pull two views of an image together, and push all other images of the batch away.

    Args:
        encoder: the network that pretraining is for.
        head: the projection head, discarded after pretraining.
        loss: temperature and variant.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule.
        log_every_n_steps: steps between two logged losses; the last step is logged, too.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        loss: LossConfig,
        optimizer: OptimizerConfig,
        total_steps: int,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.loss_config = loss
        self.optimizer_config = optimizer
        self.total_steps = total_steps
        self.log_every_n_steps = log_every_n_steps

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) in [0, 1] to representations (B, D)."""
        representations: Tensor = self.encoder(images)
        return representations

    def training_step(self, views: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The loss, and the projections of both views (2B, D), which callbacks look at."""
        loss, projections, metrics = self.contrast(self.encoder(torch.cat(views)))
        self.log_training(loss, metrics)
        return {"loss": loss, "projections": projections.detach()}

    def contrast(self, representations: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """NT-Xent of the projections of both views.

        Args:
            representations: (2B, D), the views of image i in rows i and B + i.

        Returns:
            The loss, the projections (2B, D'), and the contrastive accuracy in steps that log it.
        """
        projections = self.head(representations)
        z0, z1 = projections.chunk(2)
        temperature, options = self.loss_config.temperature, self._loss_options()
        if not self._is_to_log():
            return nt_xent(z0, z1, temperature, **options), projections, {}
        loss, accuracy = nt_xent_with_accuracy(z0, z1, temperature, **options)
        return loss, projections, {"contrastive_accuracy": accuracy}

    def log_training(self, loss: Tensor, metrics: dict[str, Tensor]) -> None:
        """Log every `log_every_n_steps` steps, because logging takes time, and at the last step."""
        if self._is_to_log():
            self.log_dict({"loss": loss.detach(), **metrics}, sync_dist=True, logger=False)

    def _loss_options(self) -> dict[str, Any]:
        return {
            **LOSSES[self.loss_config.name],
            "block_rows": self.loss_config.block_rows,
            "gather": self.trainer.world_size > 1,
        }

    def _is_to_log(self) -> bool:
        step = self.trainer.global_step + 1
        return step % self.log_every_n_steps == 0 or step == self.total_steps

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.optimizer_config
        optimizer = build_optimizer(config, [(module, config.lr) for module in self.children()])
        schedule = warmup_cosine(optimizer, self.total_steps, config.warmup)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
