"""Many runs at once, and many in one process."""

import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import torch
from command_line import TINY, configured, do
from distributed import forkserver

from simclr.data import sources
from simclr.data.idx import write_idx
from simclr.data.published import MNIST, Published, read_published
from simclr.data.synthetic import draw_source
from simclr.run import run

RUNS = int(os.environ.get("LOAD_RUNS", "3"))
JOBS = int(os.environ.get("LOAD_JOBS", "6"))


def fetch(kept: Path, log: Path, files: Sequence[str], folder: Path) -> None:
    """Copy the files from where they are kept, and note that."""
    with log.open("a") as file:
        file.write("fetched\n")
    for name in files:
        shutil.copy(kept / name, folder)


def run_at_once(start: Barrier, folder: Path, number: int, md5: dict[str, str]) -> None:
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    one = partial(fetch, folder / "kept", folder / "fetches")
    sources.PUBLISHED["mnist"] = Published("MNIST", md5, MNIST.classes)
    sources.read_published = partial(  # type: ignore[attr-defined]
        read_published, fetches=lambda _: {"local": one}
    )
    settings = ("data.name=mnist", f"data.root={folder}/data", "task=supervised")
    start.wait(120)
    run(configured(*TINY, *settings, f"output_dir={folder}/runs/{number}"))


@pytest.mark.slow
def test_runs_that_start_at_once_fetch_once_and_all_finish(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    source = draw_source(train_size=300, test_size=60, image_size=28, seed=0)
    assert source.test is not None
    parts = [part for split in (source.train, source.test) for part in (split.images, split.labels)]
    md5 = {}
    for name, tensor in zip(MNIST.md5, parts, strict=True):
        path = tmp_path / "kept" / name
        write_idx(path, tensor.squeeze(1).to(torch.uint8) if tensor.ndim > 1 else tensor.byte())
        md5[name] = hashlib.md5(path.read_bytes()).hexdigest()
    context = forkserver()
    start = context.Barrier(RUNS)
    processes = [
        context.Process(target=run_at_once, args=(start, tmp_path, number, md5))
        for number in range(RUNS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * RUNS
    assert (tmp_path / "fetches").read_text() == "fetched\n"
    found = [path.read_text() for path in (tmp_path / "runs").glob("*/results.json")]
    assert len({json.dumps(json.loads(text)["metrics"]) for text in found}) == 1
    assert len(found) == RUNS


def held() -> dict[str, int]:
    """What this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "processes": len(multiprocessing.active_children()),
        "MiB": pages * os.sysconf("SC_PAGE_SIZE") >> 20,
    }


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what Linux tells")
def test_jobs_in_one_process_hold_nothing_when_they_are_done(tmp_path: Path) -> None:
    """As a sweep runs them; what the first two need once, caches for example, stays."""
    counts = []
    for job in range(JOBS):
        task = ("pretrain", "supervised")[job % 2]
        do(tmp_path / str(job), f"task={task}", f"seed={job}", "logger=tensorboard")
        counts.append(held())
    print(json.dumps(counts))
    first, last = counts[1], counts[-1]
    for kind in ("files", "threads", "processes"):
        assert last[kind] <= first[kind], kind
    assert last["MiB"] <= first["MiB"] + 100
