"""Pretraining on a folder of many JPEG files: until the first step, and streamed or from memory.

    python benchmarks/folder.py --json benchmarks/results/folder.json

The files are drawn digits of 32 pixels, hundreds of them written and then linked under new names.
Training has one thread, so that decoding has the other core. What follows the options is for every
run, as for train.py.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from loops import configured
from measuring import in_words, markdown, options, quartiles, write_report
from startup import first_step_seconds
from throughput import common
from torchvision.io import write_jpeg
from turns import take_turns

from simclr.data.synthetic import draw_digits

DRAWN, SIDE = 500, 32
WARM, TIMED = 10, 40


def write_files(folder: Path, count: int) -> None:
    """`count` files in `unlabeled/`, a thousand in each folder below it."""
    images = draw_digits(DRAWN, SIDE, torch.Generator().manual_seed(0)).images
    for number in range(count):
        path = folder / "unlabeled" / str(number // 1_000) / f"{number}.jpg"
        if number % 1_000 == 0:
            path.parent.mkdir(parents=True)
        if number < DRAWN:
            write_jpeg(images[number], str(path))
        else:
            os.link(folder / "unlabeled" / "0" / f"{number % DRAWN}.jpg", path)


def measure(count: int, repeats: int, overrides: Sequence[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), count)
        data = ("data=folder", f"data.root={folder}", f"data.image_size={SIDE}", *overrides)
        kinds = {"in memory": "data.stream=never", "streamed": "data.stream=always"}
        settings = {
            name: [*common([*data, how]), "trainer.threads=1"] for name, how in kinds.items()
        }
        first = {name: first_step_seconds(own) for name, own in settings.items()}
        commands = {
            name: ["pretrain", str(WARM), str(TIMED), *own] for name, own in settings.items()
        }
        turns = take_turns(commands, repeats)
    views = 2 * configured([*data]).data.batch_size
    return [
        {
            "images": name,
            "files": count,
            "first_step_seconds": first[name],
            "views_per_second": quartiles([views / turn["seconds"] for turn in turns[name]]),
        }
        for name in kinds
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        return [
            row["images"],
            str(row["files"]),
            f"{row['first_step_seconds']:.1f} s",
            in_words(row["views_per_second"]),
        ]

    header = ["images", "files", "until the first step", "views/s (quartiles)"]
    return markdown(header, map(cells, rows))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7, help="turns of each")
    arguments, overrides = parser.parse_known_args()
    rows = measure(arguments.files, arguments.repeats, overrides)
    print(table(rows))
    if arguments.json:
        write_report(arguments.json, kind="folder", settings=overrides, results=rows)


if __name__ == "__main__":
    main()
