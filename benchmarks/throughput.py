"""Views per second of pretraining on the CPU, beside a bare loop and other libraries.

    python benchmarks/throughput.py --json benchmarks/results/throughput.json
    python benchmarks/throughput.py --scaling --json benchmarks/results/scaling.json

Every contestant (loops.py) trains the same encoder and head at the same batch size and precision in
a process of its own; they take turns (turns.py). Peers need ``pip install -e .[bench]``. What
follows the options is for all contestants, as for train.py: ``data=synthetic encoder=cnn_wide``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from loops import configured
from measuring import in_words, markdown, options, quartiles, write_report
from turns import take_turns

CONTESTANTS = ("bare", "bare_nt_xent", "pretrain", "usual", "kornia", "torchvision", "lightly")
WARM, TIMED = 5, 8  # steps of a turn; two workers keep up to four batches ready
SCALING: dict[str, tuple[tuple[str, ...], ...]] = {
    "images in a batch": tuple((f"data.batch_size={size}",) for size in (64, 256, 1024, 4096)),
    "pixels per side": tuple((f"data.image_size={side}",) for side in (28, 48, 64, 96)),
    "width of the encoder": (
        ("encoder.channels=[8,16,32,64]",),
        ("encoder.channels=[16,32,64,128]",),
        ("encoder.channels=[32,64,128,256]",),
    ),
    "images in memory": tuple((f"data.train_images={n}",) for n in (6_000, 60_000, 600_000)),
}


def common(overrides: Sequence[str]) -> list[str]:
    """What holds for all contestants."""
    native = torch.cpu._is_avx512_bf16_supported()
    return [
        *("task=pretrain", "trainer=cpu", "probe.every_steps=0", "trainer.max_epochs=1000"),
        f"trainer.precision={'bf16-mixed' if native else '32-true'}",
        f"trainer.threads={torch.get_num_threads()}",
        *overrides,
    ]


def compare(names: Sequence[str], repeats: int, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Each contestant's speed, and its ratio to the bare loop's in the same round."""
    tail = [str(WARM), str(TIMED), *common(overrides)]
    turns = take_turns({name: [name, *tail] for name in names}, repeats)
    views = 2 * configured([*overrides]).data.batch_size
    rows = []
    for name, own in turns.items():
        ratios = [b["seconds"] / o["seconds"] for b, o in zip(turns["bare"], own, strict=True)]
        rows.append(
            {
                "name": name,
                "views_per_second": quartiles([views / turn["seconds"] for turn in own]),
                "of_bare": quartiles(ratios),
                "loss": own[-1]["loss"],
                "mib": own[-1]["mib"],
            }
        )
    return rows


def scale(repeats: int, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Speed and memory of pretraining as one thing at a time grows."""
    rows = []
    for what, cases in SCALING.items():
        for case in cases:
            settings = ["data=synthetic", "data.train_images=12000", *overrides, *case]
            command = ["pretrain_repeated", "1", "2", *common(settings)]
            (turns,) = take_turns({"pretrain": command}, repeats).values()
            views = 2 * configured(settings).data.batch_size
            speed = quartiles([views / turn["seconds"] for turn in turns])
            row = {"grows": what, "case": case[0], "views_per_second": speed}
            rows.append(row | {"mib": turns[-1]["mib"]})
    return rows


def compared_table(rows: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        return [
            row["name"],
            in_words(row["views_per_second"]),
            in_words(row["of_bare"], ".2f"),
            f"{row['loss']:.3f}",
            f"{row['mib']:.0f}",
        ]

    header = ["loop", "views/s (quartiles)", "of the bare loop", "last loss", "memory, MiB"]
    return markdown(header, map(cells, rows))


def scaling_table(rows: Sequence[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        rate = in_words(row["views_per_second"])
        return [row["grows"], f"`{row['case']}`", rate, f"{row['mib']:.0f}"]

    return markdown(
        ["what grows", "setting", "views/s (quartiles)", "memory, MiB"], map(cells, rows)
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="turns of each contestant")
    parser.add_argument("--only", action="append", choices=CONTESTANTS, help="may be repeated")
    parser.add_argument("--scaling", action="store_true", help="how cost grows, instead")
    arguments, overrides = parser.parse_known_args()
    if arguments.scaling:
        rows = scale(arguments.repeats, overrides)
        print(scaling_table(rows))
    else:
        rows = compare(arguments.only or CONTESTANTS, arguments.repeats, overrides)
        print(compared_table(rows))
    if arguments.json:
        kind = "scaling" if arguments.scaling else "throughput"
        write_report(arguments.json, kind=kind, settings=common(overrides), results=rows)


if __name__ == "__main__":
    main()
