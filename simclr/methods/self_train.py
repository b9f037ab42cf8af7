"""Self-training: labelled images, and the agreement between unlabelled images and their views."""

from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.config.augment import milder
from simclr.config.schema import OptimizerConfig, SelfTrainConfig
from simclr.data.datamodule import SelfTrainDataModule
from simclr.losses.mutual_information import information_loss
from simclr.methods.all_weights import AllWeights, train_all
from simclr.methods.base import Features, Job, settings_of
from simclr.methods.label_spread import pseudo_labels
from simclr.methods.scoring import Classified
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.classifier import Classifier
from simclr.views import build_views


class SelfTrain(AllWeights):
    """Maximise the mutual information between the predicted classes of an image and of its view.

    This is invariant information clustering (Ji et al. 2019, arXiv:1807.06653) with the classes as
    clusters. The cross-entropy of the labelled images beside it says which class is which.

    Args:
        classifier: one that knows the classes already.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule.
        label_weight: of the cross-entropy; the mutual information has weight 1.
        log_every_n_steps: steps between two logged losses; the last step is logged, too.
    """

    curves = ("loss", "class_information")

    def __init__(
        self,
        classifier: Classifier,
        optimizer: OptimizerConfig,
        total_steps: int,
        label_weight: float,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__(classifier, optimizer, optimizer.lr, total_steps, log_every_n_steps)
        self.label_weight = label_weight
        self.train()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """`batch` is of `SelfTrainDataModule`: views (2B + M, C, H, W), and M labels."""
        views, labels = batch
        logits = self(views)
        unlabelled, labelled = logits.tensor_split([len(views) - len(labels)])
        p0, p1 = unlabelled.softmax(1, dtype=torch.float32).chunk(2)
        information = -information_loss(p0, p1)
        loss = self.label_weight * F.cross_entropy(labelled, labels) - information
        self.log_training(len(views), loss=loss, class_information=information)
        return loss

    def finish(self, job: Job) -> None:
        """Give batch norm the statistics of whole images instead of their views."""
        measure_batch_norm(self.classifier.encoder, job.splits.unlabelled)


def self_train(job: Job, features: Features, draw: int) -> Classified:
    """Train a copy of a pretrained encoder on all unlabelled and the labelled images, and score it.

    Training starts at the classifier of `label_spread`. Each step sees unlabelled images and all
    labelled ones. The propagated labels are not targets, because the network would memorise the
    wrong ones.
    """
    config, splits = job.config, job.splits
    settings = settings_of(config, "self_train")
    assert isinstance(settings, SelfTrainConfig)
    start = features.classifier(deepcopy(features.encoder))
    spread = pseudo_labels(job, features, draw)
    start.fit_linear(features.unlabelled, spread, config.label_spread.l2)
    data = SelfTrainDataModule(
        splits.unlabelled,
        splits.train.select(job.draw(draw)),
        splits.val,
        splits.test,
        settings.batch_size,
        draw,
        build_views(milder(replace(config.augment, size=1.0), settings.augment_strength)),
    )
    module = SelfTrain(
        start,
        replace(config.optimizer, lr=settings.lr),
        total_steps=settings.max_epochs * len(data.train_dataloader()),
        label_weight=settings.label_weight,
        log_every_n_steps=config.trainer.log_every_n_steps,
    )
    return train_all("self_train", job, module, data, settings.max_epochs, draw)
