"""The command line: `python train.py --help` says what there is."""

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from simclr.checks import check
from simclr.config.schema import Config, register
from simclr.errors import SimclrError
from simclr.explain import explain, of_file
from simclr.help import register_help
from simclr.launch.arguments import refused
from simclr.launch.failures import forget_failure
from simclr.launch.folders import remove_empty, write_command
from simclr.launch.ranks import check_environment, is_first, run_name
from simclr.launch.signals import STOP
from simclr.launch.sweeps import in_sweep, record_failure, share_machine
from simclr.pipes import escape_what_cannot_be_written

# Before torch is loaded: waiting threads spin for a moment, which spares them most of their sleeps,
# and no longer, which would starve a machine with other work to do.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

asked_for_traceback = os.environ.get("HYDRA_FULL_ERROR", "0")
register()
register_help()
with suppress(ValueError):  # of a variable that is no number: run_main names it
    os.environ["SIMCLR_RUN"] = run_name()  # of the output folder; jobs of a sweep inherit it


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(composed: DictConfig) -> float | None:
    """Run one job; return its validation accuracy, for sweepers that optimise it."""
    if HydraConfig.initialized():
        folder = Path(HydraConfig.get().runtime.output_dir)
        here = Path.cwd()
        in_words = folder.relative_to(here) if folder.is_relative_to(here) else folder
        composed.output_dir = str(in_words)
    config = cast(Config, OmegaConf.to_object(composed))
    folder = Path(config.output_dir)

    def begin() -> None:
        forget_failure(folder)
        if HydraConfig.initialized():
            write_command(folder, composed)

    if in_sweep():
        share_machine()
    try:
        # before the seconds that importing torch takes
        check(config, fresh_folder=os.environ["SIMCLR_RUN"] in config.output_dir)
        from simclr.run import run

        os.environ["HYDRA_FULL_ERROR"] = asked_for_traceback  # other ranks, started by this one
        return run(config, begin).metrics.get("val_accuracy")
    except Exception as error:
        if isinstance(error, OSError):
            error = SimclrError(of_file(error, folder)).with_traceback(error.__traceback__)
        if not in_sweep():
            raise error
        record_failure(folder, error)
        if not is_first():  # which reports it; this one must not end before
            return None
        raise SimclrError("A job of this sweep failed.") from error
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1"


def run_main() -> int:
    """Run the jobs and give the exit status; every failure is one message."""
    escape_what_cannot_be_written()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra is to raise, not to print
    for signum in STOP[1:]:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as under nohup
            signal.signal(signum, lambda signum, frame: sys.exit(128 + signum))
    try:
        check_environment()
        if not is_first():
            sys.argv += ["hydra/hydra_logging=none"]
            logging.getLogger("hydra").setLevel(logging.ERROR)  # also once a job has set up its own
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
    finally:
        remove_empty()
    return 0


if __name__ == "__main__":
    sys.exit(run_main())
