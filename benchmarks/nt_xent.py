"""Time and memory of the contrastive loss beside other libraries, forward and backward on the CPU.

    python benchmarks/nt_xent.py --json nt_xent.json

Peers are measured where installed (``pip install -e .[bench]``). Time: after a warm-up the losses
take turns, so that whatever else the machine does meets all of them; median and quartiles. Memory:
how far one pass raises the resident size of a fresh process. One case alone, of any size:

    python benchmarks/nt_xent.py --probe nt_xent 65536
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.nt_xent import nt_xent

TEMPERATURE = 0.5
WIDTH = 128
PEERS = ("lightly", "pytorch-metric-learning")

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(z0: Tensor, z1: Tensor) -> Tensor:
    """Classify each embedding's positive among all others: the loss as tutorials write it."""
    z = F.normalize(torch.cat((z0, z1)))
    logits = z @ z.T / TEMPERATURE
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z0)))


def losses() -> dict[str, Loss]:
    """Ours, the plain version, and the installed peers."""
    found: dict[str, Loss] = {
        "nt_xent": lambda z0, z1: nt_xent(z0, z1, TEMPERATURE),
        "cross_entropy": cross_entropy,
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


def peak_mib() -> float:
    """Peak resident size of this process since it was last reset (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


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
                low, median, high = statistics.quantiles(times[name], n=4)
                row |= {"loss": one["loss"], "mib": one["mib"], "ms": median, "iqr": [low, high]}
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| pairs | loss | time, ms (quartiles) | relative | memory, MiB | relative | value |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        start = f"| {row['pairs']} | {row['name']} | "
        if "ms" not in row:
            lines.append(start + "out of memory | | | | |")
            continue
        ours = next(r for r in rows if r["name"] == "nt_xent" and r["pairs"] == row["pairs"])
        low, high = row["iqr"]
        lines.append(
            start + f"{row['ms']:.1f} ({low:.1f} to {high:.1f}) | {row['ms'] / ours['ms']:.1f} | "
            f"{row['mib']:.0f} | {row['mib'] / ours['mib']:.1f} | {row['loss']:.5f} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    names = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in names if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "platform": platform.platform(),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for peer in PEERS:
        if importlib.util.find_spec(peer.replace("-", "_")):
            found[peer] = importlib.metadata.version(peer)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--repeats", type=int, default=15, help="timed passes of each loss")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    parser.add_argument("--probe", nargs=2, metavar=("LOSS", "PAIRS"), help="one pass of one loss")
    arguments = parser.parse_args()
    if arguments.probe:
        name, pairs = arguments.probe
        print(json.dumps(probe(name, int(pairs))))
        return
    rows = measure(arguments.pairs, arguments.repeats)
    print(table(rows))
    if arguments.json:
        report = {"machine": machine(), "versions": versions(), "width": WIDTH, "results": rows}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
