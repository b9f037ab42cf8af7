"""The command line: `python train.py --help` says what there is."""

import os
import sys
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf

from simclr.checks import check
from simclr.config import Config, register
from simclr.ranks import is_first, run_name

# Before torch is loaded: threads that spin while they wait starve a machine with other work to do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

register()
os.environ["SIMCLR_RUN"] = run_name()  # of the output folder; the jobs of a sweep inherit it
if not is_first():
    sys.argv += ["hydra.output_subdir=null", "hydra/hydra_logging=none"]


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(composed: DictConfig) -> float | None:
    """Run one job; return its validation accuracy, for sweepers that optimise it."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    here = Path.cwd()
    composed.output_dir = str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
    config = cast(Config, OmegaConf.to_object(composed))
    try:
        check(config)  # before the seconds that importing torch takes
        from simclr.run import run

        result = run(config)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        raise CompactHydraException(f"{error}") from error
    return result.metrics.get("val_accuracy")


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):
            sys.exit(130)
        raise
