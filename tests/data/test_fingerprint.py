"""A fingerprint follows from names and content, and says what changed."""

import os
from pathlib import Path

import torch

from simclr.data.fingerprint import WHOLE, of_files, of_parts, of_tensors, of_texts


def write(folder: Path, **contents: bytes) -> list[Path]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def test_the_part_that_changed_is_told(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    test = write(tmp_path / "test", a=b"1")
    before = of_parts(of_files(tmp_path, write(tmp_path / "train", a=b"1", b=b"2") + test))
    assert before["train"].startswith("2 images, ")
    changed = of_parts(of_files(tmp_path, write(tmp_path / "train", b=b"3") + test))
    assert changed["train"] != before["train"]
    assert changed["test"] == before["test"]


def test_times_and_places_do_not_matter(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one = of_files(tmp_path / "one", write(tmp_path / "one", a=b"1"))
    paths = write(tmp_path / "other", a=b"1")
    os.utime(paths[0], (0, 0))
    assert of_files(tmp_path / "other", paths) == one


def test_beginning_and_end_of_large_files_count(tmp_path: Path) -> None:
    content = bytearray(3 * WHOLE)
    before = of_files(tmp_path, write(tmp_path, large=bytes(content)))
    for place in (0, WHOLE - 1, 2 * WHOLE, 3 * WHOLE - 1):
        changed = content.copy()
        changed[place] = 1
        assert of_files(tmp_path, write(tmp_path, large=bytes(changed))) != before


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    assert of_files(tmp_path, [tmp_path / "gone"]) == {"gone": ""}


def test_tensors_and_texts(tmp_path: Path) -> None:
    zeros = torch.zeros(2, 3, dtype=torch.uint8)
    assert of_tensors([zeros]) == of_tensors([zeros.clone()])
    assert len({of_tensors([one]) for one in (zeros, zeros.T, zeros + 1, zeros.long())}) == 4
    assert of_texts(["a", "b"]) != of_texts(["b", "a"])
