"""Label propagation on the frozen encoder's features (Zhou et al. 2004)."""

from torch import Tensor

from simclr.data.images import LabelledImages
from simclr.evaluation.label_spreading import spread_labels
from simclr.methods.base import Features, Job
from simclr.methods.linear_eval import LinearEval, fit_frozen
from simclr.methods.scoring import Classified
from simclr.training.callbacks.clock import Clock


def label_spread(job: Job, features: Features, draw: int) -> Classified:
    """Propagate the labels of a draw to all unlabelled images, and fit a linear classifier to them.

    The classifier needs no graph: it classifies a test image by itself.
    """
    clock = Clock()
    with job.progress.stage(f"label_spread, draw {draw}"):
        _ = features.graph  # once for all draws, so in none of their seconds
        with clock.running():
            train = LabelledImages(features.unlabelled, pseudo_labels(job, features, draw))
        module = LinearEval(features.classifier(), job.config.label_spread.l2)
        return fit_frozen("label_spread", job, features, module, train, draw, clock)


def pseudo_labels(job: Job, features: Features, draw: int) -> Tensor:
    """The likeliest class of each unlabelled image, int64 (N,); labelled images keep their own."""
    splits, config = job.splits, job.config.label_spread
    chosen = job.draw(draw)
    given, places = splits.train.labels[chosen], splits.in_unlabelled(chosen)
    shares = spread_labels(features.graph, places, given, len(splits.classes), config.alpha)
    labels = shares.argmax(1)
    labels[places] = given
    return labels
