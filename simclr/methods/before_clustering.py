"""The encoder before the second stage, which is kept where that stage made it worse."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from simclr.evaluation.probe import fitted_accuracy, penalty
from simclr.launch.ranks import is_first
from simclr.methods.base import Features, Job
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.encoders import Encoder
from simclr.models.weights import load_encoder, save_encoder
from simclr.pipes import folded

BEFORE_CLUSTERING = "before_clustering.safetensors"  # beside the checkpoints
JUDGING_DRAWS = 5  # label draws that judge the second stage


def save_before_clustering(job: Job, encoder: Encoder) -> None:
    """Save the encoder of the first stage, if validation images can judge the second stage."""
    if is_first() and job.splits.val is not None:
        before = deepcopy(encoder)
        measure_batch_norm(before, job.splits.unlabelled)
        path = job.folder / "checkpoints" / BEFORE_CLUSTERING
        path.parent.mkdir(exist_ok=True)
        save_encoder(path, before, job.splits.shape[0])


def better(job: Job, path: Path, after: Features) -> Features:
    """The features after the second stage, or those before it if their linear probe was better.

    Both are judged on the validation images, by the mean accuracy over `JUDGING_DRAWS` label draws.
    Without validation images, the encoder after the second stage is kept.

    Args:
        job: the job.
        path: file of the encoder before the second stage.
        after: features of the encoder after it.
    """
    no_labels = not len(job.splits.draw(job.config.labels.per_class, job.config.labels.seed))
    if job.splits.val is None or no_labels or not path.exists():
        return after
    before = Features(load_encoder(path), job)
    was, now = _probe_accuracy(job, before), _probe_accuracy(job, after)
    if now >= was:
        return after
    job.progress.say(
        folded(
            "Clustering lowered the validation accuracy of the linear probe from "
            f"{was:.2%} to {now:.2%}: the encoder before it is kept. "
            "clustering.max_epochs=0 leaves it out."
        )
    )
    return before


def _probe_accuracy(job: Job, features: Features) -> float:
    """Mean validation accuracy of linear classifiers on the first label draws."""
    labels = replace(job.config.labels, draws=JUDGING_DRAWS)
    assert features.val is not None
    accuracies = []
    for draw in job.splits.draws(labels):
        train = features.train(job.splits.draw(labels.per_class, draw))
        l2 = penalty(job.config.probe.l2, len(train.labels))
        accuracies.append(fitted_accuracy(features.norm, train, features.val, l2))
    return sum(accuracies) / len(accuracies)
