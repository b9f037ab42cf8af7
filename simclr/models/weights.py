"""Encoders and classifiers in files that hold numbers and nothing that runs (safetensors)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig
from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm
from simclr.files import write_whole
from simclr.models.classifier import Classifier
from simclr.models.encoders import Encoder, build_encoder


def save_encoder(path: Path, encoder: Encoder, config: EncoderConfig, in_channels: int) -> None:
    """Write the encoder's weights, with what is needed to build it as metadata."""
    _save(path, encoder, _encoder_metadata(config, in_channels))


def save_classifier(
    path: Path,
    classifier: Classifier,
    config: EncoderConfig,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
) -> None:
    """Write a whole classifier, with its encoder's config, image shape and class names."""
    metadata = _encoder_metadata(config, shape[0])
    _save(path, classifier, metadata | {"shape": list(shape), "classes": list(classes)})


def load_encoder(path: Path | str) -> Encoder:
    """The encoder in a file that `save_encoder` wrote, in eval mode, on the CPU.

    Raises:
        SimclrError: if the file is missing or is not such a file.
    """
    tensors, metadata = _read(Path(path))
    with _rebuilding(path, "encoder"):
        encoder = _described_encoder(metadata)
        encoder.load_state_dict(tensors)
    return encoder.eval()


class TrainedClassifier(Classifier):
    """A classifier that knows what it was trained on.

    Attributes:
        shape: (C, H, W) of its images.
        classes: the name of each logit.
    """

    def __init__(
        self,
        encoder: Encoder,
        norm: FeatureNorm | None,
        shape: tuple[int, int, int],
        classes: tuple[str, ...],
    ) -> None:
        super().__init__(encoder, len(classes), norm)
        self.shape = shape
        self.classes = classes


def load_classifier(path: Path | str) -> TrainedClassifier:
    """The classifier in a file that `save_classifier` wrote, in eval mode, on the CPU.

    Its input is images (B, *shape) as floats in [0, 1], its output logits (B, len(classes))::

        classifier = load_classifier("classifier.safetensors")
        best = classifier(images.float() / 255).argmax(1)
        names = [classifier.classes[index] for index in best]

    Raises:
        SimclrError: if the file is missing or is not such a file.
    """
    tensors, metadata = _read(Path(path))
    with _rebuilding(path, "classifier"):
        normalised = "norm.mean" in tensors
        norm = FeatureNorm(tensors["norm.mean"], tensors["norm.sd"]) if normalised else None
        channels, height, width = metadata["shape"]
        classifier = TrainedClassifier(
            _described_encoder(metadata),
            norm,
            (channels, height, width),
            tuple(metadata["classes"]),
        )
        classifier.load_state_dict(tensors)
    return classifier.eval()


def load_weights(encoder: Encoder, path: Path | str) -> None:
    """Copy the weights in a file into an encoder.

    Raises:
        SimclrError: if the file is missing or malformed, or its tensors do not fit, naming each.
    """
    try:
        tensors, metadata = _read(Path(path))
    except SimclrError as error:
        raise SimclrError(f"encoder.weights={error}") from error
    own = encoder.state_dict()
    problems = [f"  {name}: only in the encoder" for name in own.keys() - tensors.keys()]
    problems += [f"  {name}: only in the file" for name in tensors.keys() - own.keys()]
    problems += [
        f"  {name}: {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} needed"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    ]
    if problems:
        raise SimclrError(
            f"encoder.weights={path}: these weights do not fit the encoder:\n"
            + "\n".join(sorted(problems))
            + f"\nThe file was written for encoder {json.dumps(metadata.get('encoder'))}; "
            "choose the same encoder, or another file."
        )
    encoder.load_state_dict(tensors)


def _encoder_metadata(config: EncoderConfig, in_channels: int) -> dict[str, Any]:
    architecture = {
        key: value
        for key, value in asdict(config).items()
        if key != "weights" and value is not None
    }
    return {"encoder": architecture, "in_channels": in_channels}


def _described_encoder(metadata: dict[str, Any]) -> Encoder:
    return build_encoder(EncoderConfig(**metadata["encoder"]), metadata["in_channels"])


@contextmanager
def _rebuilding(path: Path | str, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SimclrError(
            f"{path}: holds no {what} that this version knows ({type(error).__name__}: {error})"
        ) from error


def _save(path: Path, module: nn.Module, metadata: dict[str, Any]) -> None:
    """All metadata under one key: safetensors writes several in random order."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}
    write_whole(path, save(tensors, {"simclr": json.dumps(metadata)}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise SimclrError(
            f"{path}: no such file; runs write encoder.safetensors and classifier.safetensors "
            "into their output folder"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("simclr", "{}"))
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, metadata
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise SimclrError(
            f"{path}: not a readable safetensors file ({error}); runs write encoder.safetensors "
            "and classifier.safetensors into their output folder"
        ) from error
