"""The encoders: networks from images (B, C, H, W) to representations (B, dim)."""

import re
from typing import Any

import torch
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig


class Encoder(nn.Module):
    """A backbone that says how wide its representation is.

    Args:
        backbone: maps float images (B, C, H, W) in [0, 1] to (B, dim).
        dim: width of the representation.
        inner: name of the part of `backbone` whose output the last stage makes the representation
            of, a feature map; None if there is no such part.
    """

    def __init__(self, backbone: nn.Module, dim: int, inner: str | None = None) -> None:
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.dim = dim
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to representations (B, dim)."""
        features: Tensor = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return features


def build_encoder(config: EncoderConfig, in_channels: int) -> Encoder:
    """The encoder that `config.name` chooses, with random weights, for `in_channels` channels.

    Raises:
        ValueError: if there is no encoder of that name.
    """
    match config.name:
        case "cnn":
            network = _cnn(config, in_channels)
            return Encoder(network, config.channels[-1], inner=str(len(network) - 3))
        case "resnet18":
            return Encoder(_resnet18(in_channels), 512, inner="layer3")
        case "timm":
            return _timm(config.model or "", in_channels)
        case name:
            raise ValueError(f"no encoder named {name!r}")


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int | None = None,
    pool: bool = False,
) -> nn.Sequential:
    """Pooling comes first, so that norm and ReLU have a quarter of the pixels to pass over."""
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _cnn(config: EncoderConfig, in_channels: int) -> nn.Sequential:
    """A strided 5x5 stem, stages that halve the image, and one look at the 3x3 grid that is left.

    Images of 28x28 pixels leave just that grid; others are brought to it. Where a stroke is stays
    visible to the last convolution, which a mean over positions would hide.
    """
    first, *stages, last = config.channels
    layers: list[nn.Module] = [_conv(in_channels, first, kernel=5, stride=2)]
    previous = first
    for width in stages:
        layers.append(_conv(previous, width, pool=True))
        layers += [_conv(width, width) for _ in range(config.convs_per_stage - 1)]
        previous = width
    layers += [nn.AdaptiveAvgPool2d(3), _conv(previous, last, padding=0), nn.Flatten()]
    return nn.Sequential(*layers)


def _timm(model: str, in_channels: int) -> Encoder:
    """A model of timm, from random weights like the others; nothing is fetched.

    Raises:
        ValueError: if the name has a scheme or a slash, at which timm would ask a hub.
    """
    if not is_local_name(model):
        raise ValueError(f"encoder.model={model!r}: not the name of a model that timm itself has")
    import timm

    network: Any = timm.create_model(model, in_chans=in_channels, num_classes=0)
    dim = getattr(network, "head_hidden_size", network.num_features)
    inner = network.feature_info[-2]["module"]
    known = dict(network.named_modules())  # a few families are said to have parts they have not
    return Encoder(network, dim, inner if inner in known else None)


def is_local_name(model: str) -> bool:
    """Whether it can name a model of timm itself, and not one of a hub or a folder."""
    return re.fullmatch(r"[A-Za-z0-9_.-]+", model) is not None


def _resnet18(in_channels: int) -> nn.Module:
    """ResNet-18 with the stem for small images (Chen et al. 2020, B.9): 3x3, no max-pool."""
    from torchvision.models import resnet18

    network: nn.Module = resnet18()
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return network
