"""What a weights file must hold before anything is built: types, sizes, names and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig
from simclr.models.encoders import Encoder, build_encoder, is_local_name

PLACES = {"weights", "checkpoint"}  # keys that name files of the machine that trained
SIDE = 1024  # pixels; larger images than a file may ask for


@dataclass(frozen=True)
class Description:
    """What a file says of its encoder, within what its own tensors allow."""

    config: EncoderConfig
    in_channels: int

    @classmethod
    def of(cls, metadata: dict[str, Any], tensors: Mapping[str, Tensor]) -> "Description":
        """Check the types, and that nothing is larger than the tensors of the file.

        Raises:
            ValueError: naming what is wrong.
        """
        said = metadata.get("encoder")
        known = {field.name for field in fields(EncoderConfig)} - PLACES
        if not isinstance(said, dict) or not said.keys() <= known:
            raise ValueError("the metadata describes no encoder")
        config = EncoderConfig(**said)
        widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
        in_channels = metadata.get("in_channels")
        if not isinstance(config.name, str):
            raise ValueError("encoder.name is no text")
        if config.model is not None and not (
            isinstance(config.model, str) and is_local_name(config.model)
        ):
            raise ValueError("encoder.model is not the name of a model that timm itself has")
        if not isinstance(config.pretrained, bool):
            raise ValueError("encoder.pretrained is neither true nor false")
        if not isinstance(config.channels, list) or not 2 <= len(config.channels) <= len(tensors):
            raise ValueError("encoder.channels is no list of as many widths as there are stages")
        for width in (*config.channels, in_channels):
            if not _is_within(width, widest) and (
                config.name in ("cnn", "resnet") or width is in_channels
            ):
                raise ValueError("channels are no numbers of 1 or more that the tensors allow")
        if config.name == "cnn" and not _is_within(config.convs_per_stage, len(tensors)):
            raise ValueError("encoder.convs_per_stage is more than the tensors allow, or no number")
        assert isinstance(in_channels, int)
        return cls(config, in_channels)

    def build(self) -> Encoder:
        """The encoder, with random weights."""
        return build_encoder(self.config, self.in_channels)

    def on_paper(self) -> Encoder | None:
        """The encoder without memory for its weights; None if it is a model that needs some."""
        try:
            with torch.device("meta"):
                return self.build()
        except (NotImplementedError, RuntimeError):
            return None


def image_shape(said: object, in_channels: int) -> tuple[int, int, int]:
    """A shape (C, H, W) of images from a file.

    Raises:
        ValueError: if it is none, of other channels than the encoder takes, or too large.
    """
    match said:
        case [int(channels), int(height), int(width)] if (
            channels == in_channels and _is_within(height, SIDE) and _is_within(width, SIDE)
        ):
            return channels, height, width
    raise ValueError(
        f"shape must be [{in_channels}, height, width] with sides of 1 to {SIDE} pixels"
    )


def class_names(said: object) -> tuple[str, ...]:
    """Names of classes from a file.

    Raises:
        ValueError: if they are not distinct texts.
    """
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise ValueError("classes must be a list of names")
    if len(set(said)) < len(said):
        raise ValueError("two classes have one name")
    if any("\ud800" <= character <= "\udfff" for name in said for character in name):
        raise ValueError("a class name is no text")
    return tuple(said)


def _is_within(number: object, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= most


def fits(module: nn.Module | None, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or types than the module's, naming the first."""
    own = tensors if module is None else module.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        raise ValueError(f"tensor {name} is {'missing' if name in own else 'not known'}")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise ValueError(
                f"tensor {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"not {own[name].dtype} {tuple(own[name].shape)}"
            )


def plausible(tensors: Mapping[str, Tensor]) -> None:
    """Refuse numbers that no training leaves, naming the first tensor of them."""
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.int64):
            raise ValueError(f"tensor {name} is {tensor.dtype}, not float32")
        if not tensor.isfinite().all():
            raise ValueError(f"tensor {name} is not finite")
        if name.endswith("running_var") and (tensor < 0).any():
            raise ValueError(f"tensor {name} has negative variances")
        if name == "norm.sd" and not (tensor > 0).all():
            raise ValueError(f"tensor {name} is not positive")
