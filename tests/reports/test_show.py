"""What was found out is on disk before it is drawn, and no drawing can take it away."""

import logging
from pathlib import Path

import pytest
import torch
from command_line import do
from matplotlib.figure import Figure

from simclr import benchmark
from simclr.config.schema import Config
from simclr.data.idx import write_idx
from simclr.methods.base import Job
from simclr.reports import figures
from simclr.reports.show import show


def broken(*_: object) -> Figure:
    raise MemoryError("no room\nfor a picture")


def test_a_figure_that_cannot_be_drawn_is_one_warning_and_the_others_are_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    show(Config(logger="none"), tmp_path, lambda: {"bad": broken, "good": Figure})
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["good.png"]
    (said,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert said.getMessage() == ("The figure bad was not drawn: MemoryError: no room for a picture")


def test_where_there_are_no_drawings_at_all_that_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def nothing() -> dict[str, object]:
        raise ImportError("no matplotlib")

    show(Config(logger="none"), tmp_path, nothing)  # type: ignore[arg-type]
    assert "There are no figures: ImportError: no matplotlib" in caplog.text


def test_results_are_whole_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the first figure took the process with it."""
    found: set[str] = set()

    def drawings(job: Job, _: object) -> None:
        found.update(path.name for path in job.folder.iterdir())
        raise SystemExit(139)

    monkeypatch.setattr(benchmark, "_drawings", drawings)
    with pytest.raises(SystemExit):
        do(tmp_path / "made")
    assert found >= {"results.json", "results.csv", "summary.json", "README.md"}
    assert "finished.jsonl" not in found


@pytest.mark.parametrize("logger", ["none", "tensorboard"])
def test_a_benchmark_whose_figures_fail_ends_well(
    logger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "confusion_figure", broken)
    made = do(tmp_path / "made", f"logger={logger}", "labels.draws=1")
    assert (made / "results.json").exists()
    assert (made / "figures" / "mistakes.png").exists()
    assert not (made / "figures" / "confusion.png").exists()
    assert caplog.text.count("was not drawn") == 1


def test_a_benchmark_of_one_test_image_has_all_its_figures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part, count in (("train", 60), ("t10k", 1)):
        images = torch.randint(0, 255, (count, 20, 20), dtype=torch.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        labels = (torch.arange(count) % 2).to(torch.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    made = do(
        tmp_path / "made", "data.name=idx", f"data.root={tmp_path}", "labels.draws=1",
        "data.train_images=60", "data.test_images=null", "data.val_images=10",
        "methods=[linear_eval]",
    )  # fmt: skip
    assert (made / "results.json").exists()
    assert "was not drawn" not in caplog.text
    assert (made / "figures" / "embedding.png").exists()
