"""Progress: a bar on a terminal, a line per stage everywhere, silence on other ranks."""

import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from simclr.training.callbacks.progress import Progress

UNUSED: Any = None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def trainer(**metrics: float) -> Any:
    return SimpleNamespace(
        callback_metrics={name: torch.tensor(value) for name, value in metrics.items()}
    )


def step(progress: Progress, times: int, **metrics: float) -> None:
    for index in range(times):
        progress.on_train_batch_end(trainer(**metrics), UNUSED, None, None, index)


def test_elsewhere_every_stage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=100)
    with progress.stage("pretraining", 10):
        step(progress, 3)
        progress.on_train_end(trainer(loss=1.23456, contrastive_accuracy=0.5), UNUSED)
        progress.on_validation_end(trainer(val_accuracy=0.987), UNUSED)
    with progress.stage("figures"):
        pass
    progress.say("done")
    progress.close()
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "pretraining: 00:00, validation 98.7%, loss 1.235, contrastive 50.0%",
        "figures: 00:00",
    ]
    assert captured.out == "done\n"


def test_elsewhere_a_long_stage_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=100, seconds=0)
    with progress.stage("pretraining", 10):
        step(progress, 2, loss=2.0, probe_accuracy=0.25)
    *lines, _ = capsys.readouterr().err.splitlines()
    assert [line.split(" left")[0].split(",")[0] for line in lines] == [
        "pretraining: 10% of the job",
        "pretraining: 20% of the job",
    ]
    assert lines[1].endswith(" left, probe 25.0%, loss 2.000")


def test_on_a_terminal_one_bar_counts_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    progress = Progress(total=100)
    progress.bar.mininterval = 0
    with progress.stage("pretraining", 20):
        step(progress, 3, loss=3.5)
    with progress.stage("finetune", 5):
        step(progress, 8)
    assert progress.bar.n == progress.bar.total == 100
    progress.close()
    shown = re.sub(r"\x1b\[\w", "", terminal.getvalue())
    assert re.search(r"pretraining +60% \|.*\| 00:00 left, .*img/s, loss 3.500", shown)
    assert "pretraining: 00:00, loss 3.500\n" in shown
    assert "finetune 100%" in shown


def test_the_time_left_is_measured_in_training_and_never_negative(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes go by before training; a step of 10 images takes a second."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress(total=100, seconds=0.5)
    with progress.stage("self_train, draw 0", 10):
        now += 120
        progress.on_train_start(SimpleNamespace(global_step=4), UNUSED)  # type: ignore[arg-type]
        for _ in range(8):
            now += 1
            step(progress, 1)
    *lines, _ = capsys.readouterr().err.splitlines()
    assert lines[0] == "self_train, draw 0: 50% of the job, 00:05 left"
    assert lines[4] == "self_train, draw 0: 90% of the job, 00:01 left"
    assert lines[5:] == ["self_train, draw 0"] * 3


def test_the_time_left_is_that_at_the_mean_speed_of_the_job(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow stage says little about the next: 80 images in 8 seconds, then one in a second."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress(total=100, seconds=0.5)
    for name, images, steps in (("pretraining", 10, 8), ("supervised", 1, 1)):
        with progress.stage(name, images):
            progress.on_train_start(SimpleNamespace(global_step=0), UNUSED)  # type: ignore[arg-type]
            for _ in range(steps):
                now += 1
                step(progress, 1)
            progress.on_train_end(trainer(), UNUSED)
            now += 60
    lines = capsys.readouterr().err.splitlines()
    assert "supervised: 81% of the job, 00:02 left" in lines


def test_work_of_no_known_length_promises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=0, seconds=-1)
    with progress.stage("label_spread, draw 0"):
        progress.on_train_start(SimpleNamespace(global_step=0), UNUSED)  # type: ignore[arg-type]
        step(progress, 1, loss=1.0)
    assert "left" not in capsys.readouterr().err


def test_at_80_columns_the_probe_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(total=40_000)
    progress.bar.mininterval = 0
    with progress.stage("pretraining, seed 2147483647", 20_000):
        step(progress, 1, loss=3.5, contrastive_accuracy=0.5, probe_accuracy=0.987)
    progress.close()
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[\w", "", terminal.getvalue()))
    assert any(re.search("50%.* left, probe 98.7%", line[:80]) for line in lines)
    assert not lines[-1].strip()


def test_what_comes_after_all_training_has_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(total=20)
    with progress.stage("finetune", 20):
        step(progress, 1)
    with progress.stage("figures"):
        progress.bar.refresh()
    progress.close()
    _, figures = terminal.getvalue().split("figures", 1)
    assert "00:00" in figures
    assert "left" not in figures
    assert "%" not in figures


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK"])
def test_other_ranks_are_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    progress = Progress(total=100, seconds=0)
    with progress.stage("pretraining", 10):
        step(progress, 3)
    progress.say("done")
    progress.close()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
