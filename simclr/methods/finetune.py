"""Training on labelled images alone: fine-tuning, and the supervised baseline."""

from copy import deepcopy
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from simclr.config.augment import milder
from simclr.config.schema import FineTuneConfig, OptimizerConfig
from simclr.data.datamodule import LabelledDataModule
from simclr.evaluation.probe import penalty
from simclr.methods.all_weights import AllWeights, train_all
from simclr.methods.base import Features, Job, new_encoder, settings_of
from simclr.methods.scoring import Classified
from simclr.models.classifier import Classifier
from simclr.views import build_views


class FineTune(AllWeights):
    """Train encoder and linear layer on labelled images, each with its own learning rate.

    Args:
        classifier: pretrained, or with random weights for the supervised baseline.
        optimizer: algorithm and schedule; its `lr` is the linear layer's.
        encoder_lr: peak learning rate of the encoder.
        total_steps: length of the schedule.
        label_smoothing: share of the target spread over all classes.
        keep_statistics: whether batch norms keep normalising by the statistics they have, which
            few labelled images cannot improve. Their scales and shifts are trained all the same.
        log_every_n_steps: steps between two logged losses; the last step is logged, too.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: OptimizerConfig,
        encoder_lr: float,
        total_steps: int,
        label_smoothing: float = 0.0,
        keep_statistics: bool = False,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__(classifier, optimizer, encoder_lr, total_steps, log_every_n_steps)
        self.label_smoothing = label_smoothing
        self.keep_statistics = keep_statistics
        self.train()

    def train(self, mode: bool = True) -> "FineTune":
        super().train(mode)
        if self.keep_statistics:
            for module in self.classifier.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self(images), labels, label_smoothing=self.label_smoothing)
        self.log_training(len(labels), loss=loss)
        return loss


def finetune(job: Job, features: Features, draw: int) -> Classified:
    """Train a copy of a pretrained encoder on a label draw, and score it.

    Training starts at the linear classifier on the frozen encoder, so that the features are not
    distorted by a random one (LP-FT, Kumar et al. 2022, arXiv:2202.10054).
    """
    train = features.train(job.draw(draw))
    start = features.classifier(deepcopy(features.encoder))
    l2 = penalty(job.config.probe.l2, len(train.labels))
    start.fit_linear(train.images, train.labels, l2)
    return _train("finetune", job, start, draw, keep_statistics=True)


def supervised(job: Job, features: Features, draw: int) -> Classified:
    """Train the same network on a label draw from random weights, and score it.

    `features` are not used: the baseline draws its own weights from the seed.
    """
    start = Classifier(new_encoder(job), len(job.splits.classes))
    return _train("supervised", job, start, draw, keep_statistics=False)


def _train(
    method: str, job: Job, start: Classifier, draw: int, *, keep_statistics: bool
) -> Classified:
    """Train all weights on views of the labelled images alone, and score the classifier."""
    config, splits = job.config, job.splits
    settings = settings_of(config, method)
    assert isinstance(settings, FineTuneConfig)
    data = LabelledDataModule(
        splits.train.select(job.draw(draw)),
        splits.val,
        splits.test,
        settings.batch_size,
        draw,
        build_views(milder(replace(config.augment, size=1.0), settings.augment_strength)),
    )
    module = FineTune(
        start,
        replace(config.optimizer, lr=settings.lr),
        settings.encoder_lr,
        total_steps=settings.max_epochs * len(data.train_dataloader()),
        label_smoothing=settings.label_smoothing,
        keep_statistics=keep_statistics,
        log_every_n_steps=config.trainer.log_every_n_steps,
    )
    return train_all(method, job, module, data, settings.max_epochs, draw)
