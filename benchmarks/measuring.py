"""What all benchmarks share: options, quartiles, peak memory, what was measured on what."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    *("torch", "torchvision", "lightning", "hydra-core"),
    *("lightly", "pytorch-metric-learning", "kornia"),
)


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows where to write the results; a benchmark adds what is its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    return parser


def quartiles(values: Sequence[float]) -> dict[str, Any]:
    """Median and the quartiles around it."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "iqr": [low, high]}


def in_words(found: Mapping[str, Any], form: str = ".0f") -> str:
    """The median and the quartiles that `quartiles` found, for a cell of a table."""
    low, high = found["iqr"]
    return f"{found['median']:{form}} ({low:{form}} to {high:{form}})"


def peak_mib() -> float:
    """Peak resident size of this process since it was last reset (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    names = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in names if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "load": os.getloadavg()[0],
        "platform": platform.platform(),
    }


def versions() -> dict[str, str]:
    installed = {one.metadata["Name"] for one in importlib.metadata.distributions()}
    found = {name: importlib.metadata.version(name) for name in PACKAGES if name in installed}
    return {"python": platform.python_version()} | found


def write_report(path: Path, **content: Any) -> None:
    """Write what was measured, and on what, as JSON."""
    report = {"machine": machine(), "versions": versions(), **content}
    path.write_text(json.dumps(report, indent=2) + "\n")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
