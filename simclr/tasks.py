"""The tasks: each a short function from parts to what it found out."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import torch
from torch import Tensor

from simclr.augment_config import milder
from simclr.callbacks.checkpoints import Checkpoints
from simclr.callbacks.clock import Clock
from simclr.callbacks.collapse import CollapseWarning
from simclr.callbacks.curves import Curves
from simclr.callbacks.finite import FiniteLoss
from simclr.callbacks.linear_probe import LinearProbe
from simclr.callbacks.monitors import Monitors
from simclr.callbacks.pictures import Pictures
from simclr.callbacks.progress import Progress
from simclr.callbacks.stopping import StopSignals
from simclr.classification import FineTune, LinearEval
from simclr.classifier import Classifier, extract_features
from simclr.config import Config, FineTuneConfig
from simclr.data.datamodule import ContrastiveDataModule, LabelledDataModule
from simclr.data.images import LabelledImages
from simclr.data.labels import fingerprint
from simclr.data.splits import Splits
from simclr.encoders import Encoder, build_encoder
from simclr.errors import SimclrError
from simclr.export import export_onnx
from simclr.heads import build_head
from simclr.optim import scaled_lr
from simclr.pretraining import SimCLR
from simclr.probe import FeatureNorm, fitted_accuracy
from simclr.ranks import is_first
from simclr.results import Labels, Result, Timing
from simclr.resume import starting_point
from simclr.trainer import build_logger, build_trainer, decisions, local_trainer
from simclr.views import build_views
from simclr.weights import load_weights, save_classifier, save_encoder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED = 500  # images that pictures of a pretraining choose from
MAP_IMAGES = 2_000  # test images that figures choose from


@dataclass(frozen=True)
class Job:
    """What every task works with."""

    config: Config
    splits: Splits
    folder: Path
    progress: Progress


class Features:
    """Representations by one frozen encoder, float32 (N, D), for all draws.

    Each part is computed when it is first asked for, and kept.

    Args:
        encoder: moved to the device that `job` trains on.
        job: whose images.
    """

    def __init__(self, encoder: Encoder, job: Job) -> None:
        self.encoder = encoder.to(local_trainer(job.config).strategy.root_device)
        self.splits = job.splits

    @cached_property
    def norm(self) -> FeatureNorm:
        """With the statistics of the unlabelled images."""
        unlabelled = self.splits.unlabelled
        if unlabelled is self.splits.train.images:
            return FeatureNorm.of(self.train)
        return FeatureNorm.of(extract_features(self.encoder, unlabelled))

    @cached_property
    def train(self) -> Tensor:
        """Of all images that label draws come from."""
        return extract_features(self.encoder, self.splits.train.images)

    @cached_property
    def val(self) -> LabelledImages | None:
        """Of the validation images, with their labels."""
        return self._of(self.splits.val)

    @cached_property
    def test(self) -> LabelledImages | None:
        """Of the test images, with their labels."""
        return self._of(self.splits.test)

    def _of(self, part: LabelledImages | None) -> LabelledImages | None:
        return part and LabelledImages(extract_features(self.encoder, part.images), part.labels)


@dataclass(frozen=True)
class Pretrained:
    """An encoder, how it was come by, and what was seen on the way.

    `history` holds (seconds of pretraining, probe accuracy on validation images).
    """

    encoder: Encoder
    features: Features
    result: Result
    history: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Classified:
    """A trained classifier, its scores, and its confusion matrix (true, predicted) on test."""

    classifier: Classifier
    result: Result
    confusion: Tensor


def new_encoder(job: Job) -> Encoder:
    """An encoder whose random weights follow from the seed alone.

    Raises:
        SimclrError: if the images are too small for it.
    """
    L.seed_everything(job.config.seed, verbose=False)
    config, shape = job.config.encoder, job.splits.shape
    encoder = build_encoder(config, shape[0])
    try:
        extract_features(encoder, torch.zeros(1, *shape, dtype=torch.uint8))
    except (RuntimeError, AssertionError) as error:
        size = f"images of {shape[1]}x{shape[2]} pixels"
        if config.name == "timm":
            raise SimclrError(
                f"encoder.model={config.model}: does not take {size} ({error}); choose another"
            ) from error
        raise SimclrError(
            f"encoder.channels={config.channels}: too many stages for {size}; choose fewer"
        ) from error
    return encoder


def given_encoder(job: Job) -> Encoder:
    """The encoder with the weights that `encoder.weights` names, or else with random ones."""
    encoder = new_encoder(job)
    if job.config.encoder.weights is not None:
        load_weights(encoder, job.config.encoder.weights)
    return encoder


def pretrain(job: Job) -> Pretrained:
    """Train an encoder with SimCLR on the unlabelled images and save it in the job's folder."""
    config, splits = job.config, job.splits
    encoder = given_encoder(job)
    data = ContrastiveDataModule(
        splits.unlabelled, build_views(config.augment), config.data.batch_size, config.seed
    )
    steps = config.trainer.max_epochs * len(data.train_dataloader())
    module = SimCLR(
        encoder,
        build_head(config.head, encoder.dim),
        config.loss,
        replace(config.optimizer, lr=scaled_lr(config.optimizer, config.data.batch_size)),
        total_steps=steps,
        log_every_n_steps=config.trainer.log_every_n_steps,
    )
    chosen = splits.draw(config.labels.per_class, config.labels.seed)
    labelled = splits.train.select(chosen)
    clock = Clock()
    probe = None
    if splits.val is not None and config.probe.every_steps:
        probe = LinearProbe(
            encoder,
            clock,
            splits.unlabelled[:: -(-len(splits.unlabelled) // config.probe.images)],
            labelled,
            splits.val.sample(config.probe.images),
            config.probe.l2,
            config.probe.every_steps,
        )
    views_per_step = 2 * config.data.batch_size
    every = config.trainer.log_every_n_steps
    seen = (splits.val or splits.train).sample(PICTURED)
    callbacks = [
        clock,
        job.progress,
        probe,
        Curves(clock, every, views_per_step, "loss", "contrastive_accuracy"),
        Monitors(clock, config.probe.every_steps) if config.probe.every_steps else None,
        Pictures(encoder, clock, data.views, seen, splits.classes),
        FiniteLoss(
            f"loss.temperature={config.loss.temperature:g}; choose a lower optimizer.lr "
            "or a higher loss.temperature"
        ),
        CollapseWarning(first_step=int(config.optimizer.warmup * steps)),
        StopSignals(),
        _checkpoints(job),
    ]
    trainer = build_trainer(
        config,
        max_epochs=config.trainer.max_epochs,
        callbacks=[callback for callback in callbacks if callback is not None],
        logger=build_logger(config.logger, job.folder),
        checkpointing=True,
    )
    job.progress.say(decisions(trainer))
    start = starting_point(config, job.folder)
    with job.progress.stage(f"pretraining, seed {config.seed}", views_per_step):
        trainer.fit(module, data, ckpt_path=start, weights_only=True)
    metrics = _logged(trainer)
    metrics.pop("probe_accuracy", None)
    if is_first():
        save_encoder(job.folder / "encoder.safetensors", encoder, config.encoder, splits.shape[0])
    features = Features(encoder, job)
    if features.val is not None:
        seen = LabelledImages(features.train[chosen], labelled.labels)
        metrics["val_accuracy"] = fitted_accuracy(
            features.norm, seen, features.val, config.probe.l2
        )
    timing = Timing(clock.seconds, views_per_step * trainer.global_step / clock.seconds)
    labels = _labels(job, config.labels.seed, chosen)
    result = Result("pretrain", config.seed, metrics, labels, 0, timing)
    return Pretrained(encoder.eval(), features, result, probe.history if probe else [])


def linear_eval(
    job: Job, encoder: Encoder, features: Features, label_seed: int, task: str = "linear_eval"
) -> Classified:
    """Fit a linear classifier to frozen features of a label draw, and score it.

    `task` is linear_eval, or random_encoder if the encoder's weights are random.
    """
    splits = job.splits
    chosen = splits.draw(job.config.labels.per_class, label_seed)
    train = LabelledImages(features.train[chosen], splits.train.labels[chosen])
    module = LinearEval(
        Classifier(encoder, len(splits.classes), features.norm), job.config.probe.l2
    )
    data = LabelledDataModule(train, features.val, features.test, batch_size=len(chosen))
    clock = Clock()
    trainer = local_trainer(job.config, clock, job.progress)
    labels = _labels(job, label_seed, chosen)
    with job.progress.stage(f"{task}, draw {label_seed}"):
        return _fit_and_score(task, job, trainer, module, data, clock, labels)


def finetune(
    job: Job, encoder: Encoder, features: Features, settings: FineTuneConfig, label_seed: int
) -> Classified:
    """Train a copy of a pretrained encoder on a label draw, and score it.

    Training starts at the linear classifier on the frozen encoder, so that the features are not
    distorted by a random one (LP-FT, Kumar et al. 2022, arXiv:2202.10054).
    """
    config, splits = job.config, job.splits
    chosen = splits.draw(config.labels.per_class, label_seed)
    start = Classifier(deepcopy(encoder), len(splits.classes), features.norm)
    start.fit_linear(features.train[chosen], splits.train.labels[chosen], config.probe.l2)
    return _train_all("finetune", job, start, settings, label_seed)


def supervised(job: Job, settings: FineTuneConfig, label_seed: int) -> Classified:
    """Train the same encoder from random weights on a label draw, and score it."""
    start = Classifier(new_encoder(job), len(job.splits.classes))
    return _train_all("supervised", job, start, settings, label_seed)


def _train_all(
    task: str, job: Job, start: Classifier, settings: FineTuneConfig, label_seed: int
) -> Classified:
    config, splits = job.config, job.splits
    chosen = splits.draw(config.labels.per_class, label_seed)
    data = LabelledDataModule(
        splits.train.select(chosen),
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
    clock = Clock()
    alone = config.task == task
    checkpoints = [_checkpoints(job)] if alone and is_first() else []
    trainer = local_trainer(
        config,
        clock,
        job.progress,
        Curves(clock, config.trainer.log_every_n_steps, data.batch_size, "loss"),
        FiniteLoss("choose a lower learning rate of the linear layer or of the encoder"),
        StopSignals(),
        *checkpoints,
        max_epochs=settings.max_epochs,
        precision=config.trainer.precision,
        logger=build_logger(
            config.logger, job.folder, "" if alone else f"{task}_draw_{label_seed}"
        ),
    )
    labels = _labels(job, label_seed, chosen)
    resumed = starting_point(config, job.folder) if alone else None
    with job.progress.stage(f"{task}, draw {label_seed}", data.batch_size):
        return _fit_and_score(task, job, trainer, module, data, clock, labels, resumed)


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
    seen, classes = job.splits.test.sample(MAP_IMAGES), job.splits.classes
    with torch.inference_mode():
        logits = classifier.classify(extract_features(classifier.encoder, seen.images)).cpu()
    return {
        "confusion": figures.confusion_figure(confusion, classes),
        "mistakes": figures.mistakes_figure(seen.images, seen.labels, logits, classes),
    }


def _fit_and_score(
    task: str,
    job: Job,
    trainer: L.Trainer,
    module: LinearEval | FineTune,
    data: LabelledDataModule,
    clock: Clock,
    labels: Labels,
    start: Path | None = None,
) -> Classified:
    trainer.fit(module, data, ckpt_path=start, weights_only=True)
    metrics = _logged(trainer)
    classes = len(job.splits.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    if data.val is not None:
        (scores,) = trainer.validate(module, data, verbose=False)
        metrics |= scores
    if data.test is not None:
        (scores,) = trainer.test(module, data, verbose=False)
        metrics |= scores
        confusion = module.confusion.compute().cpu()
    images = max(1, trainer.global_step) * data.batch_size
    timing = Timing(clock.seconds, images / clock.seconds)
    result = Result(task, job.config.seed, metrics, labels, int(confusion.sum()), timing)
    return Classified(module.classifier.eval(), result, confusion)


def _checkpoints(job: Job) -> Checkpoints:
    return Checkpoints(job.folder, job.config.trainer.checkpoint_seconds, asdict(job.config))


def _logged(trainer: L.Trainer) -> dict[str, float]:
    """What a training logged last, before it was stopped and resumed if need be.

    Raises:
        SimclrError: if it is not finite.
    """
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    for callback in trainer.checkpoint_callbacks:
        metrics |= callback.metrics if isinstance(callback, Checkpoints) else {}
    if strange := [f"{name}={value}" for name, value in metrics.items() if not isfinite(value)]:
        raise SimclrError(
            f"training diverged: {', '.join(strange)} after {trainer.global_step} steps; "
            "choose lower learning rates (optimizer.lr, finetune.encoder_lr, ...)"
        )
    return metrics


def _labels(job: Job, seed: int, chosen: Tensor) -> Labels:
    indices = job.splits.train_indices[chosen]
    return Labels(job.config.labels.per_class, seed, fingerprint(indices))
