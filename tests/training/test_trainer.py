"""What a configuration's trainer part becomes."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from simclr.config.schema import Config, TrainerConfig
from simclr.training.precision import resolve_precision
from simclr.training.trainer import build_logger, build_trainer, decisions, local_trainer

CPU = Config(trainer=TrainerConfig(accelerator="cpu", devices=1))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("accelerator", ["auto", "cpu", "gpu"])
def test_a_precision_that_is_asked_for_is_taken(precision: str, accelerator: str) -> None:
    assert resolve_precision(precision, accelerator) == precision


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_on_a_processor(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, native: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert resolve_precision("auto", accelerator) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_on_a_gpu(monkeypatch: pytest.MonkeyPatch, native: bool, expected: str) -> None:
    """The GPU decides, unless the CPU was asked for; emulated bf16 is slow and does not count."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: native or including_emulation,
    )
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: not native)
    assert resolve_precision("auto", "gpu") == expected
    assert resolve_precision("auto", "auto") == expected
    assert resolve_precision("auto", "cpu") != expected


@pytest.mark.parametrize(
    ("name", "kind", "folder"),
    [("tensorboard", TensorBoardLogger, "tensorboard/benchmark"), ("csv", CSVLogger, "csv")],
)
def test_loggers_write_into_the_runs_folder(
    tmp_path: Path, name: str, kind: type, folder: str
) -> None:
    logger = build_logger(Config(logger=name), tmp_path)
    assert isinstance(logger, kind)
    assert isinstance(logger, TensorBoardLogger | CSVLogger)
    assert Path(logger.log_dir) == tmp_path / folder


def test_what_a_stopped_run_has_logged_is_kept(tmp_path: Path) -> None:
    for loss in (3.0, 2.0, 1.0):
        logger = build_logger(Config(logger="csv"), tmp_path)
        assert isinstance(logger, CSVLogger)
        logger.log_metrics({"loss": loss}, step=1)
        logger.save()
    files = sorted((tmp_path / "csv").iterdir())
    assert [path.read_text().split()[1].split(",")[0] for path in files] == ["1.0", "3.0", "2.0"]


def test_no_logger(tmp_path: Path) -> None:
    assert build_logger(Config(logger="none"), tmp_path) is False


def test_the_trainer_is_the_configured_one() -> None:
    settings = TrainerConfig(accelerator="cpu", devices=1, precision="bf16-mixed")
    trainer = build_trainer(Config(trainer=settings), max_epochs=4, callbacks=[])
    assert trainer.max_epochs == 4
    assert trainer.precision == "bf16-mixed"
    assert trainer.strategy.root_device == torch.device("cpu")
    assert trainer.loggers == []
    assert trainer.checkpoint_callbacks == []


def test_checkpoints_only_where_asked_for() -> None:
    trainer = build_trainer(CPU, max_epochs=1, callbacks=[], checkpointing=True)
    assert len(trainer.checkpoint_callbacks) == 1


@pytest.mark.parametrize("asked", ["32-true", "bf16-mixed"])
def test_a_local_trainer_is_exact_and_alone(asked: str) -> None:
    settings = TrainerConfig(accelerator="cpu", devices=2, strategy="ddp", precision=asked)
    trainer = local_trainer(Config(trainer=settings))
    assert trainer.world_size == 1
    assert trainer.precision == "32-true"
    assert trainer.max_epochs == 1


@pytest.mark.parametrize(("count", "said"), [(1, "1 thread"), (2, "2 threads")])
def test_decisions_are_said_in_a_line(count: int, said: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    line = decisions(build_trainer(CPU, max_epochs=1, callbacks=[]))
    torch.set_num_threads(before)
    assert line.startswith(f"1 x CPU, {said}, precision ")
    assert "\n" not in line
