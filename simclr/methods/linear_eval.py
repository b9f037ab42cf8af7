"""Linear evaluation: a linear classifier on a frozen encoder (Chen et al. 2020, section 4.2)."""

import math

from torch import Tensor, nn

from simclr.data.datamodule import LabelledDataModule
from simclr.data.images import LabelledImages
from simclr.evaluation.calibration import held_out_logits, linear_fit
from simclr.evaluation.probe import penalty
from simclr.methods.base import Features, Job
from simclr.methods.scoring import Classified, HeldOut, Scored, fit_and_score
from simclr.models.classifier import Classifier
from simclr.models.encoders import Encoder
from simclr.training.callbacks.clock import Clock
from simclr.training.trainer import local_trainer

FOLDS = 10  # of the labelled images, for calibration


class LinearEval(Scored):
    """A linear classifier on a frozen encoder.

    Its inputs are the encoder's features, computed once. The problem is convex, so one training
    step on all labelled features solves it; the encoder stays in eval mode and gets no gradient.

    Args:
        classifier: whose encoder is frozen and whose linear layer is fitted.
        l2: strength of the penalty on the weights.
    """

    def __init__(self, classifier: Classifier, l2: float) -> None:
        super().__init__(classifier.eval())
        self.l2 = l2
        self.automatic_optimization = False
        classifier.encoder.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Representations (B, D) to logits (B, num_classes)."""
        return self.classifier.classify(features)

    def train(self, mode: bool = True) -> "LinearEval":
        super().train(mode)
        self.classifier.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        features, labels = batch
        self.classifier.fit_linear(features, labels, self.l2)

    def configure_optimizers(self) -> None:
        """No optimiser: the training step solves the problem."""


def linear_eval(job: Job, features: Features, draw: int) -> Classified:
    """Fit a linear classifier to the features of a label draw, and score it."""
    return _on_draw("linear_eval", job, features, draw)


def random_encoder(job: Job, features: Features, draw: int) -> Classified:
    """Linear evaluation of an encoder with random weights."""
    return _on_draw("random_encoder", job, features, draw)


def pixels(job: Job, features: Features, draw: int) -> Classified:
    """Linear evaluation of the pixels themselves; `features` are not used."""
    flat = Encoder(job.config.encoder, nn.Flatten(), math.prod(job.splits.shape))
    return _on_draw("pixels", job, Features(flat, job), draw)


def fit_frozen(
    method: str,
    job: Job,
    features: Features,
    module: LinearEval,
    train: LabelledImages,
    draw: int,
    clock: Clock,
    held_out: HeldOut | None = None,
) -> Classified:
    """Fit `module` to the labelled features `train`, and score it.

    `held_out` is that of `fit_and_score`.
    """
    data = LabelledDataModule(train, features.val, features.test, batch_size=len(train.labels))
    trainer = local_trainer(job.config, clock, job.progress)
    return fit_and_score(method, job, trainer, module, data, clock, draw, held_out=held_out)


def _on_draw(method: str, job: Job, features: Features, draw: int) -> Classified:
    train = features.train(job.draw(draw))
    l2 = penalty(job.config.probe.l2, len(train.labels))
    module = LinearEval(features.classifier(), l2)

    def held_out() -> tuple[Tensor, Tensor] | None:
        normed = LabelledImages(features.norm(train.images), train.labels)
        return held_out_logits(normed, FOLDS, linear_fit(len(job.splits.classes), l2))

    with job.progress.stage(f"{method}, draw {draw}"):
        return fit_frozen(method, job, features, module, train, draw, Clock(), held_out)
