"""Tasks label_spread and self_train: the unlabelled training images help the few labelled ones."""

from copy import deepcopy
from dataclasses import replace

from torch import Tensor

from simclr.augment_config import milder
from simclr.callbacks.clock import Clock
from simclr.classification import SelfTrain
from simclr.classifier import Classifier
from simclr.config import SelfTrainConfig
from simclr.data.datamodule import SelfTrainDataModule
from simclr.data.images import LabelledImages
from simclr.label_spreading import spread_labels
from simclr.tasks.classify import Classified, fit_linear, train_all
from simclr.tasks.job import Features, Job
from simclr.views import build_views


def label_spread(job: Job, features: Features, label_seed: int) -> Classified:
    """Spread the labels of a draw to all unlabelled images, and fit a linear classifier to those.

    It classifies an image by itself: the graph is of training images, and needed no longer.
    """
    clock, l2 = Clock(), job.config.label_spread.l2
    with job.progress.stage(f"label_spread, draw {label_seed}"):
        _ = features.graph  # once for all draws, so in none of their seconds
        with clock.running():
            train = LabelledImages(features.unlabelled, pseudo_labels(job, features, label_seed))
        return fit_linear("label_spread", job, features, train, l2, label_seed, clock)


def self_train(
    job: Job, features: Features, settings: SelfTrainConfig, label_seed: int
) -> Classified:
    """Train a copy of a pretrained encoder until any image and a view of it are of one class.

    Training starts at the classifier of `label_spread`, sees all unlabelled images and, in each
    step, the labelled ones; none is told what labels were spread to it, or it would learn wrong
    ones by heart. Batch norm ends with the statistics of whole images.
    """
    config, splits = job.config, job.splits
    start = Classifier(deepcopy(features.encoder), len(splits.classes), features.norm)
    spread = pseudo_labels(job, features, label_seed)
    start.fit_linear(features.unlabelled, spread, config.label_spread.l2)
    data = SelfTrainDataModule(
        splits.unlabelled,
        splits.train.select(splits.draw(config.labels.per_class, label_seed)),
        splits.val,
        splits.test,
        settings.batch_size,
        label_seed,
        build_views(milder(config.augment, settings.augment_strength)),
    )
    module = SelfTrain(
        start,
        replace(config.optimizer, lr=settings.lr),
        total_steps=settings.max_epochs * len(data.train_dataloader()),
        label_weight=settings.label_weight,
        log_every_n_steps=config.trainer.log_every_n_steps,
    )
    return train_all("self_train", job, module, data, settings.max_epochs, label_seed)


def pseudo_labels(job: Job, features: Features, label_seed: int) -> Tensor:
    """The likeliest class of each unlabelled image, int64 (N,); those of the draw keep theirs."""
    splits, config = job.splits, job.config.label_spread
    chosen = splits.draw(job.config.labels.per_class, label_seed)
    given, places = splits.train.labels[chosen], splits.in_unlabelled(chosen)
    shares = spread_labels(features.graph, places, given, len(splits.classes), config.alpha)
    labels = shares.argmax(1)
    labels[places] = given
    return labels
