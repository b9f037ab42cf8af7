"""A stopped run does not go on with other images than it began with."""

import json
from pathlib import Path

import pytest
from command_line import TINY, train
from own_images import COLOURS, paint, paint_folder

from simclr.config.schema import Config
from simclr.errors import SimclrError
from simclr.reports.results import Labels, Result, Timing
from simclr.training.ledger import Ledger

GIVEN = (
    *(word for word in TINY if not word.startswith(("data.name", "data.val", "data.t"))),
    *("data=folder", "data.root=own", "data.image_size=16", "task=pretrain"),
    "data.batch_size=16",
)


def going_on(folder: Path, *more: str) -> tuple[int, str]:
    last = "checkpoint=before/checkpoints/last.ckpt"
    ended = train(*GIVEN, "trainer.max_epochs=2", last, "output_dir=made", *more, folder=folder)
    return ended.status, ended.err


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with own images and a run on them."""
    paint_folder(tmp_path / "own")
    ended = train(*GIVEN, "data.stream=never", "output_dir=before", folder=tmp_path)
    assert ended.status == 0, ended.err
    return tmp_path


def test_a_file_more_or_another_content_is_refused(trained: Path) -> None:
    new = paint(trained / "own" / "unlabeled" / "new.png", COLOURS["red"], 5)
    status, said = going_on(trained)
    assert status == 1
    assert "saw other images in data.root:\n  unlabeled: was 30 images" in said
    assert "is 31 images" in said
    assert "  train:" not in said
    assert not (trained / "made").exists()
    new.unlink()
    paint(trained / "own" / "train" / "red" / "0.png", COLOURS["red"], 6)
    status, said = going_on(trained)
    assert status == 1
    assert "\n  train: was 18 images" in said


def test_the_same_images_may_be_streamed(trained: Path) -> None:
    status, said = going_on(trained, "data.stream=always")
    assert status == 0, said
    images = json.loads((trained / "made" / "results.json").read_text())["images"]
    assert images == json.loads((trained / "before" / "results.json").read_text())["images"]
    assert images["unlabeled"].startswith("30 images, ")


def test_a_benchmark_is_of_one_data_set(tmp_path: Path) -> None:
    config, seen = Config(), {"train": "5 images, a"}
    result = Result("pretrain", 0, {}, Labels(1, 0, ""), 0, Timing(1.0, 1.0))
    Ledger(tmp_path, config, seen).add(result)
    assert Ledger(tmp_path, config, seen).find("pretrain", 0, 0) == result
    with pytest.raises(SimclrError, match="train: was 5 images, a; is 5 images, b"):
        Ledger(tmp_path, config, {"train": "5 images, b"})
