"""Pretraining, a few labels and predictions as one object, without the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from simclr.config.augment import AugmentConfig
from simclr.config.schema import (
    EncoderConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
    ProbeConfig,
)
from simclr.data.batches import EVAL_BATCH
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.images import LabelledImages
from simclr.errors import SimclrError
from simclr.evaluation.calibration import fit_temperature, held_out_logits, linear_fit
from simclr.evaluation.probe import FeatureNorm, penalty
from simclr.launch.arguments import CONF
from simclr.methods.linear_eval import FOLDS
from simclr.methods.simclr import SimCLR
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.classifier import extract_features
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.models.weights import TrainedClassifier, save_classifier
from simclr.views import build_views

UNLABELLED = -1


class Learner:
    """Pretrain an encoder on all images, and fit a linear classifier to those with labels.

    It is plain SimCLR and `linear_eval`, with the settings of `python train.py` where nothing else
    is said::

        learner = Learner().fit(images, labels)
        names = learner.predict(others)

    Args:
        steps: of pretraining, at least; whole epochs.
        batch_size: images per batch; all if there are fewer.
        seed: of weights, order of images and views.
        augment: the views; None takes those for handwriting (conf/augment/digits.yaml).
        encoder: the network; None takes a small convolutional one (conf/encoder/cnn.yaml).

    Attributes:
        classifier: the result of `fit`.
    """

    classifier: TrainedClassifier

    def __init__(
        self,
        *,
        steps: int = 1_700,
        batch_size: int = 128,
        seed: int = 0,
        augment: AugmentConfig | None = None,
        encoder: EncoderConfig | None = None,
    ) -> None:
        self.steps = steps
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment or AugmentConfig(**_preset("augment/digits"))
        self.encoder = encoder or EncoderConfig(**_preset("encoder/cnn"))

    def fit(
        self,
        images: Tensor | NDArray[np.uint8],
        labels: Sequence[int | str] | NDArray[Any] | Tensor,
    ) -> "Learner":
        """Pretrain on all images, then learn the classes of those that have labels.

        Args:
            images: uint8 (N, C, H, W), or (N, H, W) for grey ones.
            labels: (N,), class numbers or names; -1: no label.

        Returns:
            Itself.

        Raises:
            SimclrError: if no image has a label, or there are more or fewer labels than images.
            ValueError: if the images are of another type or shape.
        """
        pixels, given = _pixels(images), list(np.asarray(labels).tolist())
        if len(given) != len(pixels):
            raise SimclrError(f"{len(given)} labels for {len(pixels)} images")
        known = [index for index, label in enumerate(given) if str(label) != str(UNLABELLED)]
        if not known:
            raise SimclrError("no image has a label; one of each class is enough to begin")
        self.classes = sorted({given[index] for index in known})
        places = torch.tensor([self.classes.index(given[index]) for index in known])
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            encoder = build_encoder(self.encoder, shape[0])
            model = SimCLR(
                encoder, build_head(HeadConfig(), encoder.dim), LossConfig(), OptimizerConfig()
            )
            batch = min(self.batch_size, len(pixels))
            data = ContrastiveDataModule(pixels, build_views(self.augment), batch, self.seed)
            _trainer(-(-self.steps // (len(pixels) // batch))).fit(model, data)
            encoder = model.encoder.cpu()
            measure_batch_norm(encoder, pixels)
            norm = FeatureNorm.of(extract_features(encoder, pixels))
            names = tuple(str(name) for name in self.classes)
            classifier = TrainedClassifier(encoder, norm, shape, names)
            features = extract_features(encoder, pixels[known])
        l2 = penalty(ProbeConfig().l2, len(known))
        classifier.fit_linear(features, places, l2)
        normed = LabelledImages(norm(features), places)
        if (unseen := held_out_logits(normed, FOLDS, linear_fit(len(names), l2))) is not None:
            classifier.soften(fit_temperature(*unseen))
        self.classifier = classifier.eval()
        return self

    @torch.inference_mode()
    def predict_proba(self, images: Tensor | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, C) of the classes in `classes`, for images as `fit` takes them."""
        batches = _pixels(images).split(EVAL_BATCH)
        shares = torch.cat([self.classifier(batch.float() / 255).softmax(1) for batch in batches])
        probabilities: NDArray[np.float32] = shares.numpy()
        return probabilities

    def predict(self, images: Tensor | NDArray[np.uint8]) -> NDArray[Any]:
        """The likeliest class of each image (N,), as the labels called it."""
        found: NDArray[Any] = np.asarray(self.classes)[self.predict_proba(images).argmax(1)]
        return found

    def save(self, path: Path | str) -> None:
        """Write the classifier for `load_classifier` and `python -m simclr.predict`."""
        shape, classes = self.classifier.shape, self.classifier.classes
        save_classifier(Path(path), self.classifier, shape, classes)


def _preset(name: str) -> dict[str, Any]:
    """What a file of conf/ sets."""
    loaded = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


def _pixels(images: Tensor | NDArray[np.uint8]) -> Tensor:
    """uint8 (N, C, H, W), on the CPU."""
    pixels = torch.as_tensor(images).cpu()
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels
    if pixels.dtype != torch.uint8 or pixels.ndim != 4:
        raise ValueError(
            "images must be uint8 of 0 to 255, of shape (N, C, H, W) or (N, H, W); "
            f"got {pixels.dtype} {tuple(pixels.shape)}"
        )
    return pixels


def _trainer(max_epochs: int) -> L.Trainer:
    return L.Trainer(
        max_epochs=max_epochs,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
