"""Views per second of pretraining while other programs use the processors.

    python benchmarks/busy.py --json benchmarks/results/busy.json data.root=data

Every run is train.py as a user starts it, which chooses its threads itself; the first row has one
thread and the machine for itself. The rows take turns. What follows the options is for every run.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import in_words, markdown, options, quartiles, write_report

TRAIN = str(Path(__file__).parent.parent / "train.py")
SHORT = (
    *("task=pretrain", "logger=none", "probe.every_steps=0", "data.train_images=12000"),
    *("trainer.max_epochs=5", "clustering.max_epochs=0"),
)
ROWS = (("1", 0), (None, 0), (None, 1), (None, 2))  # OMP_NUM_THREADS, other programs


@contextmanager
def others(count: int) -> Iterator[None]:
    """So many programs that always compute."""
    begun = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in begun:
            one.kill()
            one.wait()


def views_per_second(threads: str | None, busy: int, overrides: Sequence[str]) -> tuple[float, int]:
    """Speed of a pretraining beside `busy` programs, and the threads that it took."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    if threads:
        environment["OMP_NUM_THREADS"] = threads
    with tempfile.TemporaryDirectory() as folder, others(busy):
        command = [sys.executable, TRAIN, *SHORT, *overrides, f"output_dir={folder}"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        found = json.loads((Path(folder) / "results.json").read_text())
    return found["timing"]["views_per_second"], found["config"]["trainer"]["threads"]


def measure(repeats: int, overrides: Sequence[str]) -> list[dict[str, Any]]:
    found = [[views_per_second(own, busy, overrides) for own, busy in ROWS] for _ in range(repeats)]
    rows = []
    for index, (threads, busy) in enumerate(ROWS):
        own = [turn[index] for turn in found]
        ratios = [turn[index][0] / turn[0][0] for turn in found]
        rows.append(
            {
                "threads_given": threads,
                "others": busy,
                "threads": [taken for _, taken in own],
                "views_per_second": quartiles([speed for speed, _ in own]),
                "of_one_thread": quartiles(ratios),
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        many = "s" * (row["others"] > 1)
        beside = f"beside {row['others']} busy program{many}" if row["others"] else "alone"
        return [
            beside + (f", OMP_NUM_THREADS={row['threads_given']}" if row["threads_given"] else ""),
            "/".join(str(threads) for threads in sorted(set(row["threads"]))),
            in_words(row["views_per_second"]),
            f"{row['of_one_thread']['median']:.2f}",
        ]

    header = ["`task=pretrain`", "threads", "views/s (quartiles)", "of one thread alone"]
    return markdown(header, map(cells, rows))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each row")
    arguments, overrides = parser.parse_known_args()
    rows = measure(arguments.repeats, overrides)
    print(table(rows))
    if arguments.json:
        write_report(arguments.json, kind="busy", settings=[*SHORT, *overrides], results=rows)


if __name__ == "__main__":
    main()
