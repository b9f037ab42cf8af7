"""The environment of a run, on which results depend beside the configuration."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("simclr", "torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "numpy")


def environment(accelerator: str) -> dict[str, Any]:
    """Versions, machine, device and the settings of torch that decide about equality to the bit.

    Args:
        accelerator: `trainer.accelerator` of the configuration.
    """
    import torch

    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    return {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "threads": torch.get_num_threads(),
        },
        "determinism": {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        },
    }


def _processor() -> str:
    """Its name, which Python itself knows on few systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
