"""Stopped at any moment and gone on with, a run ends as if it had never been stopped."""

import json
import os
import pickle
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import TINY, Ended, at_step, train

from simclr.training.callbacks.checkpoints import AtomicCheckpointIO
from simclr.training.callbacks.progress import Progress

TASKS = {  # an epoch of pretraining has 7 steps, one of the others has 1
    "pretrain": ("task=pretrain", "trainer.max_epochs=3", "trainer.checkpoint_seconds=0"),
    "clustering": (
        *("task=pretrain", "trainer.max_epochs=1", "clustering.max_epochs=2"),  # 7 and 6 steps
        "trainer.checkpoint_seconds=0",
    ),
    "student": (  # 7, 6 and 6 steps
        *("task=pretrain", "trainer.max_epochs=1", "clustering.max_epochs=2"),
        *("student.max_epochs=2", "student.batch_size=64", "student.channels=[8,16,16]"),
        "trainer.checkpoint_seconds=0",
    ),
    "supervised": ("task=supervised", "trainer.max_epochs=12"),
    "benchmark": ("labels.draws=2", "finetune.max_epochs=5", "supervised.max_epochs=5"),
    "semi-supervised": ("labels.draws=2", "methods=[linear_eval,label_spread,self_train]"),
}
Whole = Callable[[str], Path]


@pytest.fixture(scope="module")
def tasks(pretrained: Path) -> dict[str, tuple[str, ...]]:
    """The tasks, and what each is given."""
    weights = f"encoder.weights={pretrained}/encoder.safetensors"
    return TASKS | {
        "finetune": ("task=finetune", "trainer.max_epochs=12", weights),
        "self_train": ("task=self_train", "trainer.max_epochs=2", weights),
    }


