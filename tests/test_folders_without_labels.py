"""Own images without labels, or with few: pretraining needs none, classifiers say what lacks."""

import json
from pathlib import Path

import pytest
from command_line import TINY, do, train
from own_images import COLOURS, paint

from simclr.models.weights import load_encoder

GIVEN = (
    *(word for word in TINY if not word.startswith(("data.name", "data.val", "data.t"))),
    *("data.name=folder", "data.root=own", "data.image_size=16", "data.batch_size=8"),
    "clustering.max_epochs=1",
    "data.val_images=null",
)


def paint_unlabelled(root: Path, count: int = 20) -> None:
    for number in range(count):
        paint(root / "unlabeled" / f"{number}.png", COLOURS["red"], number)


@pytest.mark.parametrize("stream", ["never", "always"])
def test_pretraining_needs_no_folder_train(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paint_unlabelled(tmp_path / "own")
    extra = (f"data.stream={stream}", "logger=tensorboard")
    made = do(tmp_path / "made", *GIVEN, "task=pretrain", *extra)
    assert load_encoder(made / "encoder.safetensors").dim
    result = json.loads((made / "results.json").read_text())
    assert not [name for name in result["metrics"] if "accuracy" in name and "val" in name]


def test_pretraining_makes_do_with_few_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three cats and a dog, where ten of each are usual."""
    monkeypatch.chdir(tmp_path)
    paint_unlabelled(tmp_path / "own")
    for number, name in enumerate(("cat", "cat", "cat", "dog")):
        paint(tmp_path / "own" / "train" / name / f"{number}.png", COLOURS["blue"], number)
    made = do(
        tmp_path / "made", *GIVEN, "task=pretrain", "labels.per_class=10", "data.val_images=1"
    )
    result = json.loads((made / "results.json").read_text())
    assert result["labels"]["per_class"] == 1
    assert "val_accuracy" in result["metrics"]


@pytest.mark.parametrize(
    ("classes", "found"), [((), "no labelled images"), (("cat",), "one class, cat")]
)
@pytest.mark.parametrize("task", ["benchmark", "supervised"])
def test_a_classifier_needs_two_classes(
    classes: tuple[str, ...], found: str, task: str, tmp_path: Path
) -> None:
    paint_unlabelled(tmp_path / "own")
    for number in range(4 * len(classes)):
        paint(tmp_path / "own" / "train" / classes[0] / f"{number}.png", COLOURS["blue"], number)
    ended = train(*GIVEN, f"task={task}", "output_dir=made", folder=tmp_path)
    assert ended.status == 1
    assert f"task={task}: data.root=own has {found}; a classifier needs at" in ended.err
    assert not (tmp_path / "made").exists()
