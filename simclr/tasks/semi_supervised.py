"""Tasks label_spread and self_train: the unlabelled training images help the few labelled ones."""

from copy import deepcopy

from torch import Tensor

from simclr.callbacks.clock import Clock
from simclr.classifier import Classifier
from simclr.config import FineTuneConfig
from simclr.data.images import LabelledImages
from simclr.data.splits import Splits
from simclr.errors import SimclrError
from simclr.label_spreading import spread_labels
from simclr.tasks.classify import Classified, fit_linear, train_all
from simclr.tasks.job import Features, Job


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
    job: Job, features: Features, settings: FineTuneConfig, label_seed: int
) -> Classified:
    """Train a copy of a pretrained encoder on all unlabelled images, with the labels spread.

    Lee 2013, "Pseudo-label: the simple and efficient semi-supervised learning method", with better
    guesses than a classifier's of few labels. Training starts at the classifier of `label_spread`.

    Raises:
        SimclrError: if the images are not in memory.
    """
    images = in_memory(job.splits)
    labels = pseudo_labels(job, features, label_seed)
    start = Classifier(deepcopy(features.encoder), len(job.splits.classes), features.norm)
    start.fit_linear(features.unlabelled, labels, job.config.label_spread.l2)
    train = LabelledImages(images, labels)
    return train_all("self_train", job, start, train, settings, label_seed)


def pseudo_labels(job: Job, features: Features, label_seed: int) -> Tensor:
    """The likeliest class of each unlabelled image, int64 (N,); those of the draw keep theirs."""
    splits, config = job.splits, job.config.label_spread
    chosen = splits.draw(job.config.labels.per_class, label_seed)
    given, places = splits.train.labels[chosen], splits.in_unlabelled(chosen)
    shares = spread_labels(features.graph, places, given, len(splits.classes), config.alpha)
    labels = shares.argmax(1)
    labels[places] = given
    return labels


def in_memory(splits: Splits) -> Tensor:
    """All unlabelled images, uint8 (N, C, H, W).

    Raises:
        SimclrError: if they stay in their files.
    """
    if isinstance(splits.unlabelled, Tensor):
        return splits.unlabelled
    raise SimclrError(
        "self_train: needs all unlabelled images in memory, and they stay in their files; choose "
        "data.stream=never, or fewer images"
    )
