"""The probe during pretraining: right, on time, and without a trace."""

import time
from typing import Any

import pytest
import torch
from torch import nn

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
from simclr.data.images import LabelledImages
from simclr.data.synthetic import draw_digits
from simclr.evaluation.probe import FeatureNorm, fitted_accuracy
from simclr.methods.simclr import SimCLR
from simclr.models.classifier import extract_features
from simclr.models.encoders import Encoder, build_encoder
from simclr.models.heads import build_head
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.linear_probe import LinearProbe
from simclr.training.trainer import build_trainer
from simclr.views import build_views


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return draw_digits(200, 28, torch.Generator().manual_seed(0))


def part(images: LabelledImages, start: int, stop: int) -> LabelledImages:
    return LabelledImages(images.images[start:stop], images.labels[start:stop])


def pixels() -> Encoder:
    """An encoder whose features are the pixels; its one weight is not used."""

    class Pixels(nn.Flatten):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

    return Encoder(EncoderConfig(), Pixels(), 28 * 28)


def probe_accuracy(
    encoder: Encoder, train: LabelledImages, val: LabelledImages, l2: float
) -> float:
    """Of a linear classifier on features standardised by those of the labelled images alone."""
    seen, scored = (
        LabelledImages(extract_features(encoder, part.images), part.labels) for part in (train, val)
    )
    return fitted_accuracy(FeatureNorm.of(seen.images), seen, scored, l2)


def test_images_seen_before_are_recognised(digits: LabelledImages) -> None:
    some = part(digits, 0, 50)
    assert probe_accuracy(pixels(), some, some, l2=1e-4) == 1.0


def test_wrong_labels_are_wrong(digits: LabelledImages) -> None:
    some = part(digits, 0, 50)
    mistaken = LabelledImages(some.images, (some.labels + 1) % 10)
    assert probe_accuracy(pixels(), some, mistaken, l2=1e-4) == 0.0


def pretrain(digits: LabelledImages, every_steps: int) -> tuple[SimCLR, LinearProbe, Clock]:
    """Ten steps in two epochs."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(channels=[8, 16], convs_per_stage=1), 1)
    head = build_head(HeadConfig(hidden=[], dim=8), encoder.dim)
    module = SimCLR(encoder, head, LossConfig(), OptimizerConfig(), total_steps=10)
    clock = Clock()
    train, val = part(digits, 0, 50), part(digits, 100, 200)
    probe = LinearProbe(encoder, clock, train, val, 1e-3, every_steps)
    config = Config(trainer=TrainerConfig(accelerator="cpu", devices=1, precision="32-true"))
    trainer = build_trainer(config, max_epochs=2, callbacks=[clock, probe])
    views = build_views(AugmentConfig(shift=0.1))
    trainer.fit(module, ContrastiveDataModule(digits.images, views, batch_size=40))
    return module, probe, clock


@pytest.mark.parametrize(("every_steps", "probes"), [(1, 10), (4, 3), (11, 1)])
def test_it_probes_every_so_many_steps(
    digits: LabelledImages, every_steps: int, probes: int
) -> None:
    _, probe, clock = pretrain(digits, every_steps)
    seconds = [one.seconds for one in probe.history]
    assert len(seconds) == probes
    assert seconds == sorted(seconds)
    assert all(0 < when <= clock.seconds for when in seconds)
    assert all(0 <= accuracy <= 1 for _, accuracy, _ in probe.history)


def test_the_last_probe_is_of_the_trained_encoder(digits: LabelledImages) -> None:
    module, probe, _ = pretrain(digits, every_steps=5)
    train, val = part(digits, 0, 50), part(digits, 100, 200)
    accuracy = probe_accuracy(module.encoder, train, val, 1e-3)
    assert probe.history[-1][1] == accuracy
    assert module.trainer.callback_metrics["probe_accuracy"] == pytest.approx(accuracy)


def test_watching_changes_nothing(digits: LabelledImages) -> None:
    watched, unwatched = (pretrain(digits, every_steps)[0] for every_steps in (1, 11))
    after = unwatched.state_dict()
    for name, value in watched.state_dict().items():
        assert torch.equal(value, after[name]), name
    assert watched.encoder.training


def test_probing_does_not_count_as_training(
    digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time goes by only while it probes."""
    now = 0.0

    def slowly(*arguments: Any) -> float:
        nonlocal now
        now += 1_000
        return fitted_accuracy(*arguments)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr("simclr.training.callbacks.linear_probe.fitted_accuracy", slowly)
    _, probe, clock = pretrain(digits, every_steps=5)
    assert [one.seconds for one in probe.history] == [0, 0]
    assert clock.seconds == 0
    assert now == 2_000


def test_history_is_kept_in_checkpoints(digits: LabelledImages) -> None:
    _, probe, _ = pretrain(digits, every_steps=5)
    _, other, _ = pretrain(digits, every_steps=11)
    other.load_state_dict(probe.state_dict())
    assert other.history == probe.history
    assert len(other.history) == 2
