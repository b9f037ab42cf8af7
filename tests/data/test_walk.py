"""What is found below a folder: through links, without loops, and with a word on what is left."""

import logging
import os
from pathlib import Path

import pytest
from PIL import Image

from simclr.data.folder import read_folder
from simclr.data.walk import AGAIN, DANGLING, FOREIGN, HIDDEN, find_images, readable


def save(path: Path, value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), value).save(path)
    return path


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_images(folder).images]


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "1.png")
    save(tmp_path / "root" / "2.png")
    (tmp_path / "root" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    assert names(tmp_path / "root") == ["2.png", "3.png", "more/1.png"]


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        save(tmp_path / "photos" / name / "1.png", number)
        (tmp_path / "root" / "train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / "train" / name).symlink_to(tmp_path / "photos" / name)
    source = read_folder(tmp_path / "root", 8, 1)
    assert source.classes == ("cat", "dog")
    assert source.train.images[:, 0, 0, 0].tolist() == [0, 1]


def test_a_loop_ends_and_never_leads_to_other_parts(tmp_path: Path) -> None:
    save(tmp_path / "unlabeled" / "deep" / "1.png")
    save(tmp_path / "test" / "a" / "secret.png")
    (tmp_path / "unlabeled" / "root").symlink_to(tmp_path)
    (tmp_path / "unlabeled" / "deep" / "up").symlink_to(tmp_path / "unlabeled")
    found = find_images(tmp_path / "unlabeled")
    assert [path.name for path in found.images] == ["1.png"]
    assert len(found.left_out[AGAIN]) == 2


def test_links_to_nothing_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "train" / "a" / "1.png")
    (tmp_path / "train" / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "train" / "b").symlink_to(tmp_path / "nowhere")
    source = read_folder(tmp_path, 8, 1)
    assert source.classes == ("a",)
    assert source.left_out == {DANGLING: 2}
    assert f"{tmp_path}/train/a/gone.png" in caplog.text
    assert f"{tmp_path}/train/b" in caplog.text


@pytest.mark.parametrize("system", ["@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".cache"])
def test_folders_of_the_system_are_no_classes(tmp_path: Path, system: str) -> None:
    save(tmp_path / "train" / "a" / "1.png")
    save(tmp_path / "train" / "a" / system / "1.png")
    save(tmp_path / "train" / system / "1.png")
    source = read_folder(tmp_path, 8, 1)
    assert source.classes == ("a",)
    assert len(source.train.labels) == 1
    assert source.left_out == {HIDDEN: 2}


def test_foreign_files_are_counted_in_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "train" / "a" / "1.png")
    for name in ("train/a/x.h5", "train/a/y.mpg", "train/a/z.mpg", "test/a/w.eps", "val/a/v"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("no image")
    save(tmp_path / "test" / "a" / "1.png")
    save(tmp_path / "val" / "a" / "1.png")
    source = read_folder(tmp_path, 8, 1)
    assert source.left_out == {FOREIGN: 5}
    (message,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "5 files (.eps: 1, .h5: 1, .mpg: 2, no extension: 1)" in message


def test_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    strange = tmp_path / "train" / "a" / os.fsdecode(b"caf\xe9.png")
    save(tmp_path / "train" / "a" / "1.png").rename(strange)
    source = read_folder(tmp_path, 8, 1)
    assert len(source.train.labels) == 1
    assert readable(strange.name).encode() == b"caf\\udce9.png"
    assert list(source.files) == ["train/a/caf\\udce9.png"]


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    save(tmp_path / "train" / "caf\u00e9" / "1.png")
    save(tmp_path / "test" / "cafe\u0301" / "1.png")
    source = read_folder(tmp_path, 8, 1)
    assert source.classes == ("caf\u00e9",)
    assert source.test is not None
    assert source.test.labels.tolist() == [0]
