"""SimCLR as a LightningModule (Chen et al. 2020)."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from simclr.config import ClusteringConfig, LossConfig, OptimizerConfig
from simclr.encoders import Encoder
from simclr.mutual_information import information_loss
from simclr.nt_xent import nt_xent, nt_xent_with_accuracy
from simclr.optim import build_optimizer, warmup_cosine


class SimCLR(L.LightningModule):
    """Pull two views of an image together, push all other images of the batch away.

    With `clustering`, linear heads besides put representations into clusters, of which those of
    the two views should tell as much as they can about each other (Ji et al. 2019).

    Args:
        encoder: what is kept.
        head: projection head, what is thrown away.
        loss: temperature and variant.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule.
        clustering: its heads and their weight are used; None for contrastive learning alone.
        log_every_n_steps: steps between two of which loss and accuracy are logged.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        loss: LossConfig,
        optimizer: OptimizerConfig,
        total_steps: int,
        clustering: ClusteringConfig | None = None,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.cluster_heads = nn.Linear(encoder.dim, sum(clustering.heads)) if clustering else None
        self.loss_config = loss
        self.clustering_config = clustering
        self.optimizer_config = optimizer
        self.total_steps = total_steps
        self.log_every_n_steps = log_every_n_steps

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) in [0, 1] to representations (B, D)."""
        representations: Tensor = self.encoder(images)
        return representations

    def training_step(self, views: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The loss, and for callbacks the projections of both views, (2B, D)."""
        representations = self.encoder(torch.cat(views))
        projections = self.head(representations)
        z0, z1 = projections.chunk(2)
        temperature, options = self.loss_config.temperature, self._loss_options()
        metrics = {}
        if self._is_to_log():
            loss, metrics["contrastive_accuracy"] = nt_xent_with_accuracy(
                z0, z1, temperature, **options
            )
        else:
            loss = nt_xent(z0, z1, temperature, **options)
        if self.clustering_config and self.cluster_heads is not None:
            logits = self.cluster_heads(representations)
            information = self._information(logits.split(self.clustering_config.heads, dim=1))
            loss = loss - self.clustering_config.weight * information
            metrics["cluster_information"] = information.detach()
        if self._is_to_log():
            self.log_dict({"loss": loss.detach(), **metrics}, sync_dist=True, logger=False)
        return {"loss": loss, "projections": projections.detach()}

    def _information(self, heads: Sequence[Tensor]) -> Tensor:
        """What the clusters of two views share, in nats, mean over heads of logits (2B, K)."""
        padded = pad_sequence(
            [head.T for head in heads], batch_first=True, padding_value=-torch.inf
        )
        p0, p1 = padded.softmax(1, dtype=torch.float32).mT.chunk(2, dim=1)
        return -information_loss(p0, p1, gather=self.trainer.world_size > 1).mean()

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
        optimizer = build_optimizer(config, [(module, config.lr) for module in self.children()])
        schedule = warmup_cosine(optimizer, self.total_steps, config.warmup)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
