"""Pretraining: an encoder from unlabelled images, in one to three stages."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from simclr.config.schema import Config
from simclr.data.datamodule import ContrastiveDataModule, StudentDataModule
from simclr.data.images import LabelledImages
from simclr.data.splits import Splits
from simclr.evaluation.probe import fitted_accuracy, penalty
from simclr.launch.ranks import is_first
from simclr.methods.base import (
    Features,
    Job,
    checkpoints,
    given_encoder,
    labels_of,
    logged,
    new_encoder,
)
from simclr.methods.before_clustering import BEFORE_CLUSTERING, better, save_before_clustering
from simclr.methods.cluster_shares import cluster_shares, load_shares, save_shares
from simclr.methods.clustering import Clustering
from simclr.methods.encoder_training import EncoderTraining
from simclr.methods.simclr import SimCLR
from simclr.methods.stages import STAGES, Stage, count_views, stages, student_encoder
from simclr.methods.student import Student
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.encoders import Encoder
from simclr.models.heads import build_head
from simclr.models.weights import save_encoder
from simclr.pipes import folded
from simclr.reports.results import Probed, Result, Timing
from simclr.training.callbacks.checkpoints import read_checkpoint
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.collapse import CollapseWarning
from simclr.training.callbacks.curves import Curves
from simclr.training.callbacks.finite import FiniteLoss
from simclr.training.callbacks.linear_probe import LinearProbe
from simclr.training.callbacks.monitors import Monitors
from simclr.training.callbacks.own_folder import OwnFolder
from simclr.training.callbacks.pictures import Pictures
from simclr.training.callbacks.starved import Starved
from simclr.training.callbacks.stopping import StopSignals
from simclr.training.pace import expected_seconds, in_words
from simclr.training.resume import stages_over, starting_point
from simclr.training.trainer import build_logger, build_trainer, decisions
from simclr.views import Views, build_views

logger = logging.getLogger(__name__)

PICTURED = 500  # images that pictures of a pretraining choose from


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder, its features, and the result of its pretraining.

    `history` holds the probes of all stages, the newest last.
    """

    encoder: Encoder
    features: Features
    result: Result
    history: Sequence[Probed]


def pretrain(job: Job) -> Pretrained:
    """Train an encoder on the unlabelled images and save it in the job's folder."""
    config, splits = job.config, job.splits
    todo = stages(config, len(splits.unlabelled))
    student: Encoder | None = None
    if todo and todo[-1].name == "student":  # before the others, as it may not fit the images
        student = new_encoder(job, student_encoder(config.encoder, config.student))
    encoder = given_encoder(job)
    labels = splits.as_many_labels(config.labels)
    watched = replace(job, config=replace(config, labels=labels))
    chosen = splits.draw(labels.per_class, labels.seed)
    l2 = penalty(config.probe.l2, len(chosen))
    clock = Clock()
    probe = _probe(job, encoder, splits.train.select(chosen), clock)
    start = starting_point(config, job.folder, splits.fingerprint)
    beside = start.parent if start else job.folder / "checkpoints"
    over = 0
    for stage in todo[: stages_over(read_checkpoint(start)) if start else 0]:
        over += stage.steps(len(splits.unlabelled))
        job.progress.skip(stage.views_per_step * stage.steps(len(splits.unlabelled)))
        todo = todo[1:]
    metrics: dict[str, float] = {}
    module: EncoderTraining | None = None
    for stage in todo:
        if stage.name == "clustering" and start is None:
            save_before_clustering(job, encoder)
            beside = job.folder / "checkpoints"
        shares = None
        if student is not None and stage.name == "student":
            shares = _shares(job, module, beside)
            encoder = student
        module = _module(job, stage, encoder)
        metrics = _train(job, stage, module, shares, clock, probe, start, over)
        over += stage.steps(len(splits.unlabelled))
        start = None
    metrics.pop("probe_accuracy", None)
    if todo:
        measure_batch_norm(encoder, splits.unlabelled)
    features = Features(encoder, job)
    if todo and todo[-1].clustering:
        features = better(watched, beside / BEFORE_CLUSTERING, features)
    encoder = features.encoder
    if is_first():
        save_encoder(job.folder / "encoder.safetensors", encoder, splits.shape[0])
    if features.val is not None and len(chosen):
        metrics["val_accuracy"] = fitted_accuracy(
            features.norm, features.train(chosen), features.val, l2
        )
    views = count_views(config, len(splits.unlabelled))
    timing = Timing(clock.seconds, views / clock.seconds if views else 0.0)
    drawn = labels_of(watched, labels.seed, chosen)
    result = Result("pretrain", config.seed, metrics, drawn, 0, timing)
    return Pretrained(encoder.eval(), features, result, probe[0].history if probe else [])


def _shares(job: Job, trained: EncoderTraining | None, beside: Path) -> Tensor:
    """The clusters that the second stage found, or, where a run goes on, those saved with it."""
    if not isinstance(trained, Clustering):
        clusters = sum(job.config.clustering.heads)
        return load_shares(beside, len(job.splits.unlabelled), clusters)
    shares = cluster_shares(job, trained.encoder, trained.cluster_heads)
    if is_first():
        save_shares(job.folder / "checkpoints", shares)
    return shares


