"""Arguments that the command line refuses, because they could bring in code.

Hydra takes configuration files from anywhere, a pickled one included, and calls what `_target_` in
them names. Here configuration is conf/ and KEY=VALUE, and nothing in it names code.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"
ELSEWHERE = ("--config-dir", "--config-path", "--config-name", "--experimental-rerun")
SHORT = ("-cd", "-cp", "-cn")
HYDRA_KEYS = (  # a closing dot: and all below
    *("hydra.run.", "hydra.sweep.", "hydra.launcher.", "hydra.sweeper."),
    *("hydra.job.name", "hydra.job.num", "hydra.job.id", "hydra.mode", "hydra.verbose"),
    "hydra.output_subdir",  # Lightning sets it to null for the processes that it starts
)


def refused(arguments: Sequence[str]) -> list[str]:
    """A line for each refused argument, with the reason and what is allowed instead."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    return [line for argument in arguments for line in _problems(argument, groups)]


def _problems(argument: str, groups: set[str]) -> Iterator[str]:
    name, equals, value = argument.partition("=")
    if argument.startswith("-"):
        abbreviated = len(name) > 3 and any(option.startswith(name) for option in ELSEWHERE)
        if name in SHORT or abbreviated:
            yield f"{argument}: configuration comes from conf/ and KEY=VALUE alone"
        return
    key = name.lstrip("+~").partition("@")[0]
    if not key:
        yield f"{argument}: must be KEY=VALUE"
    elif "_target_" in argument:
        yield f"{argument}: _target_ names code, which comes from conf/ alone"
    elif key == "hydra" or (key.startswith("hydra.") and not key.startswith(HYDRA_KEYS)):
        yield f"{argument}: of Hydra's own keys only {', '.join(HYDRA_KEYS)} can be set"
    elif key in groups or "/" in key:
        wrong = any(part in value for part in ("/", "\\", "$", ".."))
        if wrong or value.isdigit() or (value in ("", "null") and key != "experiment" and equals):
            yield f"{argument}: must be the name of a file in conf/{key}/, without .yaml"


def written(key: str, value: object) -> str:
    """KEY=VALUE as it is typed, quoted for Hydra and for the shell where they need it."""
    text = str(value)
    if not re.fullmatch(r"[\w/.:%+@-]+", text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return shlex.quote(f"{key}={text}")
