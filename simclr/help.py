"""The parts of `train.py --help` that the code knows: tasks with their meaning, and common keys."""

import shutil
import textwrap

from omegaconf import OmegaConf

from simclr.config.keys import keys_of
from simclr.config.schema import Config
from simclr.methods import METHODS

TASKS = {
    "benchmark": "pretrain once, then compare all methods on several label draws (default)",
    "pretrain": "SimCLR pretraining only",
    "choose_labels": "which images to label, and a page to label them in",
    **{name: method.summary for name, method in METHODS.items()},
}

COMMON_KEYS = (
    *("seed", "pretrain_seeds", "methods", "labels.per_class", "labels.budget"),
    *("labels.draws", "labels.seed", "data.labels"),
    *("trainer.max_epochs", "clustering.max_epochs", "data.root", "data.batch_size"),
    *("loss.temperature", "encoder.weights", "checkpoint", "export", "output_dir"),
)


def register_help() -> None:
    """Make `${tasks:}` and `${keys:}` known to conf/config.yaml."""
    OmegaConf.register_new_resolver("tasks", lambda: _lines(TASKS), replace=True)
    OmegaConf.register_new_resolver("keys", lambda: _lines(_meanings()), replace=True)


def _meanings() -> dict[str, str]:
    """What the schema says of the common keys, with the default where it is a number."""
    known = {name: (value, about["meaning"]) for name, value, about in keys_of(Config())}
    lines = {}
    for name in COMMON_KEYS:
        value, meaning = known[name]
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        lines[name] = f"{meaning} ({value})" if plain else meaning
    return lines


def _lines(meanings: dict[str, str]) -> str:
    """A name and its meaning on each line; a long one goes on below its beginning."""
    width, columns = max(map(len, meanings)), shutil.get_terminal_size().columns
    indent = " " * (width + 4)
    return "\n".join(
        textwrap.fill(
            f"  {name:<{width}}  {meaning}",
            max(columns, width + 40),
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        for name, meaning in meanings.items()
    )
