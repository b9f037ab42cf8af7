"""From unlabelled images to labels and a classifier: what each command leaves for the next."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from command_line import TINY, configured, do
from own_images import paint_folder
from PIL import Image

from simclr.data.splits import Splits, load_splits
from simclr.errors import SimclrError
from simclr.run import run

OWN = ("data.name=folder", "data.image_size=28", "data.channels=3", "data.val_images=0")
OTHERS = tuple(word for word in TINY if not word.startswith("data."))


def own(folder: Path, root: Path, *settings: str) -> Path:
    folder.mkdir()
    about = (*OWN, f"data.root={root}", "data.batch_size=16", f"output_dir={folder}")
    run(configured(*OTHERS, *about, *settings))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def splits_of(root: Path, labels: Path, *settings: str) -> Splits:
    return load_splits(
        configured(*OWN, f"data.root={root}", f"data.labels={labels}", *settings).data
    )


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return do(tmp_path_factory.mktemp("made") / "run", "task=pretrain") / "encoder.safetensors"


def test_own_images_from_choosing_to_a_classifier(tmp_path: Path) -> None:
    root = tmp_path / "own"
    paint_folder(root)
    shutil.rmtree(root / "train")
    shutil.rmtree(root / "test")
    shutil.rmtree(root / "val", ignore_errors=True)
    encoder = own(tmp_path / "one", root, "task=pretrain") / "encoder.safetensors"
    weights = f"encoder.weights={encoder}"
    chosen = own(tmp_path / "two", root, "task=choose_labels", "labels.budget=6", weights)
    listed = rows(chosen / "to_label.csv")
    assert len({row["file"] for row in listed}) == 6
    assert all((root / row["file"]).is_file() and row["class"] == "" for row in listed)
    assert Image.open(chosen / "to_label.png").width > 0
    assert "data:image/jpeg" in (chosen / "label.html").read_text()
    assert not (chosen / "suspects.csv").exists()

    lines = [f"{row['file']},{'猫' if n % 2 else 'dog'}" for n, row in enumerate(listed)]
    labels = write(tmp_path / "labels.csv", ["file,class", *lines])
    given = f"data.labels={labels}"
    trained = own(tmp_path / "three", root, "task=linear_eval", weights, given)
    result = json.loads((trained / "results.json").read_text())
    assert result["labels"]["per_class"] is None
    assert (trained / "classifier.safetensors").exists()

    more = ("task=choose_labels", "labels.budget=4", weights, given)
    again = own(tmp_path / "four", root, *more)
    second = rows(again / "to_label.csv")
    assert len(second) == 4
    assert not {row["file"] for row in second} & {row["file"] for row in listed}
    assert (again / "suspects.csv").exists()


def test_labels_of_a_file_and_of_folders_go_together(tmp_path: Path) -> None:
    root = tmp_path / "own"
    paint_folder(root)
    files = sorted(path.name for path in (root / "unlabeled").iterdir())
    before = load_splits(configured(*OWN, f"data.root={root}").data)
    inside = next((root / "train" / before.classes[0]).iterdir())
    lines = [f"unlabeled/{files[2]},new", f"{inside.relative_to(root)},{before.classes[1]}"]
    splits = splits_of(root, write(tmp_path / "labels.csv", ["file,class", *lines]))
    assert set(splits.classes) == {*before.classes, "new"}
    assert len(splits.train.labels) == len(before.train.labels) + 1
    assert len(splits.unlabelled) == len(before.unlabelled)
    assert splits.names[-1] == f"unlabeled/{files[2]}"
    assert splits.classes[int(splits.train.labels[-1])] == "new"
    sizes = dict(zip(splits.classes, torch.bincount(splits.train.labels).tolist(), strict=True))
    was = dict(zip(before.classes, torch.bincount(before.train.labels).tolist(), strict=True))
    assert sizes[before.classes[0]] == was[before.classes[0]] - 1
    assert len(splits.names) == len(splits.paths) == len(splits.unlabelled)
    assert splits.fingerprint != before.fingerprint


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    root = tmp_path / "own"
    paint_folder(root)
    name = sorted(path.name for path in (root / "unlabeled").iterdir())[0]
    test = next((root / "test").rglob("*.png")).relative_to(root)
    lines = ["file,class", f"{name},cat", "unlabeled/no.png,cat", f"{test},cat", "../x.png,cat"]
    with pytest.raises(SimclrError) as told:
        splits_of(root, write(tmp_path / "labels.csv", lines))
    message = str(told.value)
    assert f"line 2: {name}: no such file; unlabeled/{name} is there" in message
    assert "line 3: unlabeled/no.png: no such file" in message
    assert f"line 4: {test}: no image in unlabeled/ or train/" in message
    assert "line 5: ../x.png: no such file" in message


def indexed(labels: Path) -> Splits:
    return load_splits(configured(*TINY, f"data.labels={labels}").data)


def test_labels_by_index(tmp_path: Path) -> None:
    every = load_splits(configured(*TINY).data)
    index = every.train_indices[[5, 3]].tolist()
    lines = ["index,class", f"{index[0]},9", f"{index[1]},0"]
    splits = indexed(write(tmp_path / "labels.csv", lines))
    assert splits.train_indices.tolist() == [index[1], index[0]]
    assert splits.train.labels.tolist() == [0, 9]
    assert splits.train.images.equal(every.train.images[[3, 5]])
    assert splits.unlabelled[-2:].equal(splits.train.images)
    assert len(splits.unlabelled) == len(every.unlabelled)
    assert splits.names[-2:] == [str(index[1]), str(index[0])]


def test_indices_and_classes_that_are_not_there_are_named(tmp_path: Path) -> None:
    every = load_splits(configured(*TINY).data)
    kept = next(n for n in range(300) if n not in every.train_indices.tolist())
    lines = ["index,class", f"{every.train_indices[0]},cat", "300,1", "x,1", f"{kept},1"]
    with pytest.raises(SimclrError) as told:
        indexed(write(tmp_path / "labels.csv", lines))
    message = str(told.value)
    assert "line 2: class 'cat' is none of 0, 1, 2" in message
    assert "line 3: 300: must be the index of a training image, 0 to 299" in message
    assert "line 4: x: must be the index" in message
    assert f"line 5: {kept}: kept for validation" in message


def test_no_label_of_the_data_set_plays_a_part(pretrained: Path, tmp_path: Path) -> None:
    """The labels of a published set count as unknown, until a file gives some."""
    settings = ("task=choose_labels", "labels.budget=5", f"encoder.weights={pretrained}")
    first = rows(do(tmp_path / "one", *settings) / "to_label.csv")
    assert rows(do(tmp_path / "two", *settings) / "to_label.csv") == first
    labels = write(tmp_path / "l.csv", ["index,class", *(f"{r['index']},1" for r in first)])
    folder = do(tmp_path / "three", *settings, f"data.labels={labels}")
    second = rows(folder / "to_label.csv")
    assert len(second) == 5
    assert not {row["index"] for row in first} & {row["index"] for row in second}


@pytest.mark.parametrize("choice", ["random", "typical"])
def test_a_benchmark_of_so_many_labels_says_which(
    choice: str, pretrained: Path, tmp_path: Path
) -> None:
    """Its draws differ; random encoders get the same images."""
    folder = do(
        tmp_path / "made",
        *("task=benchmark", "labels.budget=12", f"labels.choice={choice}"),
        *("methods=[linear_eval,label_spread,random_encoder]", "trainer.max_epochs=0"),
        f"encoder.weights={pretrained}",
    )
    words = {"random": "random images of any class", "typical": "typical images"}
    assert f"12 labels ({words[choice]}), 2 label draws" in (folder / "README.md").read_text()
    drawn = {
        (row["method"], row["label_seed"]): row["labels_sha256"]
        for row in rows(folder / "results.csv")
    }
    for seed in ("0", "1"):
        same = {drawn[method, seed] for method in ("linear_eval", "label_spread", "random_encoder")}
        assert len(same) == 1
    assert drawn["linear_eval", "0"] != drawn["linear_eval", "1"]
    assert json.loads((folder / "results.json").read_text())["labels"]["per_class"] is None


def test_random_draws_are_of_any_class() -> None:
    splits = load_splits(configured(*TINY).data)
    counts = torch.bincount(splits.train.labels[splits.draw(2, seed=0, budget=20)], minlength=10)
    assert counts.sum() == 20
    assert len(counts.unique()) > 1
    with pytest.raises(SimclrError, match=r"labels\.budget=251: only 250 training images"):
        splits.draw(2, seed=0, budget=251)
