"""The three parts of a data set: disjoint, complete, and the right ones."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from simclr.config.schema import DataConfig, LabelsConfig
from simclr.data.idx import write_idx
from simclr.data.images import Images
from simclr.data.splits import Splits, load_splits
from simclr.errors import SimclrError

TRAIN, TEST = 60, 20


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """An IDX folder whose images are all different: image n is filled with n, test from 100."""
    for part, count, start in (("train", TRAIN, 0), ("t10k", TEST, 100)):
        values = torch.arange(start, start + count, dtype=torch.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", values[:, None, None].repeat(1, 3, 3))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", values % 4)
    return tmp_path


def config(root: Path, val_images: int = 15) -> DataConfig:
    return DataConfig(name="idx", root=str(root), val_images=val_images)


def numbers(images: Images) -> list[int]:
    return images[:][:, 0, 0, 0].tolist()


def parts(splits: Splits) -> tuple[list[int], list[int], list[int]]:
    assert splits.val is not None
    assert splits.test is not None
    return numbers(splits.train.images), numbers(splits.val.images), numbers(splits.test.images)


def test_the_parts_are_disjoint_and_lose_nothing(numbered: Path) -> None:
    splits = load_splits(config(numbered))
    train, val, test = parts(splits)
    assert (len(train), len(val), len(test)) == (TRAIN - 15, 15, TEST)
    assert sorted(train + val) == list(range(TRAIN))
    assert test == list(range(100, 100 + TEST))
    assert splits.shape == (1, 3, 3)
    assert splits.classes == ("0", "1", "2", "3")


def test_images_keep_their_labels_and_positions(numbered: Path) -> None:
    splits = load_splits(config(numbered))
    assert numbers(splits.train.images) == splits.train_indices.tolist()
    for part in (splits.train, splits.val, splits.test):
        assert part is not None
        assert [number % 4 for number in numbers(part.images)] == part.labels.tolist()


def test_pretraining_and_label_draws_see_training_images_only(numbered: Path) -> None:
    splits = load_splits(config(numbered))
    train, val, test = parts(splits)
    assert numbers(splits.unlabelled) == train
    drawn = [n for seed in range(20) for n in numbers(splits.train.images[splits.draw(5, seed)])]
    assert set(drawn) <= set(train)
    assert not set(drawn) & {*val, *test}


def test_the_split_seed_decides_and_nothing_else(numbered: Path) -> None:
    first = parts(load_splits(config(numbered)))
    torch.manual_seed(5)
    assert parts(load_splits(config(numbered))) == first
    other = config(numbered)
    other.split_seed = 1
    assert parts(load_splits(other))[1] != first[1]


def test_no_validation_images(numbered: Path) -> None:
    splits = load_splits(config(numbered, val_images=0))
    assert splits.val is None
    assert numbers(splits.train.images) == list(range(TRAIN))


def test_fewer_images(numbered: Path) -> None:
    fewer = config(numbered)
    fewer.train_images, fewer.test_images = 40, 6
    train, val, test = parts(load_splits(fewer))
    assert (len(train), len(val)) == (25, 15)
    assert len(set(train + val)) == 40
    assert len(set(test)) == 6
    assert set(test) <= set(range(100, 100 + TEST))
    assert {label % 4 for label in test} == {0, 1, 2, 3}


@pytest.mark.parametrize("val_images", [TRAIN, TRAIN + 1])
def test_too_many_validation_images(numbered: Path, val_images: int) -> None:
    with pytest.raises(
        SimclrError, match=rf"data\.val_images={val_images}: there are only {TRAIN} "
    ):
        load_splits(config(numbered, val_images))


def test_a_draw_names_the_class_that_has_too_few(numbered: Path) -> None:
    with pytest.raises(SimclrError, match=r"class '\d' has only \d+ training images"):
        load_splits(config(numbered)).draw(TRAIN, seed=0)


def test_there_is_one_draw_of_all_labelled_images(numbered: Path) -> None:
    splits = load_splits(config(numbered, val_images=0))
    all_of_a_class = TRAIN // 4
    assert len(splits.train.labels) == 4 * all_of_a_class
    assert splits.draws(LabelsConfig(all_of_a_class, draws=3, seed=2)) == range(2, 3)
    assert splits.draws(LabelsConfig(all_of_a_class - 1, draws=3, seed=2)) == range(2, 5)


def test_a_draw_may_take_all_labelled_images_whatever_each_class_has(numbered: Path) -> None:
    splits = load_splits(config(numbered))
    everything = list(range(len(splits.train.labels)))
    assert splits.draw(None, seed=3).tolist() == everything
    assert splits.draws(LabelsConfig(per_class=None, draws=3, seed=2)) == range(2, 3)


def test_validation_images_are_a_share_unless_a_number_is_given(numbered: Path) -> None:
    share = DataConfig(name="idx", root=str(numbered))
    val = load_splits(share).val
    assert val is not None
    assert len(val.labels) == TRAIN // 12


def test_the_summary_counts_every_part(numbered: Path) -> None:
    summary = load_splits(config(numbered)).summary
    assert f"{TRAIN - 15} images for pretraining, {TRAIN - 15} of them with labels" in summary
    assert f"15 for validation, {TEST} for the test" in summary
    assert "4 classes of 8 to 13 images" in summary
    assert "4 classes of 15 images" in load_splits(config(numbered, val_images=0)).summary


def save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), value).save(path)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for number in range(10):
        save(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", number)
        save(tmp_path / "unlabeled" / f"{number}.png", 100 + number)
    return tmp_path


def own_config(root: Path, val_images: int) -> DataConfig:
    return DataConfig(name="folder", root=str(root), val_images=val_images, image_size=8)


def test_own_images_for_validation_are_not_pretrained_on(own: Path) -> None:
    splits = load_splits(own_config(own, val_images=4))
    assert splits.val is not None
    train, val = numbers(splits.train.images), numbers(splits.val.images)
    assert sorted(train + val) == list(range(10))
    assert sorted(numbers(splits.unlabelled)) == sorted([*train, *range(100, 110)])


def test_own_validation_images_are_kept(own: Path) -> None:
    for name in "ab":
        save(own / "val" / name / "1.png", 200)
    splits = load_splits(own_config(own, val_images=4))
    assert splits.val is not None
    assert numbers(splits.val.images) == [200, 200]
    assert sorted(numbers(splits.train.images)) == list(range(10))
    assert sorted(numbers(splits.unlabelled)) == [*range(10), *range(100, 110)]
