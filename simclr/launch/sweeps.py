"""A job of a Hydra sweep: its part of the machine, and how it fails without stopping the others."""

import atexit
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from simclr.launch.failures import tell_sweep, write_failure
from simclr.launch.folders import remember_new
from simclr.launch.ranks import all_failed, by_torchrun, is_first

# The presets in conf/hydra/launcher have the names of the plugins' own configurations on purpose.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore")


def in_sweep() -> bool:
    """Whether Hydra is running a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def overrides() -> list[str] | None:
    """The overrides of this command or job of a sweep; None without Hydra."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def share_machine() -> None:
    """Give this job its part: the threads its launcher speaks of, and the GPUs in turn.

    Before torch is imported, which looks at the number of threads once.
    """
    hydra = HydraConfig.get()
    os.environ["SIMCLR_GPU"] = str(hydra.job.num)
    if threads := hydra.launcher.get("cpus_per_task"):
        os.environ["OMP_NUM_THREADS"] = str(threads)


def record_failure(folder: Path, error: Exception) -> None:
    """Write the overrides of a failed job and its error into its folder.

    Raises:
        SystemExit: if only some of the processes of a run failed: the sweep cannot go on then.
    """
    write_failure(folder, HydraConfig.get().overrides.task, error)
    if by_torchrun() and not all_failed(str(folder)):
        sys.exit(f"{error}\nNot all processes failed alike: the sweep cannot go on.")


def to_go_on(folder: Path) -> Path:
    """The output folder to name when a run is to go on: of a job, that of its sweep."""
    return Path(HydraConfig.get().sweep.dir) if in_sweep() else folder


class Failures(Callback):
    """Says at the end of a sweep, however it ends, which jobs failed and how to compare them."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        if is_first():
            remember_new(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if is_first():
            atexit.register(tell_sweep, Path(config.hydra.sweep.dir))
            if "submitit" in config.hydra.launcher._target_:
                folder = f"{config.hydra.sweep.dir}/.submitit"
                print(f"What the jobs print is in {folder}", file=sys.stderr)
