"""What only watches a training may fail; the training goes on, as if nobody had looked."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from command_line import do
from torch.utils.data import DataLoader

from simclr.data.idx import write_idx
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.watching import watching


class Broken(L.Callback):
    """Fails at every look, and counts them."""

    looks = 0

    @watching
    def on_train_batch_end(self, *_: Any) -> None:
        self.looks += 1
        raise ValueError("no\nlight")


class Model(L.LightningModule):
    """One number that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_failure_is_said_once_and_not_met_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    trainer = L.Trainer(
        max_epochs=1, callbacks=[broken], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Model(), DataLoader(torch.ones(5, 1)))  # type: ignore[arg-type]
    assert trainer.global_step == 5
    assert broken.looks == 1
    (said,) = [r.getMessage() for r in caplog.records if r.name.startswith("simclr")]
    assert said == "Broken failed, and training goes on without: ValueError: no light"


def test_the_clock_goes_on_after_a_look_that_failed() -> None:
    clock = Clock()
    with clock.running():
        with pytest.raises(ValueError, match="dark"), clock.paused():
            raise ValueError("dark")
        assert clock._running_since is not None


def test_a_pretraining_ends_the_same_whatever_watching_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ("task=pretrain", "logger=tensorboard")
    whole = do(tmp_path / "whole", *settings)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    for name in ("linear_probe.effective_rank", "monitors.uniformity", "pictures.mosaic"):
        monkeypatch.setattr(f"simclr.training.callbacks.{name}", fail)
    blind = do(tmp_path / "blind", *settings)
    assert caplog.text.count("training goes on without") == 4  # pictures have two hooks
    name = "encoder.safetensors"
    assert (whole / name).read_bytes() == (blind / name).read_bytes()


@pytest.mark.parametrize(("channels", "batch"), [(1, 16), (2, 16), (4, 16), (1, 2)])
def test_any_shape_that_training_takes_watching_takes(
    channels: int, batch: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Images taller than wide, of any channels, and batches too small to say much."""
    for part, count in (("train", 60), ("t10k", 12)):
        shape = (count, *([channels] * (channels > 1)), 32, 20)
        images = torch.randint(0, 255, shape, dtype=torch.uint8)
        write_idx(tmp_path / f"{part}-images-idx{len(shape)}-ubyte", images)
        labels = (torch.arange(count) % 2).to(torch.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    made = do(
        tmp_path / "made", "task=pretrain", "logger=tensorboard", "data.name=idx",
        f"data.root={tmp_path}", "data.train_images=24", "data.test_images=null",
        "data.val_images=8", f"data.batch_size={batch}", "trainer.log_every_n_steps=1",
        "probe.every_steps=1",
    )  # fmt: skip
    assert (made / "results.json").exists()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING and "without" in r.msg]
    assert list(made.rglob("sprite.png"))
