"""The command line: `python train.py --help` says what there is."""

import os
import signal
import sys
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simclr.arguments import refused
from simclr.checks import check
from simclr.config import Config, register
from simclr.errors import SimclrError
from simclr.ranks import is_first, run_name

# Before torch is loaded: threads that spin while they wait starve a machine with other work to do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

asked_for_traceback = os.environ.get("HYDRA_FULL_ERROR", "0")
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
    named = ("output_dir=", "hydra.run.dir=", "hydra.sweep.dir=")
    fresh = not any(given.startswith(named) for given in sys.argv[1:])
    check(config, fresh)  # before the seconds that importing torch takes
    from simclr.run import run

    os.environ["HYDRA_FULL_ERROR"] = asked_for_traceback  # other ranks, started by this one
    try:
        return run(config).metrics.get("val_accuracy")
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1"


def explain(error: Exception) -> str:
    """The message for the terminal."""
    if isinstance(error, OSError):
        return f"output_dir: cannot be created or written: {error}"
    cause = error.__cause__
    return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)


def run_main() -> int:
    """Run the jobs and give the exit status; every failure is one message."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra is to raise, not to print
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        if problems := refused(sys.argv[1:]):
            raise SimclrError("\n".join(problems))
        main()
    except Exception as error:
        if asked_for_traceback == "1":
            raise
        print(explain(error), file=sys.stderr)
        hint = "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."
        print(f"\n{hint}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):
            return 130
        if stop.code == 2:  # from argparse
            return 1
        raise
    return 0


if __name__ == "__main__":
    sys.exit(run_main())
