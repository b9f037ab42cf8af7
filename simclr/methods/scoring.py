"""Scoring of a classifier, the same for every method."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lightning as L
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from simclr.data.datamodule import LabelledDataModule
from simclr.evaluation.calibration import calibration_error, fit_temperature, reliability
from simclr.methods.base import Job, labels_of, logged
from simclr.models.classifier import Classifier, extract_features
from simclr.models.export import export_onnx
from simclr.models.weights import save_classifier
from simclr.reports.results import Result, Timing
from simclr.reports.show import Drawings
from simclr.training.callbacks.clock import Clock

SHOWN_IMAGES = 2_000  # test images that the map and the nearest neighbours choose from

HeldOut = Callable[[], tuple[Tensor, Tensor] | None]


@dataclass(frozen=True)
class Classified:
    """A trained classifier, its scores, and its confusion matrix (true, predicted) on test."""

    classifier: Classifier
    result: Result
    confusion: Tensor


class Scored(L.LightningModule):
    """A classifier with validation and test; each method adds its training step.

    Args:
        classifier: encoder and linear layer.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        classes = classifier.linear.out_features
        # Each process scores a classifier of its own: nothing to add up over processes.
        self.val_accuracy = MulticlassAccuracy(classes, average="micro", sync_on_compute=False)
        self.test_accuracy = MulticlassAccuracy(classes, average="micro", sync_on_compute=False)
        self.confusion = MulticlassConfusionMatrix(classes, sync_on_compute=False)
        self.tested: list[tuple[Tensor, Tensor]] = []

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, labels = batch
        self.val_accuracy.update(self(inputs), labels)
        self.log("val_accuracy", self.val_accuracy, batch_size=len(labels))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, labels = batch
        logits = self(inputs)
        self.test_accuracy.update(logits, labels)
        self.confusion.update(logits, labels)
        self.tested.append((logits.cpu(), labels.cpu()))
        self.log("test_accuracy", self.test_accuracy, batch_size=len(labels))

    def finish(self, job: Job) -> None:
        """Called once between training and scoring."""


def fit_and_score(
    method: str,
    job: Job,
    trainer: L.Trainer,
    module: Scored,
    data: LabelledDataModule,
    clock: Clock,
    draw: int,
    start: Path | None = None,
    held_out: HeldOut | None = None,
) -> Classified:
    """Train a classifier, calibrate it, and score it once, with its last weights.

    Args:
        method: its name, for the result.
        job: the job.
        trainer: with all its callbacks, `clock` among them.
        module: the classifier with its training step.
        data: training, validation and test images.
        clock: measures the seconds of training.
        draw: the label seed.
        start: a checkpoint to go on from.
        held_out: logits and labels of labelled images that were not trained on, which one
            temperature is fitted to; None leaves the confidences as training made them.
    """
    trainer.fit(module, data, ckpt_path=start, weights_only=True)
    module.finish(job)
    if held_out is not None and (unseen := held_out()) is not None:
        module.classifier.soften(fit_temperature(*unseen))
    metrics = logged(trainer)
    classes = len(job.splits.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    if data.val is not None:
        (scores,) = trainer.validate(module, data, verbose=False)
        metrics |= scores
    if data.test is not None:
        (scores,) = trainer.test(module, data, verbose=False)
        metrics |= scores
        confusion = module.confusion.compute().cpu()
        logits, truth = map(torch.cat, zip(*module.tested, strict=True))
        metrics["test_ece"] = calibration_error(logits, truth)
    views = max(1, trainer.global_step) * data.views_per_step
    timing = Timing(clock.seconds, views / clock.seconds)
    n_test = int(confusion.sum())
    labels = labels_of(job, draw, job.draw(draw))
    result = Result(method, job.config.seed, metrics, labels, n_test, timing)
    return Classified(module.classifier.eval(), result, confusion)


def save_classified(job: Job, classified: Classified) -> None:
    """Write classifier.safetensors and, if asked for, classifier.onnx."""
    config, splits = job.config, job.splits
    path = job.folder / "classifier.safetensors"
    save_classifier(path, classified.classifier, splits.shape, splits.classes)
    if config.export == "onnx":
        export_onnx(classified.classifier, splits.shape, splits.classes, path.with_suffix(".onnx"))


def classifier_drawings(job: Job, classifier: Classifier, confusion: Tensor) -> Drawings:
    """Confusion, reliability and the most certain mistakes on test images, if there are any."""
    from simclr.reports import figures

    if (test := job.splits.test) is None:
        return {}
    classes = job.splits.classes

    @cache
    def logits() -> Tensor:
        with torch.inference_mode():
            return classifier.classify(extract_features(classifier.encoder, test.images)).cpu()

    return {
        "confusion": lambda: figures.confusion_figure(confusion, classes),
        "mistakes": lambda: figures.mistakes_figure(test.images, test.labels, logits(), classes),
        "reliability": lambda: figures.reliability_figure(*reliability(logits(), test.labels)),
    }