def _module(job: Job, stage: Stage, encoder: Encoder) -> EncoderTraining:
    """The module that trains `encoder` in this stage."""
    config = job.config
    if number := STAGES.index(stage.name):
        L.seed_everything(config.seed + number, verbose=False)  # also where a stage was skipped
    shared: dict[str, Any] = {
        "encoder": encoder,
        "optimizer": replace(config.optimizer, lr=stage.lr),
        "total_steps": stage.steps(len(job.splits.unlabelled)),
        "log_every_n_steps": config.trainer.log_every_n_steps,
    }
    if stage.name == "student":
        return Student(heads=config.clustering.heads, **shared)
    shared |= {"head": build_head(config.head, encoder.dim), "loss": config.loss}
    if stage.clustering is None:
        return SimCLR(**shared)
    return Clustering(clustering=stage.clustering, **shared)


def _train(
    job: Job,
    stage: Stage,
    module: EncoderTraining,
    shares: Tensor | None,
    clock: Clock,
    probe: list[LinearProbe],
    start: Path | None,
    over: int,
) -> dict[str, float]:
    """Train the module's encoder in place.

    A student learns `shares`. Training begins at the checkpoint `start` of this stage, if there is
    one. `over` steps of earlier stages are over; curves go on from there.

    Returns:
        The last value of every metric.
    """
    config, splits, encoder = job.config, job.splits, module.encoder
    views = build_views(stage.augment)
    place = (views, stage.batch_size, config.seed)
    data = (
        ContrastiveDataModule(splits.unlabelled, *place)
        if shares is None
        else StudentDataModule(splits.unlabelled, shares, *place)
    )
    _warn_of_equal_views(views, splits.shape)
    steps = stage.steps(len(splits.unlabelled))
    for one in probe:
        one.stage, one.encoder = stage.name, encoder
    views_per_step = stage.views_per_step
    every = config.trainer.log_every_n_steps
    seen, names = _pictured(splits)
    trainer = build_trainer(
        config,
        max_epochs=stage.max_epochs,
        callbacks=[
            clock,
            job.progress,
            *probe,
            Curves(clock, every, views_per_step, *module.curves),
            *(_of_projections(config, clock, steps) if shares is None else ()),
            Pictures(encoder, clock, build_views(replace(stage.augment, size=1.0)), seen, names),
            FiniteLoss(_advice(config, stage)),
            Starved(),
            OwnFolder(job.folder),
            StopSignals(),
            checkpoints(job),
        ],
        logger=build_logger(config, job.folder, stage.name if stage.clustering else "", over),
        checkpointing=True,
    )
    if not stage.clustering:
        job.progress.say(decisions(trainer))
    side = [round(pixels * stage.augment.size) for pixels in splits.shape[1:]]
    view = torch.Size([splits.shape[0], *side])
    seconds = expected_seconds(trainer, encoder, view, steps * views_per_step)
    length = (
        f"{stage.name}: {len(splits.unlabelled)} images, "
        f"{stage.max_epochs} epoch{'s' * (stage.max_epochs > 1)}, {steps} steps, "
        f"{in_words(seconds, config.encoder.name)}"
    )
    job.progress.say(folded(length))
    with job.progress.stage(f"{stage.name}, seed {config.seed}", views_per_step):
        trainer.fit(module, data, ckpt_path=start, weights_only=True)
    return logged(trainer)


def _advice(config: Config, stage: Stage) -> str:
    """What to change where the loss is not finite; a student's has no temperature."""
    lower = f"choose a lower {stage.name if stage.clustering else 'optimizer'}.lr"
    if stage.name == "student":
        return lower
    return f"loss.temperature={config.loss.temperature:g}; {lower} or a higher loss.temperature"


def _of_projections(config: Config, clock: Clock, steps: int) -> Iterator[L.Callback]:
    """What looks at projections, which the first two stages have."""
    yield CollapseWarning(first_step=int(config.optimizer.warmup * steps))
    if config.probe.every_steps:
        yield Monitors(clock, config.probe.every_steps)


def _pictured(splits: Splits) -> tuple[LabelledImages, tuple[str, ...]]:
    """Images for pictures, and the names of their labels; all of one name if none has a label."""
    labelled = splits.val or splits.train
    if len(labelled.labels):
        return labelled.sample(PICTURED), splits.classes
    images = splits.unlabelled[:PICTURED]
    return LabelledImages(images, torch.zeros(len(images), dtype=torch.int64)), ("unlabelled",)


def _warn_of_equal_views(views: Views, shape: tuple[int, int, int]) -> None:
    """Say so if the two views of an image are the same, from which nothing is learnt."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, *shape, generator=generator)
    if torch.equal(*views.pair(images, generator)):
        logger.warning(
            "The two views of an image are the same: no augmentation is on, and there is nothing "
            "to learn; choose augment=digits, affine, crops or photos, or set augment.*"
        )


def _probe(job: Job, encoder: Encoder, labelled: LabelledImages, clock: Clock) -> list[LinearProbe]:
    """The probe during pretraining; none without validation images, or where it is turned off."""
    config, splits = job.config.probe, job.splits
    if splits.val is None or not config.every_steps or not len(labelled.labels):
        return []
    return [
        LinearProbe(
            encoder,
            clock,
            labelled,
            splits.val.sample(config.images),
            penalty(config.l2, len(labelled.labels)),
            config.every_steps,
        )
    ]
