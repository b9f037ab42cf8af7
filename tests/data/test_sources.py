"""Sources by name, and folders in IDX format."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from simclr.data.idx import write_idx
from simclr.data.sources import SOURCES, load_source
from simclr.errors import SimclrError

TRAIN_LABELS = torch.tensor([7, 1, 3, 3, 1, 7], dtype=torch.uint8)
TEST_LABELS = torch.tensor([3, 7], dtype=torch.uint8)


def pictures(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).view(shape).to(torch.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_idx(tmp_path / "train-images-idx3-ubyte", pictures(6, 5, 4))
    write_idx(tmp_path / "train-labels-idx1-ubyte", TRAIN_LABELS)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", pictures(2, 5, 4))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", TEST_LABELS)
    return tmp_path


def check(root: Path, channels: int = 1) -> None:
    source = load_source("idx", root)
    assert torch.equal(source.train.images, pictures(6, channels, 5, 4))
    assert source.train.labels.tolist() == [2, 0, 1, 1, 0, 2]
    assert source.train.labels.dtype == torch.int64
    assert source.test is not None
    assert torch.equal(source.test.images, pictures(2, channels, 5, 4))
    assert source.test.labels.tolist() == [1, 2]
    assert source.classes == ("1", "3", "7")
    assert source.val is None
    assert source.unlabelled is None


def test_any_classes_and_image_size(root: Path) -> None:
    check(root)


def test_raw_folder_with_other_spellings(root: Path) -> None:
    (root / "raw").mkdir()
    for path in list(root.glob("*-ubyte")):
        name = path.name.replace("t10k", "test").replace("-idx", ".idx")
        path.rename(root / "raw" / name)
    check(root)


def test_compressed(root: Path) -> None:
    write_idx(root / "train-images-idx3-ubyte.gz", pictures(6, 5, 4))
    (root / "train-images-idx3-ubyte").unlink()
    check(root)


def test_colour(root: Path) -> None:
    for name, count in (("train", 6), ("t10k", 2)):
        (root / f"{name}-images-idx3-ubyte").unlink()
        write_idx(root / f"{name}-images-idx4-ubyte", pictures(count, 3, 5, 4))
    check(root, channels=3)


def test_all_missing_files_are_named(root: Path) -> None:
    (root / "train-labels-idx1-ubyte").unlink()
    (root / "t10k-images-idx3-ubyte").unlink()
    expected = f"data.root={root}: no train-labels-idx1-ubyte, t10k-images-idx3-ubyte .raw or .gz"
    with pytest.raises(SimclrError, match=expected):
        load_source("idx", root)
    with pytest.raises(SimclrError, match=r"no train-images-idx3-ubyte, .* t10k-labels-idx1-ubyte"):
        load_source("idx", root / "absent")


MISFITS = {
    "too few labels": ("train-labels-idx1", TRAIN_LABELS[:5], "5 labels, but 6 images in"),
    "labels as pictures": ("t10k-labels-idx1", pictures(2, 1), r"shape \(2, 1\), expected labels"),
    "flat images": ("train-images-idx3", pictures(6, 20), r"shape \(6, 20\), expected images"),
    "no images": ("train-images-idx3", pictures(0, 5, 4), "expected images"),
    "another size": ("t10k-images-idx3", pictures(2, 4, 5), "images are 1x4x5, but those in .*5x4"),
    "a new class": ("t10k-labels-idx1", TEST_LABELS + 1, r"labels \[4, 8\] are not among"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_file_that_does_not_fit_is_named(root: Path, case: str) -> None:
    name, content, expected = MISFITS[case]
    path = root / f"{name}-ubyte"
    write_idx(path, content)
    with pytest.raises(SimclrError, match=f"^{path}: .*{expected}"):
        load_source("idx", root)


def test_damaged_file_is_named(root: Path) -> None:
    path = root / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SimclrError, match=f"^{path}: truncated"):
        load_source("idx", root)


@pytest.mark.parametrize("prefix", ["emnist-letters-", "EMNIST-Balanced-"])
def test_the_names_of_emnist_and_capitals_are_known(root: Path, prefix: str) -> None:
    for path in [*root.iterdir()]:
        path.rename(path.with_name(f"{prefix}{path.name.replace('t10k', 'test')}".upper()))
    check(root)


def test_a_folder_named_like_a_file_is_passed_over(root: Path) -> None:
    for path in [*root.iterdir()]:
        path.with_name(f"{path.name}.gz").mkdir()
        path.with_name(path.name.replace("-idx", ".idx")).mkdir()
    check(root)


def test_two_data_sets_in_one_folder_are_not_mixed(root: Path) -> None:
    path = root / "train-images-idx3-ubyte"
    (root / f"emnist-letters-{path.name}").write_bytes(path.read_bytes())
    with pytest.raises(SimclrError, match=r"holds several data sets: .*emnist-letters-train"):
        load_source("idx", root)


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(SimclrError, match=f"data.name=cifar: .*{', '.join(SOURCES)}"):
        load_source("cifar", tmp_path)


def test_synthetic_takes_its_sizes(tmp_path: Path) -> None:
    source = load_source("synthetic", tmp_path, image_size=16, train_size=30, test_size=20, seed=1)
    assert source.train.images.shape == (30, 1, 16, 16)
    assert source.test is not None
    assert source.test.images.shape == (20, 1, 16, 16)


def test_folder_takes_its_size_and_channels(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "train" / "cat").mkdir(parents=True)
    Image.new("RGB", (9, 7), "red").save(tmp_path / "train" / "cat" / "1.png")
    source = load_source("folder", tmp_path, image_size=6, channels=3)
    assert source.train.images.shape == (1, 3, 6, 6)
