"""Runs in several processes, as a person starts them: one after the other would take minutes."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TINY, TRAIN, Ended, start, train, wait

pytestmark = pytest.mark.distributed

SMALL = (*TINY, "task=pretrain", "probe.every_steps=0")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
SWEEP = ("-m", *SMALL)
TWO = ("trainer=ddp_cpu", "trainer.devices=2", "trainer.accelerator=cpu")
CPUS = len(os.sched_getaffinity(0))
Started = dict[str, tuple[Path, "subprocess.Popen[str]"]]


@pytest.fixture(scope="module", autouse=True)
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """All of them, begun at once: the folder each works in, and its process."""
    commands = {
        "lightning": (*SMALL, *TWO),
        "torchrun": (*SWEEP, *TWO, "seed=-1,1"),
        "joblib": (*SWEEP, "seed=-1,1", "hydra/launcher=joblib"),
        "submitit": (
            "-m",
            *SMALL,
            "hydra/launcher=submitit_local",
            "hydra.launcher.cpus_per_task=3",
        ),
    }
    processes = {}
    for name, command in commands.items():
        folder = tmp_path_factory.mktemp(name)
        by = TORCHRUN if name == "torchrun" else ()
        threads = None if name == "joblib" else "1"
        processes[name] = folder, start(*command, folder=folder, by=by, OMP_NUM_THREADS=threads)
    yield processes
    for _, process in processes.values():
        process.kill()
        process.wait()


def ended(started: Started, name: str) -> tuple[Ended, Path]:
    """A run that is over, and the one output folder it left."""
    folder, process = started[name]
    over = wait(process)
    (left,) = (folder / "outputs").glob("*/*")
    return over, left


def is_complete(folder: Path) -> bool:
    done = json.loads((folder / "results.json").read_text())["metrics"]["loss"] > 0
    return done and (folder / "encoder.safetensors").exists()


def test_lightning_starts_the_processes_of_a_single_run(started: Started) -> None:
    over, folder = ended(started, "lightning")
    assert over.status == 0, over.err
    assert is_complete(folder)
    assert over.out.count("2 x CPU") == over.out.count("Results: ") == 1


def test_a_sweep_under_torchrun_goes_on_after_a_job_that_fails(started: Started) -> None:
    over, folder = ended(started, "torchrun")
    assert over.status == 1
    assert not (folder / "0" / "results.json").exists()
    assert is_complete(folder / "1")
    assert over.out.count("2 x CPU") == over.out.count("Results: ") == 1
    assert_one_failed(over, folder / "0")


def test_joblib_divides_the_threads_and_goes_on_after_a_job_that_fails(started: Started) -> None:
    over, folder = ended(started, "joblib")
    assert over.status == 1
    assert is_complete(folder / "1")
    assert_one_failed(over, folder / "0")
    assert f"1 x CPU, {max(1, CPUS // 2)} thread" in over.out


def assert_one_failed(over: Ended, folder: Path) -> None:
    """The summary is the end, and in it which job failed and why."""
    reason = "seed=-1: must be between 0 and 2147483647"
    assert over.err.count(reason) == 1
    _, summary = over.err.split("\n1 of 2 jobs failed:\n")
    place = re.escape(str(Path(*folder.parts[-4:])))
    assert re.match(rf"  {place}: train.py .*seed=-1.*\n.*\n      {reason}\n", summary)


def test_submitit_gives_a_job_its_threads(started: Started) -> None:
    over, folder = ended(started, "submitit")
    assert over.status == 0, over.err
    assert is_complete(folder / "0")
    (log,) = folder.glob(".submitit/*/*.out")
    assert f"1 x CPU, {min(2, CPUS)} thread" in log.read_text()


def test_a_sweep_is_not_started_again_by_lightning(tmp_path: Path) -> None:
    """Which is what it would do; the command that works is given, for the copy."""
    arguments = ("-m", "task=pretrain", "seed=1,2", "trainer=ddp_cpu", "trainer.devices=4")
    over = train(*arguments, folder=tmp_path)
    assert over.status == 1
    (reason,) = {path.read_text().split("\n", 1)[1] for path in tmp_path.rglob("error.txt")}
    assert f"torchrun --standalone --nproc-per-node 4 {TRAIN} {' '.join(arguments)}\n" in reason
    assert not list(tmp_path.rglob("results.json"))
