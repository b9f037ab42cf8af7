"""Output folders, which Hydra would make and write to too early."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

SUBFOLDER = ".hydra"

_new: list[Path] = []


def remember_new(folder: Path) -> None:
    """Note which of a folder and its parents do not exist yet, before Hydra makes them."""
    _new.extend(path for path in (folder, *folder.parents) if not path.exists())


def remove_empty() -> None:
    """Remove the noted folders that are still empty, so that a refused command leaves nothing."""
    while _new:
        with suppress(OSError):
            _new.pop(0).rmdir()


def write_command(folder: Path, composed: DictConfig) -> None:
    """Write .hydra/ when the folder is known to be this run's; Hydra would write it earlier."""
    (folder / SUBFOLDER).mkdir(parents=True, exist_ok=True)
    hydra: Any = HydraConfig.instance().cfg
    parts = {"config": composed, "hydra": hydra, "overrides": hydra.hydra.overrides.task}
    for name, part in parts.items():
        OmegaConf.save(part, folder / SUBFOLDER / f"{name}.yaml")
