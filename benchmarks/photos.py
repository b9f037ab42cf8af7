"""Accuracy on small photos after the same seconds of pretraining: simclr's and lightly's pipeline.

    python benchmarks/photos.py --json benchmarks/results/photos.json data=folder data.root=PATH

The overrides are for train.py, on top of experiment=photos. simclr pretrains first. lightly then
trains the same network for as many seconds, with the views, the loss, the head and the SGD of its
CIFAR-10 benchmark. Both encoders get the batch norm statistics of whole images and the same linear
classifiers, which are scored on the test images. Peers need ``pip install -e .[bench]``.
"""

import importlib
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from loops import configured
from measuring import markdown, options, write_report
from plain import WORKERS
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.functional import to_pil_image

from simclr.config.schema import Config
from simclr.data.images import LabelledImages
from simclr.data.splits import Splits, load_splits
from simclr.evaluation.probe import FeatureNorm, fitted_accuracy, penalty
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.classifier import extract_features
from simclr.models.encoders import Encoder, build_encoder
from simclr.models.weights import load_encoder
from simclr.run import run

DRAWS = 20
LR = 6e-2  # per 128 images


class Views(torch.utils.data.Dataset[list[Tensor]]):
    """Two views of each image by lightly's transform."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.transform = importlib.import_module("lightly.transforms").SimCLRTransform(
            input_size=images.shape[-1], cj_strength=0.5, gaussian_blur=0.0, normalize=None
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        views: list[Tensor] = self.transform(to_pil_image(self.images[index]))
        return views


def with_simclr(config: Config) -> tuple[Encoder, float, float]:
    """The encoder, the seconds of its pretraining, and its views per second."""
    with tempfile.TemporaryDirectory() as folder:
        config.output_dir = folder
        timing = run(config).timing
        encoder = load_encoder(Path(folder) / "encoder.safetensors")
    return encoder, timing.fit_seconds, timing.views_per_second


def with_lightly(config: Config, images: Tensor, seconds: float) -> tuple[Encoder, float, float]:
    """The same for lightly, whose learning rate falls to zero over these seconds."""
    torch.manual_seed(config.seed)
    encoder = build_encoder(config.encoder, images.shape[1])
    heads = importlib.import_module("lightly.models.modules.heads")
    model = nn.Sequential(encoder, heads.SimCLRProjectionHead(encoder.dim, encoder.dim, 128))
    criterion = importlib.import_module("lightly.loss").NTXentLoss()
    peak = LR * config.data.batch_size / 128
    optimizer = torch.optim.SGD(model.parameters(), peak, momentum=0.9, weight_decay=5e-4)
    native = torch.cpu._is_avx512_bf16_supported()
    views, begun = 0, time.perf_counter()
    for view0, view1 in _batches(images, config.data.batch_size):
        done = (time.perf_counter() - begun) / seconds
        if done >= 1:
            break
        optimizer.param_groups[0]["lr"] = peak * (1 + math.cos(math.pi * done)) / 2
        with torch.autocast("cpu", torch.bfloat16, enabled=native):
            z0, z1 = model(view0), model(view1)
        loss = criterion(z0.float(), z1.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        views += 2 * len(view0)
    spent = time.perf_counter() - begun
    measure_batch_norm(encoder, images)
    return encoder, spent, views / spent


def _batches(images: Tensor, batch: int) -> Iterator[list[Tensor]]:
    loader = DataLoader(
        Views(images),
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    while True:
        yield from loader


def accuracies(encoder: Encoder, splits: Splits, config: Config) -> dict[str, Any]:
    """Test accuracy of linear classifiers with ten labels per class, and with all."""
    assert splits.test is not None
    norm = FeatureNorm.of(extract_features(encoder, splits.unlabelled))
    train = LabelledImages(extract_features(encoder, splits.train.images), splits.train.labels)
    test = LabelledImages(extract_features(encoder, splits.test.images), splits.test.labels)

    def accuracy(chosen: Tensor) -> float:
        return fitted_accuracy(
            norm, train.select(chosen), test, penalty(config.probe.l2, len(chosen))
        )

    per_class = config.labels.per_class
    return {
        "few_labels": [accuracy(splits.draw(per_class, draw)) for draw in range(DRAWS)],
        "all_labels": accuracy(splits.draw(None, 0)),
    }


def compare(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Both pipelines, one after the other."""
    config = configured(
        ["experiment=photos", "task=pretrain", "logger=none", "probe.every_steps=0", *overrides]
    )
    splits = load_splits(config.data)
    images = splits.unlabelled
    assert isinstance(images, Tensor)
    ours = with_simclr(config)
    theirs = with_lightly(config, images, ours[1])
    return [
        {"name": name, "seconds": seconds, "views_per_second": rate}
        | accuracies(encoder, splits, config)
        for name, (encoder, seconds, rate) in {"simclr": ours, "lightly": theirs}.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        few = row["few_labels"]
        return [
            row["name"],
            f"{row['seconds']:.0f}",
            f"{row['views_per_second']:.0f}",
            f"{statistics.mean(few):.2%} (sd {statistics.stdev(few):.2%}, n {len(few)})",
            f"{row['all_labels']:.2%}",
        ]

    header = ["pipeline", "seconds", "views/s", "10 labels per class", "all labels"]
    return markdown(header, map(cells, rows))


def main() -> None:
    parser = options(__doc__)
    arguments, overrides = parser.parse_known_args()
    rows = compare(overrides)
    print(table(rows))
    if arguments.json:
        write_report(arguments.json, kind="photos", settings=overrides, results=rows)


if __name__ == "__main__":
    main()
