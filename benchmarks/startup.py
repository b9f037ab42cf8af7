"""What a run costs beside its training: seconds to start, seconds to compare, memory.

    python benchmarks/startup.py --json benchmarks/results/startup.json

Needs the data set on disk. What follows the options is for every run, as for train.py. The whole
benchmark is pretrained for one epoch only: what is measured there does not depend on more.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measuring import in_words, markdown, options, quartiles, write_report
from turns import Loop

ONE_EPOCH = ("trainer.max_epochs=1", "clustering.max_epochs=1")
TRAIN = str(Path(__file__).parent.parent / "train.py")


def help_seconds() -> float:
    """Until `train.py --help` has ended."""
    start = time.perf_counter()
    subprocess.run([sys.executable, TRAIN, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def first_step_seconds(overrides: Sequence[str]) -> float:
    """From the start of the interpreter to the end of the first training step."""
    start = time.perf_counter()
    loop = Loop(["pretrain", "0", "1", "task=pretrain", *overrides])
    try:
        loop.wait()
        return time.perf_counter() - start
    finally:
        loop.close()


def benchmark(overrides: Sequence[str]) -> dict[str, float]:
    """Seconds of `train.py` outside its pretraining, and its peak resident size."""
    with tempfile.TemporaryDirectory() as folder:
        command = [TRAIN, *ONE_EPOCH, *overrides, f"output_dir={folder}"]
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise SystemExit(f"train.py ended with status {os.waitstatus_to_exitcode(status)}")
        pretraining = json.loads((Path(folder) / "results.json").read_text())["timing"]
    return {
        "seconds": seconds - pretraining["fit_seconds"],
        "mib": usage.ru_maxrss / 1024,  # kibibytes on Linux
    }


def measure(repeats: int, overrides: Sequence[str]) -> dict[str, Any]:
    def often(seconds: Callable[[], float]) -> dict[str, Any]:
        seconds()  # the files are in the system's cache afterwards
        return quartiles([seconds() for _ in range(repeats)])

    return {
        "help": often(help_seconds),
        "first_step": often(lambda: first_step_seconds(overrides)),
        "benchmark": benchmark(overrides),
    }


def table(results: dict[str, Any]) -> str:
    whole = results["benchmark"]
    rows = [
        ["`python train.py --help`, seconds", in_words(results["help"], ".2f")],
        [
            "until the first training step, imports included, seconds",
            in_words(results["first_step"], ".2f"),
        ],
        ["`python train.py`, all but the training itself, seconds", f"{whole['seconds']:.1f}"],
        ["its peak memory, MiB", f"{whole['mib']:.0f}"],
    ]
    return markdown(["what", "median (quartiles)"], rows)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="starts that are timed")
    arguments, overrides = parser.parse_known_args()
    results = measure(arguments.repeats, overrides)
    print(table(results))
    if arguments.json:
        write_report(arguments.json, kind="startup", settings=overrides, results=results)


if __name__ == "__main__":
    main()
