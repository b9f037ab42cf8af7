"""Classification with few labels: linear evaluation, fine-tuning, and self-training."""

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from simclr.classifier import Classifier
from simclr.config import OptimizerConfig
from simclr.mutual_information import information_loss
from simclr.optim import build_optimizer, warmup_cosine


class _Classification(L.LightningModule):
    """What both ways of training share: how a classifier is scored."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        classes = classifier.linear.out_features
        # Each process scores a classifier of its own: nothing to add up over processes.
        self.val_accuracy = MulticlassAccuracy(classes, average="micro", sync_on_compute=False)
        self.test_accuracy = MulticlassAccuracy(classes, average="micro", sync_on_compute=False)
        self.confusion = MulticlassConfusionMatrix(classes, sync_on_compute=False)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, labels = batch
        self.val_accuracy.update(self(inputs), labels)
        self.log("val_accuracy", self.val_accuracy, batch_size=len(labels))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, labels = batch
        logits = self(inputs)
        self.test_accuracy.update(logits, labels)
        self.confusion.update(logits, labels)
        self.log("test_accuracy", self.test_accuracy, batch_size=len(labels))


class LinearEval(_Classification):
    """A linear classifier on a frozen encoder (Chen et al. 2020, section 4.2).

    Its inputs are the encoder's features, computed once. The problem is convex, so one training
    step on all labelled features solves it; the encoder stays in eval mode and gets no gradient.

    Args:
        classifier: whose encoder is frozen and whose linear layer is fitted.
        l2: strength of the penalty on the weights.
    """

    def __init__(self, classifier: Classifier, l2: float) -> None:
        super().__init__(classifier.eval())
        self.l2 = l2
        self.automatic_optimization = False
        classifier.encoder.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Representations (B, D) to logits."""
        return self.classifier.classify(features)

    def train(self, mode: bool = True) -> "LinearEval":
        super().train(mode)
        self.classifier.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        features, labels = batch
        self.classifier.fit_linear(features, labels, self.l2)

    def configure_optimizers(self) -> None:
        """None: the training step is a solver of its own."""


class _AllWeights(_Classification):
    """What fine-tuning and self-training share: all weights move.

    Args:
        classifier: encoder and linear layer.
        optimizer: algorithm and schedule; its `lr` is the linear layer's.
        encoder_lr: peak learning rate of the encoder.
        total_steps: length of the schedule.
        log_every_n_steps: steps between two of which the loss is logged, as is the last.

    Attributes:
        curves: names of what is logged.
    """

    curves: tuple[str, ...] = ("loss",)

    def __init__(
        self,
        classifier: Classifier,
        optimizer: OptimizerConfig,
        encoder_lr: float,
        total_steps: int,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__(classifier.requires_grad_(True))
        self.optimizer_config = optimizer
        self.encoder_lr = encoder_lr
        self.total_steps = total_steps
        self.log_every_n_steps = log_every_n_steps

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) in [0, 1] to logits."""
        logits: Tensor = self.classifier(images)
        return logits

    def log_training(self, batch_size: int, **metrics: Tensor) -> None:
        """Log every so many steps, as Lightning takes its time to log, and at the last."""
        step = self.trainer.global_step + 1
        if step % self.log_every_n_steps == 0 or step == self.total_steps:
            detached = {name: value.detach() for name, value in metrics.items()}
            self.log_dict(detached, batch_size=batch_size, logger=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        config = self.optimizer_config
        optimizer = build_optimizer(
            config,
            [(self.classifier.encoder, self.encoder_lr), (self.classifier.linear, config.lr)],
        )
        schedule = warmup_cosine(optimizer, self.total_steps, config.warmup)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class FineTune(_AllWeights):
    """Train encoder and linear layer on labelled images, each with its own learning rate.

    Args:
        classifier: pretrained, or with random weights for the supervised baseline.
        optimizer: algorithm and schedule; its `lr` is the linear layer's.
        encoder_lr: peak learning rate of the encoder.
        total_steps: length of the schedule.
        label_smoothing: share of the target spread over all classes.
        keep_statistics: whether batch norms go on normalising by the statistics they have, which
            few labelled images cannot improve; their scales and shifts move all the same.
        log_every_n_steps: steps between two of which the loss is logged, as is the last.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: OptimizerConfig,
        encoder_lr: float,
        total_steps: int,
        label_smoothing: float = 0.0,
        keep_statistics: bool = False,
        log_every_n_steps: int = 1,
    ) -> None:
        super().__init__(classifier, optimizer, encoder_lr, total_steps, log_every_n_steps)
        self.label_smoothing = label_smoothing
        self.keep_statistics = keep_statistics
        self.train()

    def train(self, mode: bool = True) -> "FineTune":
        super().train(mode)
        if self.keep_statistics:
            for module in self.classifier.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self(images), labels, label_smoothing=self.label_smoothing)
        self.log_training(len(labels), loss=loss)
        return loss


class SelfTrain(_AllWeights):
    """The classes of two views of an unlabelled image should tell of each other all they can.

    That is invariant information clustering (Ji et al. 2019) with the classes as clusters; the
    cross-entropy of the labelled images, beside it, says which class is which.

    Args:
        classifier: one that knows the classes already.
        optimizer: algorithm, learning rate and schedule.
        total_steps: length of the schedule.
        label_weight: of the cross-entropy, where the information has 1.
        log_every_n_steps: steps between two of which the loss is logged, as is the last.
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
