"""Progress: a bar on a terminal, a line per stage elsewhere, silence on other ranks."""

import io
import sys
from typing import Any

import pytest

from simclr.callbacks.progress import Progress

UNUSED: Any = None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(progress: Progress, times: int) -> None:
    for index in range(times):
        progress.on_train_batch_end(UNUSED, UNUSED, None, None, index)


def test_elsewhere_every_stage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=100)
    with progress.stage("pretraining", 10):
        step(progress, 3)
    with progress.stage("figures"):
        pass
    progress.say("done")
    progress.close()
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["pretraining", "figures"]
    assert captured.out == "done\n"


def test_on_a_terminal_one_bar_counts_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(total=100)
    with progress.stage("pretraining", 20):
        step(progress, 3)
    with progress.stage("finetune", 5):
        step(progress, 8)
    assert progress.bar.n == progress.bar.total == 100
    progress.close()
    assert "pretraining: " in terminal.getvalue()
    assert "pretraining\n" not in terminal.getvalue()
    assert "finetune: 100%" in terminal.getvalue()


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK"])
def test_other_ranks_are_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    progress = Progress(total=100)
    with progress.stage("pretraining", 10):
        step(progress, 3)
    progress.say("done")
    progress.close()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
