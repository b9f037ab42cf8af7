"""Training of all weights of a classifier: shared by fine-tuning and self-training."""

import lightning as L
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from simclr.config.schema import OptimizerConfig
from simclr.data.datamodule import LabelledDataModule
from simclr.launch.ranks import is_first
from simclr.methods.base import Job, checkpoints
from simclr.methods.scoring import Classified, HeldOut, Scored, fit_and_score
from simclr.models.classifier import Classifier
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.curves import Curves
from simclr.training.callbacks.finite import FiniteLoss
from simclr.training.callbacks.own_folder import OwnFolder
from simclr.training.callbacks.stopping import StopSignals
from simclr.training.optim import scheduled
from simclr.training.resume import starting_point
from simclr.training.trainer import build_logger, local_trainer


class AllWeights(Scored):
    """A classifier whose encoder and linear layer are trained by an optimiser and a schedule.

    Args:
        classifier: encoder and linear layer.
        optimizer: algorithm and schedule; its `lr` is the linear layer's.
        encoder_lr: peak learning rate of the encoder.
        total_steps: length of the schedule.
        log_every_n_steps: steps between two logged losses; the last step is logged, too.

    Attributes:
        curves: names of the logged metrics.
    """

    curves: tuple[str, ...] = ("loss",)

    def __init__(
        self,
        classifier: Classifier,
        optimizer: OptimizerConfig,
        encoder_lr: float,
        total_steps: int,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__(classifier.requires_grad_(True))
        self.optimizer_config = optimizer
        self.encoder_lr = encoder_lr
        self.total_steps = total_steps
        self.log_every_n_steps = log_every_n_steps

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) in [0, 1] to logits (B, num_classes)."""
        logits: Tensor = self.classifier(images)
        return logits

    def log_training(self, batch_size: int, **metrics: Tensor) -> None:
        """Log every `log_every_n_steps` steps, because logging takes time, and at the last."""
        step = self.trainer.global_step + 1
        if step % self.log_every_n_steps == 0 or step == self.total_steps:
            detached = {name: value.detach() for name, value in metrics.items()}
            self.log_dict(detached, batch_size=batch_size, logger=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.optimizer_config
        encoder, linear = self.classifier.encoder, self.classifier.linear
        parts = [(encoder, self.encoder_lr), (linear, config.lr)]
        return scheduled(config, parts, self.total_steps)


def train_all(
    method: str,
    job: Job,
    module: AllWeights,
    data: LabelledDataModule,
    max_epochs: int,
    draw: int,
    held_out: HeldOut | None = None,
) -> Classified:
    """Train all weights of a classifier, and score it.

    The training can be resumed if the method is the task. `held_out` is that of `fit_and_score`.
    """
    config = job.config
    clock = Clock()
    alone = config.task == method
    callbacks: list[L.Callback] = [
        clock,
        job.progress,
        Curves(clock, config.trainer.log_every_n_steps, data.views_per_step, *module.curves),
        FiniteLoss("choose a lower learning rate of the linear layer or of the encoder"),
        OwnFolder(job.folder),
        StopSignals(),
        *([checkpoints(job)] if alone and is_first() else []),
    ]
    version = "" if alone else f"{method}_draw_{draw}"
    trainer = local_trainer(
        config,
        *callbacks,
        max_epochs=max_epochs,
        precision=config.trainer.precision,
        logger=build_logger(config, job.folder, version),
    )
    resumed = starting_point(config, job.folder, job.splits.fingerprint) if alone else None
    with job.progress.stage(f"{method}, draw {draw}", data.views_per_step):
        return fit_and_score(method, job, trainer, module, data, clock, draw, resumed, held_out)
