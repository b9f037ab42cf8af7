"""The encoders: networks from images (B, C, H, W) to representations (B, dim)."""

import pkgutil
import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig
from simclr.models import ENCODERS


class Encoder(nn.Module):
    """A backbone and the width of its representation.

    Args:
        config: what the backbone was built from; a file of its weights describes it so.
        backbone: maps float images (B, C, H, W) in [0, 1] to (B, dim).
        dim: width of the representation.
        inner: name of the part of `backbone` whose output is the feature map before the last stage;
            None if there is no such part.
    """

    def __init__(
        self, config: EncoderConfig, backbone: nn.Module, dim: int, inner: str | None = None
    ) -> None:
        super().__init__()
        self.config = config
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
    if config.name not in ENCODERS:
        raise ValueError(f"no encoder named {config.name!r}; there is {', '.join(ENCODERS)}")
    encoder: Encoder = pkgutil.resolve_name(ENCODERS[config.name])(config, in_channels)
    return encoder


def _conv(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, pool: bool = False
) -> nn.Sequential:
    """Convolution, pooling, norm and ReLU; pooling first saves norm and ReLU three quarters."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class WholeGrid(nn.Conv2d):
    """A convolution that covers its whole input (B, C, k, k); to (B, out_channels).

    It is one matrix product, which a CPU does quicker than the general convolution.
    """

    def forward(self, grid: Tensor) -> Tensor:
        """Grids (B, C, k, k) to outputs (B, out_channels)."""
        rows = self.weight.permute(0, 2, 3, 1).flatten(1)  # channels_last: no copy
        return F.linear(grid.permute(0, 2, 3, 1).flatten(1), rows)


def cnn(config: EncoderConfig, in_channels: int) -> Encoder:
    """A strided 5x5 stem, stages that halve the image, and one convolution of the last 3x3 grid.

    Images of 28x28 pixels lead to a 3x3 grid; other sizes are pooled to it. The last convolution
    sees where a stroke is, which a mean over positions would hide.
    """
    first, *stages, last = config.channels
    layers: list[nn.Module] = [_conv(in_channels, first, kernel=5, stride=2)]
    previous = first
    for width in stages:
        layers.append(_conv(previous, width, pool=True))
        layers += [_conv(width, width) for _ in range(config.convs_per_stage - 1)]
        previous = width
    whole = WholeGrid(previous, last, 3, bias=False)
    layers += [
        nn.AdaptiveAvgPool2d(3),
        nn.Sequential(whole, nn.BatchNorm1d(last), nn.ReLU(inplace=True)),
    ]
    return Encoder(config, nn.Sequential(*layers), last, inner=str(len(layers) - 2))


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity (He et al. 2016); (B, C, H, W) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            _conv(width, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) to features of the same shape."""
        return F.relu(features + self.change(features), inplace=True)


def resnet(config: EncoderConfig, in_channels: int) -> Encoder:
    """A small residual network for photos of 28 to 128 pixels, quick enough for a CPU.

    A 3x3 stem and each stage halve the image; a stage is a convolution and one residual block. The
    representation is the mean over positions, so that images may have any size.
    """
    first, *widths = config.channels
    layers: list[nn.Module] = [_conv(in_channels, first, pool=True)]
    previous = first
    for width in widths:
        layers.append(nn.Sequential(_conv(previous, width, pool=True), Residual(width)))
        previous = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Encoder(config, nn.Sequential(*layers), previous, inner=str(len(layers) - 4))


def timm_model(config: EncoderConfig, in_channels: int) -> Encoder:
    """The model of timm that `config.model` names, with random weights; nothing is downloaded.

    With `config.pretrained`, pixels are standardised as the published weights expect it;
    `simclr.models.pretrained.load_pretrained` loads these weights.

    Raises:
        ValueError: if the name has a scheme or a slash, at which timm would ask a hub.
    """
    network = timm_network(config, in_channels)
    dim = getattr(network, "head_hidden_size", network.num_features)
    inner = network.feature_info[-2]["module"]
    if inner not in dict(network.named_modules()):  # a few families name parts they do not have
        inner = None
    if not config.pretrained:
        return Encoder(config, network, dim, inner)
    about = network.pretrained_cfg
    standardise = Standardise(about["mean"], about["std"], in_channels)
    return Encoder(config, nn.Sequential(standardise, network), dim, inner and f"1.{inner}")


def timm_network(config: EncoderConfig, in_channels: int, **options: Any) -> Any:
    """`timm.create_model` without the classification layer; `options` are passed on.

    Transformers that can do so take images of any size that their patches divide.
    """
    if not is_local_name(config.model or ""):
        raise ValueError(f"encoder.model={config.model!r}: timm itself has no model of that name")
    try:
        import timm
    except ImportError as error:
        raise ValueError("it needs the package timm: pip install timm") from error
    options |= {"in_chans": in_channels, "num_classes": 0}
    try:
        return timm.create_model(config.model or "", dynamic_img_size=True, **options)
    except TypeError:  # a model without such an option
        return timm.create_model(config.model or "", **options)


class Standardise(nn.Module):
    """Subtract a mean from pixels and divide them by an sd.

    Args:
        mean: of red, green and blue; their mean where images have other channels.
        sd: likewise.
        channels: C of the images.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, mean: Sequence[float], sd: Sequence[float], channels: int) -> None:
        super().__init__()
        for name, values in {"mean": mean, "sd": sd}.items():
            numbers = torch.tensor(values)
            if channels != len(numbers):
                numbers = numbers.mean().expand(channels)
            self.register_buffer(name, numbers.clone().view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to the same shape."""
        return (images - self.mean) / self.sd


def is_local_name(model: str) -> bool:
    """Whether the name can be one of timm's own models, not of a hub or a folder."""
    return re.fullmatch(r"[A-Za-z0-9_.-]+", model) is not None


def resnet18(config: EncoderConfig, in_channels: int) -> Encoder:
    """ResNet-18 with the stem for small images (Chen et al. 2020, B.9): 3x3, no max-pool."""
    from torchvision.models import resnet18 as build

    network: nn.Module = build()
    network.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return Encoder(config, network, 512, inner="layer3")
