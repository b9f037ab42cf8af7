"""Task pretrain: an encoder from unlabelled images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from simclr.callbacks.clock import Clock
from simclr.callbacks.collapse import CollapseWarning
from simclr.callbacks.curves import Curves
from simclr.callbacks.finite import FiniteLoss
from simclr.callbacks.linear_probe import LinearProbe
from simclr.callbacks.monitors import Monitors
from simclr.callbacks.pictures import Pictures
from simclr.callbacks.stopping import StopSignals
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.images import LabelledImages
from simclr.encoders import Encoder
from simclr.heads import build_head
from simclr.optim import scaled_lr
from simclr.pretraining import SimCLR
from simclr.probe import fitted_accuracy
from simclr.ranks import is_first
from simclr.results import Result, Timing
from simclr.resume import starting_point
from simclr.tasks.job import (
    Features,
    Job,
    checkpoints,
    given_encoder,
    labels_of,
    logged,
)
from simclr.trainer import build_logger, build_trainer, decisions
from simclr.views import build_views
from simclr.weights import save_encoder

PICTURED = 500  # images that pictures of a pretraining choose from


@dataclass(frozen=True)
class Pretrained:
    """An encoder, how it was come by, and what was seen on the way.

    `history` holds (seconds of pretraining, probe accuracy on validation images).
    """

    encoder: Encoder
    features: Features
    result: Result
    history: Sequence[tuple[float, float]]


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
    probe = _probe(job, encoder, labelled, clock)
    views_per_step = 2 * config.data.batch_size
    every = config.trainer.log_every_n_steps
    curves = ["loss", "contrastive_accuracy"]
    if config.loss.clusters:
        curves.append("cluster_information")
    seen = (splits.val or splits.train).sample(PICTURED)
    trainer = build_trainer(
        config,
        max_epochs=config.trainer.max_epochs,
        callbacks=[
            clock,
            job.progress,
            *probe,
            Curves(clock, every, views_per_step, *curves),
            *([Monitors(clock, config.probe.every_steps)] if config.probe.every_steps else []),
            Pictures(encoder, clock, data.views, seen, splits.classes),
            FiniteLoss(
                f"loss.temperature={config.loss.temperature:g}; choose a lower optimizer.lr "
                "or a higher loss.temperature"
            ),
            CollapseWarning(first_step=int(config.optimizer.warmup * steps)),
            StopSignals(),
            checkpoints(job),
        ],
        logger=build_logger(config.logger, job.folder),
        checkpointing=True,
    )
    job.progress.say(decisions(trainer))
    start = starting_point(config, job.folder)
    with job.progress.stage(f"pretraining, seed {config.seed}", views_per_step):
        trainer.fit(module, data, ckpt_path=start, weights_only=True)
    metrics = logged(trainer)
    metrics.pop("probe_accuracy", None)
    if is_first():
        save_encoder(job.folder / "encoder.safetensors", encoder, config.encoder, splits.shape[0])
    features = Features(encoder, job)
    if features.val is not None:
        metrics["val_accuracy"] = fitted_accuracy(
            features.norm, features.train(chosen), features.val, config.probe.l2
        )
    timing = Timing(clock.seconds, views_per_step * trainer.global_step / clock.seconds)
    labels = labels_of(job, config.labels.seed)
    result = Result("pretrain", config.seed, metrics, labels, 0, timing)
    return Pretrained(encoder.eval(), features, result, probe[0].history if probe else [])


def _probe(job: Job, encoder: Encoder, labelled: LabelledImages, clock: Clock) -> list[LinearProbe]:
    """The probe during pretraining, if there are validation images and it is wanted."""
    config, splits = job.config.probe, job.splits
    if splits.val is None or not config.every_steps:
        return []
    return [
        LinearProbe(
            encoder,
            clock,
            labelled,
            splits.val.sample(config.images),
            config.l2,
            config.every_steps,
        )
    ]
