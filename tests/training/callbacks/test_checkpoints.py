"""Training that is stopped and resumed any number of times, wherever in an epoch."""

import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from simclr.config.augment import AugmentConfig
from simclr.config.schema import (
    Config,
    EncoderConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
    TrainerConfig,
)
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.synthetic import draw_digits
from simclr.methods.simclr import SimCLR
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.training.callbacks.checkpoints import Checkpoints
from simclr.training.callbacks.stopping import Stopped
from simclr.training.trainer import build_trainer
from simclr.views import build_views

EPOCHS, STEPS = 3, 3 * 2  # two steps each


class StopAt(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise Stopped(signal.SIGTERM)


def train(folder: Path, stop: int = 0) -> dict[str, torch.Tensor]:
    """Go on from the checkpoint in `folder`, if there is one; the weights afterwards."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(channels=[4, 8], convs_per_stage=1), 1)
    head = build_head(HeadConfig(hidden=[], dim=8), encoder.dim)
    module = SimCLR(encoder, head, LossConfig(), OptimizerConfig(), STEPS)
    config = Config(trainer=TrainerConfig(accelerator="cpu", devices=1, precision="32-true"))
    images = draw_digits(70, 16, torch.Generator().manual_seed(0)).images
    data = ContrastiveDataModule(images, build_views(AugmentConfig(shift=0.1)), 32)
    written = Checkpoints(folder, seconds=1e9, belongs_to={"config": {}})
    trainer = build_trainer(
        config, max_epochs=EPOCHS, callbacks=[StopAt(stop), written], checkpointing=True
    )
    last = folder / "checkpoints" / "last.ckpt"
    try:
        trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
    except Stopped:
        assert trainer.global_step == stop
    else:
        assert trainer.global_step == STEPS
    return module.state_dict()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("stops", [[1], [2], [1, 2], [2, 3], [2, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
def test_however_often_it_is_resumed_it_ends_the_same(
    stops: list[int], whole: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    for stop in stops:
        train(tmp_path, stop)
    found = train(tmp_path)
    for name, tensor in whole.items():
        assert torch.equal(found[name], tensor), name
