"""Pretraining needs no labels; what needs them says so before it trains."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import TINY, Ended, train
from own_images import COLOURS, paint, paint_folder

GIVEN = (
    *(word for word in TINY if not word.startswith(("data.name", "data.val", "data.t"))),
    *("data=folder", "data.root=own", "data.image_size=16", "data.batch_size=16"),
    "output_dir=made",
)


def run_on(folder: Path, *more: str) -> Ended:
    return train(*GIVEN, *more, folder=folder)


@pytest.mark.parametrize("stream", ["never", "always"])
@pytest.mark.parametrize("logger", ["none", "tensorboard"])
def test_pretraining_without_any_label(stream: str, logger: str, tmp_path: Path) -> None:
    paint_folder(tmp_path / "own")
    for part in ("train", "test"):
        shutil.rmtree(tmp_path / "own" / part)
    ended = run_on(tmp_path, "task=pretrain", f"data.stream={stream}", f"logger={logger}")
    assert ended.status == 0, ended.err
    assert "30 images for pretraining, 0 of them with labels" in ended.out
    assert (tmp_path / "made" / "encoder.safetensors").exists()
    assert "cannot" not in ended.err


def test_a_class_may_have_one_image(tmp_path: Path) -> None:
    paint_folder(tmp_path / "own", labelled=3)
    shutil.rmtree(tmp_path / "own" / "train" / "blue")
    shutil.rmtree(tmp_path / "own" / "test")
    paint(tmp_path / "own" / "train" / "blue" / "only.png", COLOURS["blue"], 1)
    paint(tmp_path / "own" / "val" / "blue" / "0.png", COLOURS["blue"], 2)
    ended = run_on(tmp_path, "task=pretrain", "labels.per_class=10", "clustering.max_epochs=1")
    assert ended.status == 0, ended.err
    assert "3 classes of 1 to 3 images" in ended.out
    result = json.loads((tmp_path / "made" / "results.json").read_text())
    assert 0 <= result["metrics"]["val_accuracy"] <= 1


def test_a_classifier_without_labels_is_refused(tmp_path: Path) -> None:
    paint_folder(tmp_path / "own")
    for part in ("train", "test"):
        shutil.rmtree(tmp_path / "own" / part)
    ended = run_on(tmp_path, "task=supervised")
    assert ended.status == 1
    assert "needs labelled images of two classes or more, and here are 0" in ended.err
    assert "task=pretrain works without labels" in ended.err
    assert not (tmp_path / "made").exists()
