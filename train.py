"""The command line: `python train.py --help` says what there is."""

import logging
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simclr.checks import check
from simclr.config.keys import flat
from simclr.config.schema import Config, register
from simclr.errors import SimclrError
from simclr.help import register_help
from simclr.launch.arguments import refused
from simclr.launch.failures import forget_failure
from simclr.launch.folders import remove_empty, write_command
from simclr.launch.ranks import check_environment, is_first, run_name
from simclr.launch.signals import STOP
from simclr.launch.sweeps import in_sweep, record_failure, share_machine
from simclr.methods import METHODS
from simclr.pipes import escape_what_cannot_be_written

# Before torch is loaded: waiting threads spin for some ten microseconds, which spares them most of
# their sleeps, and not for milliseconds, which starves a machine with other work to do.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

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
            error = SimclrError(_of_file(error, folder)).with_traceback(error.__traceback__)
        if not in_sweep():
            raise error
        record_failure(folder, error)
        if not is_first():  # which reports it; this one must not end before
            return None
        raise SimclrError("A job of this sweep failed.") from error
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1"


def explain(error: Exception) -> str:
    """The message for the terminal."""
    if isinstance(error, HydraException):
        return "\n".join([*_without_advice(f"{error}\n{error.__cause__ or ''}"), *_nearest(error)])
    if isinstance(error, OSError):  # by Hydra, which makes the folder
        return f"output_dir: cannot be created or written: {error}"
    cause = error.__cause__
    return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)


def _without_advice(message: str) -> list[str]:
    """Lines of Hydra's message, but not its advice, which is refused here, nor where it looks."""
    shown, _, _ = message.rstrip().partition("\nConfig search path:")
    return [line for line in shown.split("\n") if not line.startswith("To append to your config")]


def _nearest(error: HydraException) -> list[str]:
    """What may have been meant: another choice of the group, or a key with that name."""
    if isinstance(error, MissingConfigException):
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        near = [f"{group}={choice}" for choice in get_close_matches(name, error.options or (), 1)]
    else:
        named = re.match(r"Could not override '([\w.]+)'", str(error))
        name = named[1].rpartition(".")[2] if named else ""
        keys: dict[str, list[str]] = {}
        for key, _ in flat(asdict(Config())):
            keys.setdefault(key.rpartition(".")[2], []).append(key)
        near = [key for close in get_close_matches(name, keys, 1) for key in keys[close]]
        near.sort(key=lambda key: key.partition(".")[0] in (*METHODS, "clustering"))
    return [f"Did you mean {' or '.join(near[:2])}?"] if near else []


def _of_file(error: OSError, folder: Path) -> str:
    """What the system refused, and of which file: of the output folder if it is not another."""
    if error.errno is None:
        return f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return f"output_dir={folder}: was deleted while this run was writing to it"
    name = error.filename
    if name is None or Path(str(name)).absolute().is_relative_to(folder.absolute()):
        return f"output_dir: cannot be created or written: {error}"
    return f"{name}: {error.strerror}"


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
