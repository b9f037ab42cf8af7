"""The training loops that are compared: `loops.py NAME WARM TIMED OVERRIDES...` runs one.

All train the encoder and head of one configuration at its batch size and precision, in
channels_last memory, and none ends by itself: see turns.py. OVERRIDES are those of train.py.
"""

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import hydra
from omegaconf import OmegaConf
from turns import Turns

from simclr.config.schema import Config, DataConfig, register

CONF = Path(__file__).parent.parent / "conf"


def configured(overrides: list[str]) -> Config:
    """The configuration that train.py would compose of these overrides."""
    register()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra.compose("config", [*overrides, "output_dir=."])
    return cast(Config, OmegaConf.to_object(composed))


def pretrain(config: Config, turns: Turns) -> None:
    """`train.py task=pretrain`: the real Trainer, data module, views, logging and checkpoints."""
    from simclr.run import run
    from simclr.training.callbacks.progress import Progress

    class Gate(Progress):
        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any
        ) -> None:
            super().on_train_batch_end(trainer, pl_module, outputs, *rest)
            turns.step(outputs["loss"])

    with tempfile.TemporaryDirectory() as folder, patch("simclr.run.Progress", Gate):
        config.output_dir = folder
        run(config)


def pretrain_repeated(config: Config, turns: Turns) -> None:
    """The same on as many images as `data.train_images` says, by repeating a thousand."""
    from simclr.data.splits import Splits, load_splits

    def repeated(data: DataConfig) -> Splits:
        splits = load_splits(replace(data, train_images=1_100, val_images=100, test_images=100))
        total = data.train_images or 60_000
        times = -(-total // len(splits.train.images))
        return replace(splits, unlabelled=splits.train.images.repeat(times, 1, 1, 1)[:total])

    with patch("simclr.run.load_splits", repeated):
        pretrain(config, turns)


def bare(config: Config, turns: Turns) -> None:
    """Forward, the textbook's loss, backward and AdamW on one tensor that is ready."""
    from plain import cross_entropy, random_pair, train

    train(config, repeat(random_pair(config)), cross_entropy, turns)


def usual(config: Config, turns: Turns) -> None:
    """The bare loop on an encoder whose layers stand in the usual order."""
    from plain import cross_entropy, random_pair, train, usual_network

    train(config, repeat(random_pair(config)), cross_entropy, turns, usual_network)


def bare_nt_xent(config: Config, turns: Turns) -> None:
    """The bare loop with simclr's loss and its use of memory."""
    from plain import random_pair, train

    from simclr.launch.allocator import keep_freed_memory
    from simclr.losses.nt_xent import nt_xent

    keep_freed_memory()
    train(config, repeat(random_pair(config)), nt_xent, turns)


def kornia(config: Config, turns: Turns) -> None:
    """The bare loop on views by kornia's batched RandomAffine, made in the training process."""
    from plain import Pair, cross_entropy, index_batches, train

    augmentation = importlib.import_module("kornia.augmentation")
    affine = augmentation.RandomAffine(**_affine(config), p=1.0)

    def pairs() -> Iterator[Pair]:
        for images in index_batches(config):
            once = images.float() / 255
            yield affine(once), affine(once)

    train(config, pairs(), cross_entropy, turns)


def torchvision(config: Config, turns: Turns) -> None:
    """The bare loop on views by torchvision's v2 RandomAffine, image by image in two workers."""
    import torch
    from plain import PerImage, cross_entropy, endless, train
    from torchvision.transforms import v2

    affine = _affine(config)
    transform = v2.Compose([v2.RandomAffine(**affine), v2.ToDtype(torch.float32, scale=True)])
    train(config, endless(PerImage(config, transform), config), cross_entropy, turns)


def lightly(config: Config, turns: Turns) -> None:
    """Lightly's transform and loss in a Lightning Trainer, with two workers."""
    from with_lightly import train

    train(config, turns)


def _affine(config: Config) -> dict[str, Any]:
    """Simclr's affine ranges as arguments of RandomAffine; shear in degrees."""
    view = config.augment
    return {
        "degrees": view.rotation,
        "translate": (view.shift, view.shift),
        "scale": (view.scale[0], view.scale[1]),
        "shear": 16.7,  # its tangent is 0.3
    }


LOOPS: dict[str, Callable[[Config, Turns], None]] = {
    loop.__name__: loop
    for loop in (
        *(bare, bare_nt_xent, usual, pretrain, pretrain_repeated),
        *(kornia, torchvision, lightly),
    )
}


if __name__ == "__main__":
    name, warm, timed, *overrides = sys.argv[1:]
    LOOPS[name](configured(overrides), Turns(int(warm), int(timed)))
