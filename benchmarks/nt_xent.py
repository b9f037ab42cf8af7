"""Time and memory of the contrastive loss beside other libraries, forward and backward on the CPU.

    python benchmarks/nt_xent.py --json nt_xent.json

Peers are measured where installed (``pip install -e .[bench]``). Time: after a warm-up the losses
take turns, so that whatever else the machine does meets all of them; median and quartiles. Memory:
how far one pass raises the resident size of a fresh process. One case alone, of any size:

    python benchmarks/nt_xent.py --probe nt_xent 65536
"""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from measuring import in_words, markdown, options, peak_mib, quartiles, reset_peak, write_report
from plain import cross_entropy
from torch import Tensor

from simclr.losses.nt_xent import nt_xent

TEMPERATURE = 0.5
WIDTH = 128

Loss = Callable[[Tensor, Tensor], Tensor]


def losses() -> dict[str, Loss]:
    """Ours, the plain version, and the installed peers."""
    found: dict[str, Loss] = {
        "nt_xent": lambda z0, z1: nt_xent(z0, z1, TEMPERATURE),
        "cross_entropy": lambda z0, z1: cross_entropy(z0, z1, TEMPERATURE),
    }
    if importlib.util.find_spec("lightly"):
        found["lightly"] = importlib.import_module("lightly.loss").NTXentLoss(TEMPERATURE)
    if importlib.util.find_spec("pytorch_metric_learning"):
        peer = importlib.import_module("pytorch_metric_learning.losses")
        found["pytorch-metric-learning"] = peer.SelfSupervisedLoss(peer.NTXentLoss(TEMPERATURE))
    return found


def views(pairs: int) -> tuple[Tensor, Tensor]:
    """Random embeddings, the second view near the first."""
    z0, noise = torch.randn(2, pairs, WIDTH, generator=torch.Generator().manual_seed(0))
    return z0.requires_grad_(), (z0.detach() + noise).requires_grad_()


def forward_backward(loss: Loss, z0: Tensor, z1: Tensor) -> float:
    z0.grad = z1.grad = None
    value = loss(z0, z1)
    torch.autograd.backward(value)
    return value.item()


def probe(name: str, pairs: int) -> dict[str, float]:
    """Loss, seconds and memory of one pass, in a process that may not use all of the machine."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    loss = losses()[name]
    forward_backward(loss, *views(64))
    inputs = views(pairs)
    reset_peak()
    before, start = peak_mib(), time.perf_counter()
    value = forward_backward(loss, *inputs)
    return {
        "loss": value,
        "seconds": time.perf_counter() - start,
        "mib": peak_mib() - before,
    }


def probe_apart(name: str, pairs: int) -> dict[str, float] | None:
    """Probe in a fresh process; None where the loss cannot get its memory."""
    command = [sys.executable, __file__, "--probe", name, str(pairs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        result: dict[str, float] = json.loads(done.stdout)
        return result
    if "alloc" in done.stderr or done.returncode < 0:
        return None
    raise RuntimeError(done.stderr)


def milliseconds(names: list[str], pairs: int, repeats: int) -> dict[str, list[float]]:
    """Times of `repeats` passes of each loss, taken in turns after two for warm-up."""
    contenders = losses()
    inputs = views(pairs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats + 2):
        for name in names:
            start = time.perf_counter()
            forward_backward(contenders[name], *inputs)
            if repeat >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def measure(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    probes = {pairs: {name: probe_apart(name, pairs) for name in losses()} for pairs in sizes}
    rows = []
    for pairs, found in probes.items():
        times = milliseconds([name for name, one in found.items() if one], pairs, repeats)
        for name, one in found.items():
            row: dict[str, Any] = {"name": name, "pairs": pairs}
            if one:
                row |= {"loss": one["loss"], "mib": one["mib"], "ms": quartiles(times[name])}
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        start = [row["name"], str(row["pairs"])]
        if "ms" not in row:
            return [*start, "out of memory", *[""] * 4]
        ours = next(r for r in rows if r["name"] == "nt_xent" and r["pairs"] == row["pairs"])
        return [
            *start,
            in_words(row["ms"], ".1f"),
            f"{row['ms']['median'] / ours['ms']['median']:.1f}",
            f"{row['mib']:.0f}",
            f"{row['mib'] / ours['mib']:.1f}",
            f"{row['loss']:.5f}",
        ]

    header = ["loss", "pairs", "time, ms (quartiles)", "relative", "memory, MiB", "relative"]
    return markdown([*header, "value"], map(cells, rows))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--repeats", type=int, default=15, help="timed passes of each loss")
    parser.add_argument("--probe", nargs=2, metavar=("LOSS", "PAIRS"), help="one pass of one loss")
    arguments = parser.parse_args()
    if arguments.probe:
        name, pairs = arguments.probe
        print(json.dumps(probe(name, int(pairs))))
        return
    rows = measure(arguments.pairs, arguments.repeats)
    print(table(rows))
    if arguments.json:
        write_report(arguments.json, kind="nt_xent", width=WIDTH, results=rows)


if __name__ == "__main__":
    main()
