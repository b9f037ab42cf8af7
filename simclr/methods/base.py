"""The job and the features of an encoder: every method works with these two."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path

import lightning as L
import torch
from scipy.sparse import csr_array
from torch import Tensor

from simclr.config.schema import Config, EncoderConfig, FineTuneConfig, SelfTrainConfig
from simclr.data.images import LabelledImages
from simclr.data.labels import fingerprint
from simclr.data.splits import Splits
from simclr.errors import SimclrError
from simclr.evaluation.choosing import choose_typical
from simclr.evaluation.neighbours import neighbour_graph
from simclr.evaluation.probe import FeatureNorm
from simclr.models.classifier import Classifier, extract_features, extract_layers
from simclr.models.encoders import Encoder, build_encoder
from simclr.models.pretrained import load_pretrained
from simclr.models.weights import load_weights
from simclr.reports.results import Labels
from simclr.training.callbacks.checkpoints import Checkpoints
from simclr.training.callbacks.progress import Progress
from simclr.training.trainer import local_trainer

NORM_IMAGES = 10_000  # tell mean and sd of a feature to one per cent


@dataclass(frozen=True)
class Job:
    """Configuration, images, output folder and progress bar of a task.

    `choose`, if given, chooses the labelled images of a draw in the place of chance.
    """

    config: Config
    splits: Splits
    folder: Path
    progress: Progress
    choose: Callable[[int], Tensor] | None = None

    def draw(self, seed: int) -> Tensor:
        """The labelled images of this draw: sorted positions in `splits.train`.

        Raises:
            SimclrError: if there are too few images, or no two classes.
        """
        if self.choose is not None:
            return self.choose(seed)
        labels = self.config.labels
        return self.splits.draw(labels.per_class, seed, labels.budget)


class Features:
    """Representations by one frozen encoder, float32 (N, D), for all draws.

    They are computed when they are first needed, and kept; only those of a label draw are not.

    Args:
        encoder: moved to the device that `job` trains on.
        job: whose images.
    """

    def __init__(self, encoder: Encoder, job: Job) -> None:
        self.encoder = encoder.to(local_trainer(job.config).strategy.root_device)
        self.splits = job.splits
        self.neighbours = job.config.label_spread.neighbours
        self._typical: dict[tuple[int, int], Tensor] = {}

    def classifier(self, encoder: Encoder | None = None) -> Classifier:
        """An untrained linear layer on normalised features of this encoder, or of a copy of it."""
        return Classifier(encoder or self.encoder, len(self.splits.classes), self.norm)

    @cached_property
    def norm(self) -> FeatureNorm:
        """The norm, from the statistics of at most `NORM_IMAGES` unlabelled images."""
        unlabelled = self.splits.unlabelled
        apart = -(-len(unlabelled) // NORM_IMAGES)
        return FeatureNorm.of(extract_features(self.encoder, unlabelled[::apart]))

    @property
    def unlabelled(self) -> Tensor:
        """Representations of all unlabelled images."""
        return self._unlabelled[0]

    def typical(self, budget: int, seed: int) -> Tensor:
        """The `budget` images of `train` to label, as sorted positions; no label is looked at."""
        if (budget, seed) not in self._typical:
            chosen = choose_typical(self._train_seen, budget, seed)
            self._typical[budget, seed] = chosen.sort().values
        return self._typical[budget, seed]

    @cached_property
    def _train_seen(self) -> Tensor:
        """Normalised representations of all images of `train`."""
        seen: Tensor = self.norm(extract_features(self.encoder, self.splits.train.images))
        return seen.cpu()

    @property
    def graph(self) -> csr_array:
        """The graph of nearest neighbours among all unlabelled images.

        The distance counts both representations and inner features. Where the representations
        confuse a few images of two classes, the inner features still tell them apart.
        """
        return self._unlabelled[1]

    @cached_property
    def _unlabelled(self) -> tuple[Tensor, csr_array]:
        *inner, representations = extract_layers(self.encoder, self.splits.unlabelled)
        seen = [FeatureNorm.of(features)(features) for features in inner]
        seen.append(self.norm(representations))
        return representations, neighbour_graph(torch.cat(seen, dim=1), self.neighbours)

    def train(self, chosen: Tensor) -> LabelledImages:
        """Representations of the images at these positions of `train`, with their labels."""
        train = self.splits.train.select(chosen)
        return LabelledImages(extract_features(self.encoder, train.images), train.labels)

    @cached_property
    def val(self) -> LabelledImages | None:
        """Representations of the validation images, with their labels."""
        return self._of(self.splits.val)

    @cached_property
    def test(self) -> LabelledImages | None:
        """Representations of the test images, with their labels."""
        return self._of(self.splits.test)

    def _of(self, part: LabelledImages | None) -> LabelledImages | None:
        return part and LabelledImages(extract_features(self.encoder, part.images), part.labels)


def new_encoder(job: Job, chosen: EncoderConfig | None = None) -> Encoder:
    """An encoder whose random weights follow from the seed alone.

    Args:
        job: whose seed and images.
        chosen: the student's architecture; None: that of the job.

    Raises:
        SimclrError: if the images are too small for it.
    """
    L.seed_everything(job.config.seed, verbose=False)
    config, shape = chosen or job.config.encoder, job.splits.shape
    encoder = build_encoder(config, shape[0])
    try:
        view = [round(side * job.config.augment.size) for side in shape[1:]]
        extract_features(encoder, torch.zeros(1, shape[0], *view, dtype=torch.uint8))
    except (RuntimeError, AssertionError) as error:
        size = f"images of {shape[1]}x{shape[2]} pixels"
        if config.name == "timm":
            _, *wanted = getattr(encoder.backbone, "default_cfg", {}).get("input_size", ())
            larger = f"data.image_size={wanted[0]} (data=folder, synthetic) or " if wanted else ""
            raise SimclrError(
                f"encoder.model={config.model}: does not take {size} ({error}); choose "
                f"{larger}another model"
            ) from error
        part = "encoder" if chosen is None else "student"
        raise SimclrError(
            f"{part}.channels={config.channels}: too many stages for {size}; choose fewer"
        ) from error
    return encoder


def given_encoder(job: Job) -> Encoder:
    """The encoder with the weights that `encoder` asks for: of a file, published, or random."""
    config = job.config.encoder
    encoder = new_encoder(job)
    if config.weights is not None:
        load_weights(encoder, config.weights)
    elif config.pretrained:
        job.progress.say(f"Weights of {config.model}: {config.checkpoint or 'by timm'}")
        load_pretrained(encoder, config, job.splits.shape[0])
    return encoder


def checkpoints(job: Job) -> Checkpoints:
    belongs_to = {"config": asdict(job.config), "images": job.splits.fingerprint}
    return Checkpoints(job.folder, job.config.trainer.checkpoint_seconds, belongs_to)


def logged(trainer: L.Trainer) -> dict[str, float]:
    """The last value of every metric of a training, also of one that was stopped and resumed.

    Raises:
        SimclrError: if one is not finite.
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


def labels_of(job: Job, seed: int, chosen: Tensor) -> Labels:
    """A description of the label draw of this seed, which chose these positions in `train`."""
    indices = job.splits.train_indices[chosen]
    labels = job.config.labels
    return Labels(labels.per_class if labels.budget is None else None, seed, fingerprint(indices))


def settings_of(config: Config, method: str) -> FineTuneConfig | SelfTrainConfig:
    """Length, batch size and learning rate of a method that trains.

    They come from the part of the configuration with the method's name. If the method is the task,
    the common keys (`trainer.max_epochs`, `data.batch_size`, `optimizer.lr`) replace them.
    """
    own: FineTuneConfig | SelfTrainConfig = getattr(config, method)
    if config.task != method:
        return own
    return replace(
        own,
        max_epochs=config.trainer.max_epochs or own.max_epochs,
        batch_size=config.data.batch_size,
        lr=config.optimizer.lr,
    )
