"""SimCLR as a LightningModule (Chen et al. 2020)."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from simclr.config import LossConfig, OptimizerConfig
from simclr.encoders import Encoder
from simclr.nt_xent import nt_xent, nt_xent_with_accuracy
from simclr.optim import build_optimizer, warmup_cosine


class SimCLR(L.LightningModule):
    """Pull two views of an image together, push all other images of the batch away.

    Args:
        encoder: what is kept.
        head: projection head, what is thrown away.
        loss: temperature and variant.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule.
        log_every_n_steps: steps between two of which loss and accuracy are logged.
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
        """The loss, and for callbacks the projections of both views, (2B, D)."""
        projections = self.head(self.encoder(torch.cat(views)))
        z0, z1 = projections.chunk(2)
        temperature, options = self.loss_config.temperature, self._loss_options()
        if self._is_to_log():
            loss, accuracy = nt_xent_with_accuracy(z0, z1, temperature, **options)
            self.log_dict(
                {"loss": loss.detach(), "contrastive_accuracy": accuracy},
                sync_dist=True,
                logger=False,
            )
        else:
            loss = nt_xent(z0, z1, temperature, **options)
        return {"loss": loss, "projections": projections.detach()}

    def _loss_options(self) -> dict[str, Any]:
        return {
            "decoupled": self.loss_config.name == "dcl",
            "block_rows": self.loss_config.block_rows,
            "gather": self.trainer.world_size > 1,
        }

    def _is_to_log(self) -> bool:
        """Every so many steps, as Lightning takes its time to log, and at the last."""
        step = self.trainer.global_step + 1
        return step % self.log_every_n_steps == 0 or step == self.total_steps

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.optimizer_config
        optimizer = build_optimizer(config, [(self.encoder, config.lr), (self.head, config.lr)])
        schedule = warmup_cosine(optimizer, self.total_steps, config.warmup)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
