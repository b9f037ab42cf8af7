"""Trainings that went wrong: no number any more, or embeddings that are all the same."""

import logging
import re
from pathlib import Path

import lightning as L
import pytest
import torch
from command_line import TINY, train
from torch import Tensor, nn

from simclr.config.schema import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from simclr.config.schema import TrainerConfig as Settings
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.synthetic import draw_digits
from simclr.methods.simclr import SimCLR
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.training.callbacks import starved
from simclr.training.callbacks.checkpoints import Checkpoints
from simclr.training.callbacks.collapse import CollapseWarning
from simclr.training.trainer import build_trainer
from simclr.views import build_views


@pytest.fixture(scope="module")
def images() -> Tensor:
    return draw_digits(130, 28, torch.Generator().manual_seed(0)).images


def model() -> SimCLR:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(channels=[8, 16]), 1)
    head = build_head(HeadConfig(hidden=[], dim=8), encoder.dim)
    return SimCLR(encoder, head, LossConfig(), OptimizerConfig(lr=0), total_steps=8)


def fit(module: SimCLR, images: Tensor, *callbacks: L.Callback) -> None:
    config = Config(trainer=Settings(accelerator="cpu", devices=1, precision="32-true"))
    trainer = build_trainer(config, max_epochs=2, callbacks=callbacks, checkpointing=True)
    trainer.fit(module, ContrastiveDataModule(images, build_views(config.augment), 32))


def collapsed(kind: str) -> SimCLR:
    """Projections in one place, on one line, or in a plane."""
    module = model()
    last = list(module.head.children())[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        if kind == "place":
            last.weight.zero_()
            last.bias.fill_(1)
        else:
            last.weight[1 if kind == "line" else 2 :] = 0
            last.bias.zero_()
    return module


@pytest.mark.parametrize("kind", ["place", "line", "plane"])
def test_collapsed_embeddings_are_said_once(
    kind: str, images: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first look after warm-up, and with what to try."""
    warning = CollapseWarning(first_step=3, every_steps=2)
    fit(collapsed(kind), images, warning, Checkpoints(tmp_path, 30, {"config": {}}))
    (said,) = [record.getMessage() for record in caplog.records if "collapsed" in record.msg]
    assert "collapsed at step 4: sd " in said
    for key in ("optimizer.lr", "data.batch_size", "augment.*", "loss.temperature"):
        assert key in said


def test_what_has_not_collapsed_is_not_said_to_be(
    images: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(
        model(),
        images,
        CollapseWarning(0, every_steps=1),
        Checkpoints(tmp_path, 30, {"config": {}}),
    )
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_weights_that_are_no_numbers_are_never_written(images: Tensor, tmp_path: Path) -> None:
    module = model()
    with torch.no_grad():
        next(module.encoder.parameters()).fill_(torch.nan)
    fit(module, images, Checkpoints(tmp_path, 0, {"config": {}}))
    assert list(tmp_path.rglob("*.ckpt")) == []


def test_a_training_that_diverges_says_where_and_from_where_to_go_on(tmp_path: Path) -> None:
    """It diverges in the third step; the checkpoint of the second one is good."""
    diverging = ("task=pretrain", "optimizer=sgd", "optimizer.lr=1e19", "optimizer.warmup=0")
    more = ("trainer.checkpoint_seconds=0", "output_dir=made", "loss.temperature=0.1")
    ended = train(*TINY, *diverging, *more, folder=tmp_path)
    assert ended.status == 1
    assert "training diverged: loss=nan at step " in ended.err
    assert re.search(r"lr=\S+e\+1\d; loss.temperature=0.1; choose a lower optimizer.lr", ended.err)
    assert "The last good checkpoint: made/checkpoints/last.ckpt\n" in ended.err
    saved = torch.load(tmp_path / "made" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(bool(tensor.isfinite().all()) for tensor in saved["state_dict"].values())
    assert not (tmp_path / "made" / "results.json").exists()


class Pace:
    """A clock on which each step takes so many seconds, one after the other."""

    def __init__(self, seconds: list[int]) -> None:
        self.times = iter([time for step in seconds for time in (0, step)])

    def __call__(self) -> float:
        return next(self.times)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([1] * 4 + [4] * 4, ["4 times as long"]),
        ([1] * 4 + [2] * 4, []),
        ([1, 1, 1, 40] * 2, []),  # single slow steps
        ([8] * 4 + [1] * 4, []),
    ],
)
def test_a_starved_training_is_said_to_be(
    seconds: list[int],
    said: list[str],
    images: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(starved, "STEPS", 4)
    monkeypatch.setattr(starved, "perf_counter", Pace(seconds))
    fit(model(), images, starved.Starved(), Checkpoints(tmp_path, 30, {"config": {}}))
    found = [record.getMessage() for record in caplog.records if record.name == starved.__name__]
    assert len(found) == len(said)
    assert all(words in message for words, message in zip(said, found, strict=True))
