"""A training loop as one writes it without a framework, and the ways to feed it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from turns import Turns

from simclr.config.schema import Config
from simclr.data.splits import load_splits
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head

WORKERS = 2

Pair = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor, float], Tensor]


def cross_entropy(z0: Tensor, z1: Tensor, temperature: float = 0.5) -> Tensor:
    """Classify each embedding's positive among all others: the loss as tutorials write it."""
    z = F.normalize(torch.cat((z0, z1)))
    logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z0)))


def network(config: Config) -> nn.Sequential:
    """Encoder and head."""
    torch.manual_seed(config.seed)
    encoder = build_encoder(config.encoder, 1)
    return nn.Sequential(encoder, build_head(config.head, encoder.dim))


def usual_network(config: Config) -> nn.Sequential:
    """The same widths and number of convolutions in the usual order: norm, ReLU, then pooling."""

    def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
        padding = kernel // 2
        layer = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        return [layer, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    torch.manual_seed(config.seed)
    first, *stages, last = config.encoder.channels
    layers, previous = conv(1, first, 5, 2), first
    for width in stages:
        layers += [*conv(previous, width), nn.MaxPool2d(2)]
        for _ in range(config.encoder.convs_per_stage - 1):
            layers += conv(width, width)
        previous = width
    layers += [*conv(previous, last), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    encoder = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    return nn.Sequential(encoder, build_head(config.head, last))


def autocast(config: Config) -> Any:
    """The precision that training has on this machine."""
    bf16 = config.trainer.precision == "bf16-mixed"
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def train(
    config: Config,
    pairs: Iterator[Pair],
    loss: Loss,
    turns: Turns,
    build: Callable[[Config], nn.Sequential] = network,
) -> None:
    """Train on pairs of views, float (B, C, H, W), as long as there are any."""
    model = build(config)
    settings = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    for pair in pairs:
        with autocast(config):
            z0, z1 = model(torch.cat(pair)).float().chunk(2)
        value = loss(z0, z1, config.loss.temperature)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        turns.step(value.detach())


def random_pair(config: Config) -> Pair:
    """One batch that is ready."""
    side = config.data.image_size
    view0, view1 = torch.rand(2, config.data.batch_size, 1, side, side)
    return view0, view1


def index_batches(config: Config) -> Iterator[Tensor]:
    """Shuffled batches uint8 (B, C, H, W) of the images in memory, epoch after epoch."""
    images = load_splits(config.data).train.images
    while True:
        for indices in torch.randperm(len(images)).split(config.data.batch_size)[:-1]:
            yield images[indices]


class PerImage(Dataset[Pair]):
    """Two views of an image by a transform of single images, uint8 (C, H, W)."""

    def __init__(self, config: Config, transform: Callable[[Any], Tensor]) -> None:
        self.images = load_splits(config.data).train.images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pair:
        image = self.images[index]
        return self.transform(image), self.transform(image)


def endless(data: Dataset[Pair], config: Config) -> Iterator[Pair]:
    """Shuffled batches from worker processes, epoch after epoch."""
    loader = DataLoader(
        data,
        config.data.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    return itertools.chain.from_iterable(itertools.repeat(loader))
