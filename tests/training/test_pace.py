import time
from itertools import accumulate, chain

import pytest
import torch
from lightning import Trainer

from simclr.config.schema import EncoderConfig
from simclr.models.encoders import build_encoder
from simclr.training.pace import expected_seconds, in_words


@pytest.mark.parametrize(
    ("seconds", "encoder", "said"),
    [
        (5, "cnn", "less than a minute"),
        (80, "cnn", "about 1 minute"),
        (600, "resnet18", "about 10 minutes"),
    ],
)
def test_minutes_are_said_as_a_person_would(seconds: float, encoder: str, said: str) -> None:
    assert in_words(seconds, encoder) == said


def test_a_long_training_names_what_is_quicker() -> None:
    assert "encoder=resnet or encoder=cnn is quicker" in in_words(3_600, "resnet18")
    assert "trainer.steps=N" in in_words(3_600, "cnn")
    assert "is quicker" not in in_words(3_600, "cnn")


def test_a_busy_machine_does_not_make_the_expected_time_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Passes that had to wait for other programs do not count, nor does the first one."""
    passes = [9, 0.4, 0.02, 0.3, 0.2, 0.2]
    ticks = accumulate(chain.from_iterable((1, seconds) for seconds in passes))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    encoder = build_encoder(EncoderConfig(channels=[4, 8, 8]), 1)
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    seconds = expected_seconds(trainer, encoder, torch.Size([1, 16, 16]), views=3_200)
    assert seconds == pytest.approx(100 * 0.02)


def test_measuring_changes_neither_the_encoder_nor_the_random_numbers() -> None:
    encoder = build_encoder(EncoderConfig(channels=[4, 8, 8]), 1)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    numbers = torch.get_rng_state()
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    shape = torch.Size([1, 16, 16])
    seconds = expected_seconds(trainer, encoder, shape, views=32)
    assert seconds > 0
    assert torch.equal(torch.get_rng_state(), numbers)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
