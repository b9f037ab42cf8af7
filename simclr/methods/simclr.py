"""SimCLR as a LightningModule (Chen et al. 2020, arXiv:2002.05709)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simclr.config.schema import (
    EncoderConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
    StudentConfig,
)
from simclr.losses import LOSSES
from simclr.losses.nt_xent import nt_xent, nt_xent_with_accuracy
from simclr.methods.encoder_training import EncoderTraining
from simclr.methods.stages import student_encoder
from simclr.models.encoders import Encoder, build_encoder
from simclr.models.heads import build_head
from simclr.training.callbacks.checkpoints import read_checkpoint
from simclr.training.resume import stages_over


class SimCLR(EncoderTraining):
    """Pull two views of an image together, and push all other images of the batch away.

    Args:
        encoder: the network that pretraining is for.
        head: the projection head, discarded after pretraining.
        loss: temperature and variant.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule; None: that of the training.
        log_every_n_steps: steps between two logged losses; the last step is logged, too.
    """

    curves: tuple[str, ...] = ("loss", "contrastive_accuracy")

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        loss: LossConfig,
        optimizer: OptimizerConfig,
        total_steps: int | None = None,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__(encoder, optimizer, total_steps, log_every_n_steps)
        self.head = head
        self.loss_config = loss

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: Path | str, *positional: Any, **arguments: Any
    ) -> "SimCLR":
        """The module in a checkpoint, on the CPU.

        A checkpoint of a run says itself how to build it. That of another Trainer needs the
        arguments of this class, `encoder` and `head` among them. A student has no projection head,
        so that the one beside its encoder has random weights.

        Args:
            checkpoint_path: of the file.
            positional: as Lightning takes them; not needed for a run's checkpoint.
            arguments: likewise.

        Raises:
            SimclrError: if the file is no whole checkpoint of a run.
        """
        if positional or arguments:
            loaded: SimCLR = super().load_from_checkpoint(checkpoint_path, *positional, **arguments)
            return loaded
        checkpoint = read_checkpoint(checkpoint_path)
        weights, config = checkpoint["state_dict"], checkpoint["config"]
        first = next(weight for weight in weights.values() if weight.ndim == 4)
        architecture = EncoderConfig(**config["encoder"])
        if stages_over(checkpoint) == 2:
            architecture = student_encoder(architecture, StudentConfig(**config["student"]))
        encoder = build_encoder(architecture, first.shape[1])
        module = SimCLR(
            encoder,
            build_head(HeadConfig(**config["head"]), encoder.dim),
            LossConfig(**config["loss"]),
            OptimizerConfig(**config["optimizer"]),
        )
        own = module.state_dict()
        module.load_state_dict(own | {name: weights[name] for name in own if name in weights})
        return module

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
        if not self.is_to_log():
            return nt_xent(z0, z1, temperature, **options), projections, {}
        loss, accuracy = nt_xent_with_accuracy(z0, z1, temperature, **options)
        return loss, projections, {"contrastive_accuracy": accuracy}

    def _loss_options(self) -> dict[str, Any]:
        return {
            **LOSSES[self.loss_config.name],
            "block_rows": self.loss_config.block_rows,
            "gather": self.trainer.world_size > 1,
        }