@pytest.fixture(scope="module")
def whole(tasks: dict[str, tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Call it with a task, for the output folder of a run of it that nothing stopped."""
    made: dict[str, Path] = {}

    def made_once(task: str) -> Path:
        if task not in made:
            folder = tmp_path_factory.mktemp(task)
            ended = train(*TINY, *tasks[task], "output_dir=whole", folder=folder)
            assert ended.status == 0, ended.err
            made[task] = folder / "whole"
        return made[task]

    return made_once


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return content


def metrics(folder: Path) -> dict[str, float]:
    return {name: v for name, v in results(folder)["metrics"].items() if "seconds" not in name}


def written(folder: Path) -> tuple[int, int]:
    """Which file the results are and when they were written; reading changes neither."""
    stat = (folder / "results.json").stat()
    return stat.st_ino, stat.st_mtime_ns


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize(
    ("task", "step", "signum"),
    [
        ("pretrain", 3, signal.SIGTERM),
        ("pretrain", 7, signal.SIGINT),
        ("pretrain", 21, signal.SIGTERM),
        ("clustering", 7, signal.SIGTERM),
        ("clustering", 9, signal.SIGINT),
        ("clustering", 13, signal.SIGTERM),
        ("student", 13, signal.SIGTERM),
        ("student", 16, signal.SIGINT),
        ("student", 19, signal.SIGTERM),
        ("supervised", 5, signal.SIGINT),
        ("supervised", 12, signal.SIGTERM),
        ("finetune", 5, signal.SIGINT),
        ("self_train", 9, signal.SIGTERM),
    ],
)
def test_told_to_stop_it_leaves_what_goes_on_as_if_never_stopped(
    task: str,
    step: int,
    signum: signal.Signals,
    tasks: dict[str, tuple[str, ...]],
    whole: Whole,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of an epoch, at its end, after the last step, in every stage."""
    arguments = (*TINY, *tasks[task], "output_dir=made")
    with monkeypatch.context() as patched:
        stop = at_step(step, lambda: signal.raise_signal(signum))
        patched.setattr(Progress, "on_train_batch_end", stop)
        stopped = train(*arguments, folder=tmp_path)
    assert stopped.status == 128 + signum
    assert "To go on: the same command with output_dir=made checkpoint=auto\n" in stopped.err
    assert "Traceback" not in stopped.err
    made = tmp_path / "made"
    assert not (made / "results.json").exists()

    ended = train(*arguments, "checkpoint=auto", folder=tmp_path)
    assert ended.status == 0, ended.err
    assert weights(made) == weights(whole(task))
    assert metrics(made) == metrics(whole(task))


def test_slurm_is_asked_for_another_turn_when_the_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "scontrol"
    command.write_text('#!/bin/sh\necho "$@" made/checkpoints/* > asked\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    stop = at_step(3, lambda: signal.raise_signal(signal.SIGUSR1))
    monkeypatch.setattr(Progress, "on_train_batch_end", stop)
    ended = train(*TINY, "task=pretrain", "output_dir=made", folder=tmp_path)
    assert ended.status == 128 + signal.SIGUSR1
    assert (tmp_path / "asked").read_text() == "requeue 7 made/checkpoints/last.ckpt\n"


def test_a_benchmark_goes_on_with_what_is_missing(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second draw's fine-tuning, it repeats nothing that was finished."""
    arguments = (*TINY, *TASKS["benchmark"], "output_dir=made")
    with monkeypatch.context() as patched:
        stop = at_step(7 + (1 + 5 + 5 + 1) + 1 + 3, lambda: signal.raise_signal(signal.SIGTERM))
        patched.setattr(Progress, "on_train_batch_end", stop)
        before = train(*arguments, folder=tmp_path)
    after = train(*arguments, "checkpoint=auto", folder=tmp_path)
    assert stages(before) == [
        *("pretraining, seed 0", "linear_eval, draw 0", "finetune, draw 0"),
        *("supervised, draw 0", "random_encoder, draw 0", "linear_eval, draw 1"),
    ]
    assert stages(after) == [
        *("finetune, draw 1", "supervised, draw 1", "random_encoder, draw 1", "figures"),
    ]
    made = tmp_path / "made"
    assert weights(made) == weights(whole("benchmark"))
    assert metrics(made) == metrics(whole("benchmark"))
    summary = "summary.json"
    assert (made / summary).read_text() == (whole("benchmark") / summary).read_text()


def test_a_benchmark_of_other_methods_goes_on_too_and_with_more_of_them(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first self-training, without one of the methods."""
    task = TASKS["semi-supervised"]
    with monkeypatch.context() as patched:
        stop = at_step(7 + 1 + 1, lambda: signal.raise_signal(signal.SIGTERM))
        patched.setattr(Progress, "on_train_batch_end", stop)
        fewer = (task[0], "methods=[linear_eval,self_train]")
        before = train(*TINY, *fewer, "output_dir=made", folder=tmp_path)
    after = train(*TINY, *task, "output_dir=made", "checkpoint=auto", folder=tmp_path)
    assert stages(before) == ["pretraining, seed 0", "linear_eval, draw 0"]
    assert stages(after) == [
        *("label_spread, draw 0", "self_train, draw 0", "linear_eval, draw 1"),
        *("label_spread, draw 1", "self_train, draw 1", "figures"),
    ]
    assert metrics(tmp_path / "made") == metrics(whole("semi-supervised"))


def stages(ended: Ended) -> list[str]:
    """What a run said it had done."""
    lines = ended.err.splitlines()
    return [line.partition(":")[0] for line in lines if line and not line.startswith("Stopped.")]


def test_a_finished_run_is_not_repeated(whole: Whole, tmp_path: Path) -> None:
    """A sweep that is begun again passes over what is finished; without `auto` it is refused."""
    folder = whole("pretrain")
    before = written(folder)
    again = (*TINY, *TASKS["pretrain"], f"output_dir={folder}")
    ended = train(*again, "checkpoint=auto", folder=tmp_path)
    assert ended.status == 0, ended.err
    assert f"Finished before: {folder}\n" in ended.out
    refused = train(*again, folder=tmp_path)
    assert refused.status == 1
    assert f"output_dir={folder}: holds a finished run (results.json); choose anothe" in refused.err
    assert written(folder) == before


def test_a_checkpoint_may_be_given_by_path(whole: Whole, tmp_path: Path) -> None:
    """Of a finished training, it has nothing left to do."""
    checkpoint = whole("pretrain") / "checkpoints" / "last.ckpt"
    again = (*TINY, *TASKS["pretrain"], f"checkpoint={checkpoint}", "output_dir=made")
    ended = train(*again, folder=tmp_path)
    assert ended.status == 0, ended.err
    assert weights(tmp_path / "made") == weights(whole("pretrain"))
    assert metrics(tmp_path / "made") == metrics(whole("pretrain"))


def test_other_settings_are_refused(whole: Whole, tmp_path: Path) -> None:
    """Each is named; the length of training may change, for who wants more of it."""
    checkpoint = whole("pretrain") / "checkpoints" / "last.ckpt"
    given = (*TINY, "task=pretrain", f"checkpoint={checkpoint}", "output_dir=made")
    refused = train(*given, "loss.temperature=0.3", "head.dim=8", folder=tmp_path)
    assert refused.status == 1
    assert f"checkpoint: the run in {checkpoint} has other settings:" in refused.err
    assert "  loss.temperature=0.3: was 0.5\n" in refused.err
    assert "  head.dim=8: was 16\n" in refused.err
    assert "  trainer.max_epochs" not in refused.err
    assert train(*given, "trainer.max_epochs=4", folder=tmp_path).status == 0


def test_the_first_stage_is_not_longer_once_the_second_has_begun(
    whole: Whole, tmp_path: Path
) -> None:
    """Its checkpoint could not make good the epochs that the first stage lacks."""
    path = whole("clustering") / "checkpoints" / "last.ckpt"
    longer = (*TASKS["clustering"], "trainer.max_epochs=2", f"checkpoint={path}")
    refused = train(*TINY, *longer, "output_dir=made", folder=tmp_path)
    assert refused.status == 1
    assert "  trainer.max_epochs=2: was 1" in refused.err


# Checkpoints that are damaged, or worse


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [bytes, cut, flip_a_bit])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    damage: Callable[[bytes], bytes], whole: Whole, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    shutil.copytree(whole("pretrain") / "checkpoints", made / "checkpoints")
    last = made / "checkpoints" / "last.ckpt"
    last.write_bytes(b"" if damage is bytes else damage(last.read_bytes()))
    given = (*TINY, *TASKS["pretrain"], "output_dir=made")
    by_path = train(*given[:-1], f"checkpoint={last}", "output_dir=other", folder=tmp_path)
    assert by_path.status == 1
    assert f"checkpoint={last}: damaged, or not a checkpoint; " in by_path.err
    ended = train(*given, "checkpoint=auto", folder=tmp_path)
    assert ended.status == 0, ended.err
    assert "Not used: made/checkpoints/last.ckpt: damaged" in ended.out
    assert weights(made) == weights(whole("pretrain"))


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("pack", ["pickle", "torch", "torch in a checkpoint"])
@pytest.mark.parametrize(
    "arguments", [("task=pretrain", "checkpoint"), ("task=linear_eval", "encoder.weights")]
)
def test_code_in_a_file_is_not_run(
    pack: str, arguments: tuple[str, str], whole: Whole, tmp_path: Path
) -> None:
    task, key = arguments
    trap, path = tmp_path / "trap", tmp_path / "file"
    if pack == "pickle":
        path.write_bytes(pickle.dumps(Payload(trap)))
    else:
        last = whole("pretrain") / "checkpoints" / "last.ckpt"
        content = torch.load(last, weights_only=True) if "checkpoint" in pack else {}
        torch.save(content | {"payload": Payload(trap)}, path)
    ended = train(*TINY, task, f"{key}={path}", folder=tmp_path)
    assert ended.status == 1
    assert f"\n{key}={path}: " in ended.err
    assert "Traceback" not in ended.err
    assert not trap.exists()
    torch.load(path, weights_only=False) if pack != "pickle" else pickle.loads(path.read_bytes())
    assert trap.exists()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """A file that cannot be written whole takes nothing away."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises((OSError, RuntimeError)):
            AtomicCheckpointIO().save_checkpoint({"much": torch.rand(10_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert path.read_bytes() == before
