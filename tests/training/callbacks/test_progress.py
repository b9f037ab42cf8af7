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
        "pretraining: 00:00, loss 1.235, contrastive 50.0%, validation 98.7%",
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
    assert lines[1].endswith(" left, loss 2.000, probe 25.0%")


def test_on_a_terminal_one_bar_counts_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
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
