"""Streamed images: the same batches, views and resumption as from memory, and errors by name."""

import multiprocessing
import multiprocessing.context
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from simclr.config.augment import AugmentConfig
from simclr.data import folder as folder_module
from simclr.data.datamodule import ContrastiveDataModule, StudentDataModule
from simclr.data.folder import read_folder
from simclr.data.images import Images
from simclr.data.streaming import StreamedBatches, StreamedImages, fits
from simclr.errors import SimclrError
from simclr.views import build_views

UNLABELED, LABELLED = 13, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Own images, unlabelled and labelled, each with noise of its own."""
    made = tmp_path_factory.mktemp("own")
    noise = np.random.default_rng(0)
    names = [f"unlabeled/{index:02}.png" for index in range(UNLABELED)]
    names += [f"train/{'ab'[index % 2]}/{index}.png" for index in range(LABELLED)]
    for name in names:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 255, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / name)
    return made


def unlabelled(root: Path, stream: str) -> Images:
    source = read_folder(root, 8, 3, stream)
    assert source.unlabelled is not None
    return source.unlabelled


def both(root: Path) -> tuple[StreamedImages, Tensor]:
    """The same images, from files and memory, and from memory alone."""
    train = read_folder(root, 8, 3).train.images
    files, memory = unlabelled(root, "always"), unlabelled(root, "never")
    assert isinstance(files, StreamedImages)
    assert isinstance(memory, Tensor)
    return StreamedImages(files.paths, train), torch.cat((memory, train))


def test_they_read_like_a_tensor(root: Path) -> None:
    files, memory = both(root)
    assert len(files) == len(memory)
    assert files.shape == tuple(memory.shape)
    indices = torch.tensor([14, 3, 0, 16, 12, 3])
    for which in (slice(None), slice(3), slice(10, 15), slice(None, None, 4), indices):
        assert torch.equal(files[which], memory[which])
    with torch.inference_mode():
        assert torch.equal(torch.cat(list(files.split(5))), memory)


def test_training_sees_the_same_views(root: Path) -> None:
    files, memory = (
        ContrastiveDataModule(images, build_views(AugmentConfig(rotation=30)), 4, seed=3)
        for images in both(root)
    )
    for one, other in zip(files.example(), memory.example(), strict=True):
        assert torch.equal(one, other)


def test_a_student_sees_the_same_views_and_their_clusters(root: Path) -> None:
    shares = torch.arange(2.0 * (UNLABELED + LABELLED)).view(-1, 2)
    views = build_views(AugmentConfig(rotation=30))
    for files, memory in zip(
        *(
            StudentDataModule(images, shares, views, 4, 3).train_dataloader()
            for images in both(root)
        ),
        strict=True,
    ):
        for one, other in zip(files, memory, strict=True):
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_batches_resume_where_they_were(root: Path) -> None:
    files, _ = both(root)

    def batches() -> StreamedBatches:
        return StreamedBatches(files, 5, seed=1, rank=1, world_size=2, workers=2)

    whole = list(batches())
    assert [len(images) for images, _ in whole] == [2, 2, 2]
    stopped, resumed = batches(), batches()
    next(iter(stopped))
    resumed.load_state_dict(stopped.state_dict())
    rest = list(resumed)
    assert len(rest) == 2
    for (one, seed), (other, same) in zip(whole[1:], rest, strict=True):
        assert torch.equal(one, other)
        assert seed == same


def test_a_broken_file_is_named_without_a_traceback(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    images = StreamedImages([broken], torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(SimclrError, match=rf"^{broken}: cannot be read: [^\n]*$"):
        list(StreamedBatches(images, 2, seed=0, rank=0, world_size=1, workers=1))


def test_it_streams_what_memory_does_not_hold(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits(1_000, (3, 32, 32))
    assert not fits(10**12, (3, 32, 32))
    assert isinstance(unlabelled(root, "auto"), Tensor)
    monkeypatch.setattr(folder_module, "fits", lambda *_: False)
    assert isinstance(unlabelled(root, "auto"), StreamedImages)


def test_a_launcher_with_processes_of_another_kind_is_no_obstacle(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As joblib's, whose processes cannot be copied by torch."""
    monkeypatch.setattr(multiprocessing.context.DefaultContext, "get_start_method", lambda *_: "x")
    monkeypatch.delattr(multiprocessing.context.DefaultContext, "Process")
    files, _ = both(root)
    batches = StreamedBatches(files, 5, seed=1, rank=0, world_size=1, workers=1)
    assert len(list(batches)) == 3
