"""A linear and a nearest-neighbour classifier on the encoder during pretraining."""

from typing import Any

import lightning as L

from simclr.data.images import LabelledImages
from simclr.evaluation.embedding_metrics import effective_rank, embedding_sd
from simclr.evaluation.probe import FeatureNorm, fitted_accuracy, knn_accuracy
from simclr.models.classifier import extract_features
from simclr.models.encoders import Encoder
from simclr.reports.results import Probed
from simclr.reports.tensorboard import log_scalars
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.watching import watching


def _features(encoder: Encoder, part: LabelledImages) -> LabelledImages:
    return LabelledImages(extract_features(encoder, part.images), part.labels)


def _accuracy(train: LabelledImages, val: LabelledImages, l2: float) -> float:
    return fitted_accuracy(FeatureNorm.of(train.images), train, val, l2)


class LinearProbe(L.Callback):
    """Probe the encoder every so many steps and at the end, with the clock stopped.

    Only training and validation images are used. The logger gets probe/* and what the validation
    images' representations are like, as representation/*. `history` holds the probes, the newest
    last.

    Args:
        encoder: which is being trained.
        clock: the clock of this training.
        train: the labelled images.
        val: the validation images.
        l2: strength of the penalty on the weights.
        every_steps: steps between two probes.

    Attributes:
        stage: of pretraining, for `history`.
    """

    def __init__(
        self,
        encoder: Encoder,
        clock: Clock,
        train: LabelledImages,
        val: LabelledImages,
        l2: float,
        every_steps: int,
    ) -> None:
        self.encoder = encoder
        self.clock = clock
        self.parts = (train, val)
        self.l2 = l2
        self.every_steps = every_steps
        self.stage = ""
        self.history: list[Probed] = []

    @watching
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step % self.every_steps and step != trainer.estimated_stepping_batches:
            return
        with self.clock.paused():
            with trainer.precision_plugin.forward_context():
                train, val = (_features(self.encoder, part) for part in self.parts)
            accuracy = _accuracy(train, val, self.l2)
            self.history.append(Probed(self.clock.seconds, accuracy, self.stage))
            pl_module.log("probe_accuracy", accuracy, logger=False, rank_zero_only=True)
            if trainer.loggers:
                measures = {
                    "probe/linear_accuracy": accuracy,
                    "probe/knn_accuracy": knn_accuracy(train, val),
                    "representation/effective_rank": float(effective_rank(val.images)),
                    "representation/sd": float(embedding_sd(val.images)),
                }
                log_scalars(trainer, measures)

    def state_dict(self) -> dict[str, Any]:
        return {"history": [tuple(probed) for probed in self.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [Probed(*probed) for probed in state_dict["history"]]
