"""Encoders and classifiers in files that hold numbers and nothing that runs (safetensors)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm
from simclr.files import parse_json, printable, write_whole
from simclr.models.classifier import Classifier
from simclr.models.encoders import Encoder
from simclr.models.weight_checks import (
    PLACES,
    Description,
    class_names,
    fits,
    image_shape,
    plausible,
)


def save_encoder(path: Path, encoder: Encoder, in_channels: int) -> None:
    """Write the encoder's weights, with what is needed to build it as metadata."""
    _save(path, encoder, _encoder_metadata(encoder, in_channels))


def save_classifier(
    path: Path,
    classifier: Classifier,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
) -> None:
    """Write a whole classifier, with its encoder's config, image shape and class names."""
    metadata = _encoder_metadata(classifier.encoder, shape[0])
    _save(path, classifier, metadata | {"shape": list(shape), "classes": list(classes)})


def load_encoder(path: Path | str) -> Encoder:
    """The encoder in a file that `save_encoder` wrote, in eval mode, on the CPU.

    Raises:
        SimclrError: if the file is missing or is not such a file.
    """
    tensors, metadata = _read(Path(path))
    with _rebuilding(path, "encoder"):
        description = Description.of(metadata, tensors)
        fits(description.on_paper(), tensors)
        encoder = description.build()
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
        description = Description.of(metadata, tensors)
        shape = image_shape(metadata.get("shape"), description.in_channels)
        classes = class_names(metadata.get("classes"))
        own = {name.removeprefix("encoder."): t for name, t in tensors.items()}
        for name in ("linear.weight", "linear.bias", "norm.mean", "norm.sd"):
            own.pop(name, None)
        fits(description.on_paper(), own)
        logits = len(tensors["linear.weight"])
        if logits != len(classes):
            raise ValueError(f"{len(classes)} class names for {logits} logits")
        encoder = description.build()
        norm = None
        if "norm.mean" in tensors:
            norm = FeatureNorm(torch.zeros(encoder.dim), torch.ones(encoder.dim))
        classifier = TrainedClassifier(encoder, norm, shape, classes)
        fits(classifier, tensors)
        classifier.load_state_dict(tensors)
        with torch.inference_mode():
            classifier.eval()(torch.zeros(1, *shape))  # the layers take images of this size
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
    problems += [
        f"  {name}: {tensors[name].dtype} in the file, {own[name].dtype} needed"
        for name in own.keys() & tensors.keys()
        if own[name].dtype != tensors[name].dtype
    ]
    if problems:
        raise SimclrError(
            f"encoder.weights={path}: these weights do not fit the encoder:\n"
            + "\n".join(map(printable, sorted(problems)))
            + f"\nThe file was written for encoder {json.dumps(metadata.get('encoder'))}; "
            "choose the same encoder, or another file."
        )
    encoder.load_state_dict(tensors)


def _encoder_metadata(encoder: Encoder, in_channels: int) -> dict[str, Any]:
    architecture = {
        key: value
        for key, value in asdict(encoder.config).items()
        if key not in PLACES and value is not None and value is not False
    }
    return {"encoder": architecture, "in_channels": in_channels}


@contextmanager
def _rebuilding(path: Path | str, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, ImportError) as error:
        reason = printable(str(error).partition("\n")[0])[:300]
        raise SimclrError(f"{path}: holds no {what} that this version knows ({reason})") from error


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
            metadata = parse_json((file.metadata() or {}).get("simclr", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(metadata, dict):
            raise ValueError("metadata that are no object")
        plausible(tensors)
        return tensors, metadata
    except (SafetensorError, OSError, ValueError) as error:
        reason = printable(str(error))[:300]
        raise SimclrError(
            f"{path}: not a readable safetensors file ({reason}); runs write encoder.safetensors "
            "and classifier.safetensors into their output folder"
        ) from error
