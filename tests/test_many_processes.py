"""Several processes do what one does: the same weights, draws and scores, and one set of files."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import TINY, configured
from distributed import run_ranks
from torch import Tensor

from simclr.data.splits import load_splits
from simclr.methods.base import Job
from simclr.methods.pretrain import pretrain
from simclr.run import run
from simclr.training.callbacks.progress import Progress

pytestmark = pytest.mark.distributed

FIVE_STEPS = (*TINY, "task=pretrain", "data.train_images=170", "data.batch_size=24")
SHARED = ("trainer.strategy=ddp", "trainer.precision=32-true")


def pretrained_here(*settings: str) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The weights after a pretraining, and what was measured."""
    config = configured(*settings)
    job = Job(config, load_splits(config.data), Path(config.output_dir), Progress(0))
    found = pretrain(job)
    return found.encoder.state_dict(), found.result.metrics


def pretrained_by_rank(rank: int, world_size: int, *settings: str) -> Any:
    as_torchrun_would(rank, world_size)
    return pretrained_here(*settings)


def run_by_rank(rank: int, world_size: int, *settings: str) -> dict[str, float]:
    as_torchrun_would(rank, world_size)
    return run(configured(*settings)).metrics


def as_torchrun_would(rank: int, world_size: int) -> None:
    os.environ |= {"TORCHELASTIC_RUN_ID": "none", "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size)}


@pytest.mark.parametrize(("world_size", "clustered"), [(2, 1), (3, 0)])
def test_the_weights_after_five_steps_are_those_of_one_process(
    world_size: int, clustered: int, tmp_path: Path
) -> None:
    stages = (
        *("clustering.batch_size=24", f"clustering.max_epochs={clustered}"),
        *("student.batch_size=24", f"student.max_epochs={clustered}"),
        "student.channels=[4,8,8,16]",
    )
    settings = (*FIVE_STEPS, *SHARED, *stages, f"output_dir={tmp_path}")
    expected, measured = pretrained_here(*settings, "trainer.strategy=auto")
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 5
    ranks = run_ranks(pretrained_by_rank, world_size, world_size, *settings)
    for weights, metrics in ranks:
        assert metrics["loss"] == pytest.approx(measured["loss"], rel=1e-4)
        assert metrics == pytest.approx(measured, abs=0.021)  # one of 50 images
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-5)
            assert torch.equal(tensor, ranks[0][0][name])


def test_a_benchmark_is_divided_and_whole(benchmarked: Path, tmp_path: Path) -> None:
    settings = (*TINY, "pretrain_seeds=[0,1]", "trainer.strategy=ddp", f"output_dir={tmp_path}")
    first, second = run_ranks(run_by_rank, 2, 2, *settings)
    assert {key: first[key] for key in first if "accuracy" in key} == {
        key: second[key] for key in second if "accuracy" in key
    }
    assert names(tmp_path) == names(benchmarked)
    for folder in (tmp_path, benchmarked):
        result = json.loads((folder / "results.json").read_text())
        assert result["n_test"] == 60
    ours, theirs = rows(tmp_path), rows(benchmarked)
    assert [what(row) for row in ours] == [what(row) for row in theirs]
    for row, other in zip(ours, theirs, strict=True):
        if row["method"] in ("supervised", "random_encoder"):  # nothing there was pretrained
            assert row["test_accuracy"] == other["test_accuracy"]


def names(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results.csv").open()))


def what(row: dict[str, str]) -> tuple[str, ...]:
    return row["method"], row["pretrain_seed"], row["label_seed"], row["labels_sha256"]
