"""Training on labelled images alone: fine-tuning, and the supervised baseline."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from simclr.config.augment import milder
from simclr.config.schema import FineTuneConfig, OptimizerConfig
from simclr.data.datamodule import LabelledDataModule, to_float
from simclr.data.images import LabelledImages
from simclr.evaluation.calibration import held_out_logits
from simclr.evaluation.probe import penalty
from simclr.methods.all_weights import AllWeights, train_all
from simclr.methods.base import Features, Job, new_encoder, settings_of
from simclr.methods.scoring import Classified
from simclr.models.classifier import Classifier, extract_features
from simclr.training.callbacks.finite import FiniteLoss
from simclr.training.callbacks.stopping import StopSignals
from simclr.training.trainer import local_trainer
from simclr.views import build_views

FOLDS = 3  # of the labelled images, for calibration; each is a training of its own


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
                if isinstance(module, _BatchNorm):
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

    def begin(train: LabelledImages) -> Classifier:
        start = features.classifier(deepcopy(features.encoder))
        l2 = penalty(job.config.probe.l2, len(train.labels))
        start.fit_linear(extract_features(features.encoder, train.images), train.labels, l2)
        return start

    return _train("finetune", job, begin, draw, keep_statistics=True)


def supervised(job: Job, features: Features, draw: int) -> Classified:
    """Train the same network on a label draw from random weights, and score it.

    `features` are not used: the baseline draws its own weights from the seed.
    """

    def begin(_: LabelledImages) -> Classifier:
        return Classifier(new_encoder(job), len(job.splits.classes))

    return _train("supervised", job, begin, draw, keep_statistics=False)


def _train(
    method: str,
    job: Job,
    begin: Callable[[LabelledImages], Classifier],
    draw: int,
    *,
    keep_statistics: bool,
) -> Classified:
    """Train all weights on views of the labelled images alone, and score the classifier.

    Its confidences are calibrated if the method is the task. A benchmark, whose classifiers are not
    kept, is spared the further trainings that calibration needs.

    Args:
        method: its name.
        job: the job.
        begin: the classifier that training on these labelled images starts at.
        draw: the label seed.
        keep_statistics: that of `FineTune`.
    """
    config, splits = job.config, job.splits
    settings = settings_of(config, method)
    assert isinstance(settings, FineTuneConfig)
    epochs = settings.max_epochs
    labelled = splits.train.select(job.draw(draw))
    views = build_views(milder(replace(config.augment, size=1.0), settings.augment_strength))

    def prepare(data: LabelledDataModule) -> FineTune:
        return FineTune(
            begin(data.train),
            replace(config.optimizer, lr=settings.lr),
            settings.encoder_lr,
            total_steps=epochs * len(data.train_dataloader()),
            label_smoothing=settings.label_smoothing,
            keep_statistics=keep_statistics,
            log_every_n_steps=config.trainer.log_every_n_steps,
        )

    def fit(train: LabelledImages, unseen: LabelledImages) -> Tensor:
        data = LabelledDataModule(train, None, None, settings.batch_size, draw, views)
        module = prepare(data)
        watching = (job.progress, FiniteLoss("choose a lower learning rate"), StopSignals())
        precision = config.trainer.precision
        trainer = local_trainer(config, *watching, max_epochs=epochs, precision=precision)
        trainer.fit(module, data)
        with torch.inference_mode():
            logits: Tensor = module.eval()(to_float(unseen.images).to(module.device))
            return logits

    data = LabelledDataModule(labelled, splits.val, splits.test, settings.batch_size, draw, views)
    return train_all(
        method,
        job,
        prepare(data),
        data,
        epochs,
        draw,
        (lambda: held_out_logits(labelled, FOLDS, fit)) if config.task == method else None,
    )
