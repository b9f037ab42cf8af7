"""A fingerprint follows from names and content, and says what changed; it is quick."""

import os
from pathlib import Path
from time import perf_counter

import torch

from simclr.data.fingerprint import WHOLE, changes, of_files, of_tensors, of_texts


def write(folder: Path, **contents: bytes) -> list[Path]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def test_changes_are_named(tmp_path: Path) -> None:
    before = of_files(tmp_path, write(tmp_path, same=b"1", removed=b"2", changed=b"3"))
    (tmp_path / "removed").unlink()
    now = of_files(tmp_path, write(tmp_path, changed=b"4", added=b"2"))
    assert changes(before, now) == ["removed: removed", "added: added", "changed: changed"]
    assert changes(before, before) == []


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


def test_many_small_files_take_little_time(tmp_path: Path) -> None:
    paths = write(tmp_path, **{f"{index:05}": b"x" * 1_000 for index in range(2_000)})
    begun = perf_counter()
    of_files(tmp_path, paths)
    assert perf_counter() - begun < 1


def test_tensors_and_texts(tmp_path: Path) -> None:
    zeros = torch.zeros(2, 3, dtype=torch.uint8)
    assert of_tensors([zeros]) == of_tensors([zeros.clone()])
    assert len({of_tensors([one]) for one in (zeros, zeros.T, zeros + 1, zeros.long())}) == 4
    assert of_texts(["a", "b"]) != of_texts(["b", "a"])
