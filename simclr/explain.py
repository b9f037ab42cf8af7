"""Messages for errors of Hydra and of the file system."""

import re
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from simclr.config.keys import flat
from simclr.config.schema import Config
from simclr.methods import METHODS


def explain(error: Exception) -> str:
    """The message for the terminal, with a suggestion where a name was mistyped."""
    if isinstance(error, HydraException):
        return "\n".join([*_without_advice(f"{error}\n{error.__cause__ or ''}"), *_nearest(error)])
    if isinstance(error, OSError):  # by Hydra, which makes the folder
        return f"output_dir: cannot be created or written: {error}"
    if isinstance(error, ValueError) and _raised_by(error, "omegaconf"):  # no number in a list
        return f"A list is set as a whole, as in 'methods=[linear_eval,pixels]': {error}"
    cause = error.__cause__
    return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)


def _raised_by(error: Exception, package: str) -> bool:
    """Whether the code that raised it is that package's own."""
    return package in Path(extract_tb(error.__traceback__)[-1].filename).parts


def _without_advice(message: str) -> list[str]:
    """Lines of Hydra's message, but not its advice, which is refused here, nor where it looks."""
    shown, _, _ = message.rstrip().partition("\nConfig search path:")
    return [line for line in shown.split("\n") if not line.startswith("To append to your config")]


def _nearest(error: HydraException) -> list[str]:
    """Suggest another choice of the group, or a key with that name."""
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


def of_file(error: OSError, folder: Path) -> str:
    """The message for what the system refused, with the file; by default the output folder."""
    if error.errno is None:
        return f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return f"output_dir={folder}: was deleted while this run was writing to it"
    name = error.filename
    if name is None or Path(str(name)).absolute().is_relative_to(folder.absolute()):
        return f"output_dir: cannot be created or written: {error}"
    return f"{name}: {error.strerror}"
