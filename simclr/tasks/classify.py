"""Tasks linear_eval, finetune and supervised: a classifier from a few labels."""

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import torch
from torch import Tensor

from simclr.augment_config import milder
from simclr.batch_norm import measure_batch_norm
from simclr.callbacks.clock import Clock
from simclr.callbacks.curves import Curves
from simclr.callbacks.finite import FiniteLoss
from simclr.callbacks.stopping import StopSignals
from simclr.classification import FineTune, LinearEval, SelfTrain
from simclr.classifier import Classifier, extract_features
from simclr.config import FineTuneConfig
from simclr.data.datamodule import LabelledDataModule
from simclr.data.images import LabelledImages
from simclr.export import export_onnx
from simclr.ranks import is_first
from simclr.results import Result, Timing
from simclr.resume import starting_point
from simclr.tasks.job import Features, Job, checkpoints, labels_of, logged, new_encoder
from simclr.trainer import build_logger, local_trainer
from simclr.views import build_views
from simclr.weights import save_classifier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_IMAGES = 2_000  # test images that figures choose from


@dataclass(frozen=True)
class Classified:
    """A trained classifier, its scores, and its confusion matrix (true, predicted) on test."""

    classifier: Classifier
    result: Result
    confusion: Tensor


def linear_eval(
    job: Job, features: Features, label_seed: int, task: str = "linear_eval"
) -> Classified:
    """Fit a linear classifier to frozen features of a label draw, and score it.

    `task` is linear_eval, or random_encoder if the encoder's weights are random.
    """
    train = features.train(job.splits.draw(job.config.labels.per_class, label_seed))
    with job.progress.stage(f"{task}, draw {label_seed}"):
        return fit_linear(task, job, features, train, job.config.probe.l2, label_seed, Clock())


def finetune(job: Job, features: Features, settings: FineTuneConfig, label_seed: int) -> Classified:
    """Train a copy of a pretrained encoder on a label draw, and score it.

    Training starts at the linear classifier on the frozen encoder, so that the features are not
    distorted by a random one (LP-FT, Kumar et al. 2022, arXiv:2202.10054).
    """
    config, splits = job.config, job.splits
    chosen = splits.draw(config.labels.per_class, label_seed)
    start = Classifier(deepcopy(features.encoder), len(splits.classes), features.norm)
    train = features.train(chosen)
    start.fit_linear(train.images, train.labels, config.probe.l2)
    return _train("finetune", job, start, splits.train.select(chosen), settings, label_seed)


def supervised(job: Job, settings: FineTuneConfig, label_seed: int) -> Classified:
    """Train the same encoder from random weights on a label draw, and score it."""
    start = Classifier(new_encoder(job), len(job.splits.classes))
    train = job.splits.train.select(job.splits.draw(job.config.labels.per_class, label_seed))
    return _train("supervised", job, start, train, settings, label_seed)


def fit_linear(
    task: str,
    job: Job,
    features: Features,
    train: LabelledImages,
    l2: float,
    label_seed: int,
    clock: Clock,
) -> Classified:
    """Fit a linear classifier to `train`, features in the place of images, and score it."""
    module = LinearEval(Classifier(features.encoder, len(job.splits.classes), features.norm), l2)
    data = LabelledDataModule(train, features.val, features.test, batch_size=len(train.labels))
    trainer = local_trainer(job.config, clock, job.progress)
    return _fit_and_score(task, job, trainer, module, data, clock, label_seed)


def train_all(
    task: str,
    job: Job,
    module: FineTune | SelfTrain,
    data: LabelledDataModule,
    max_epochs: int,
    label_seed: int,
) -> Classified:
    """Train all weights of a classifier, and score it."""
    config = job.config
    clock = Clock()
    alone = config.task == task
    resumable = [checkpoints(job)] if alone and is_first() else []
    trainer = local_trainer(
        config,
        clock,
        job.progress,
        Curves(clock, config.trainer.log_every_n_steps, data.views_per_step, *module.curves),
        FiniteLoss("choose a lower learning rate of the linear layer or of the encoder"),
        StopSignals(),
        *resumable,
        max_epochs=max_epochs,
        precision=config.trainer.precision,
        logger=build_logger(
            config.logger, job.folder, "" if alone else f"{task}_draw_{label_seed}"
        ),
    )
    resumed = starting_point(config, job.folder) if alone else None
    with job.progress.stage(f"{task}, draw {label_seed}", data.views_per_step):
        return _fit_and_score(task, job, trainer, module, data, clock, label_seed, resumed)


def save_classified(job: Job, classified: Classified) -> None:
    """Write classifier.safetensors and, if asked for, classifier.onnx."""
    config, splits = job.config, job.splits
    path = job.folder / "classifier.safetensors"
    save_classifier(path, classified.classifier, config.encoder, splits.shape, splits.classes)
    if config.export == "onnx":
        export_onnx(classified.classifier, splits.shape, path.with_suffix(".onnx"))


def classifier_figures(job: Job, classifier: Classifier, confusion: Tensor) -> "dict[str, Figure]":
    """The confusion matrix and the most certain mistakes on test images, if there are any."""
    from simclr import figures

    if job.splits.test is None:
        return {}
    seen, classes = job.splits.test.sample(SHOWN_IMAGES), job.splits.classes
    with torch.inference_mode():
        logits = classifier.classify(extract_features(classifier.encoder, seen.images)).cpu()
    return {
        "confusion": figures.confusion_figure(confusion, classes),
        "mistakes": figures.mistakes_figure(seen.images, seen.labels, logits, classes),
    }


def _train(
    task: str,
    job: Job,
    start: Classifier,
    train: LabelledImages,
    settings: FineTuneConfig,
    label_seed: int,
) -> Classified:
    """Train all weights on views of `train` alone, and score the classifier."""
    config, splits = job.config, job.splits
    data = LabelledDataModule(
        train,
        splits.val,
        splits.test,
        settings.batch_size,
        label_seed,
        build_views(milder(config.augment, settings.augment_strength)),
    )
    module = FineTune(
        start,
        replace(config.optimizer, lr=settings.lr),
        settings.encoder_lr,
        total_steps=settings.max_epochs * len(data.train_dataloader()),
        label_smoothing=settings.label_smoothing,
        keep_statistics=task == "finetune",
        log_every_n_steps=config.trainer.log_every_n_steps,
    )
    return train_all(task, job, module, data, settings.max_epochs, label_seed)


def _fit_and_score(
    task: str,
    job: Job,
    trainer: L.Trainer,
    module: LinearEval | FineTune | SelfTrain,
    data: LabelledDataModule,
    clock: Clock,
    label_seed: int,
    start: Path | None = None,
) -> Classified:
    trainer.fit(module, data, ckpt_path=start, weights_only=True)
    if isinstance(module, SelfTrain):
        measure_batch_norm(module.classifier.encoder, job.splits.unlabelled)
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
    views = max(1, trainer.global_step) * data.views_per_step
    labels = labels_of(job, label_seed)
    timing = Timing(clock.seconds, views / clock.seconds)
    result = Result(task, job.config.seed, metrics, labels, int(confusion.sum()), timing)
    return Classified(module.classifier.eval(), result, confusion)
