"""Keys of a configuration as dotted names, and what they mean for comparisons of runs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

SEEDS = {"seed", "labels.seed", "data.split_seed"}  # averaged over
BOOKKEEPING = {  # without influence on a trained model
    "task",
    "output_dir",
    "checkpoint",
    "export",
    "logger",
    "pretrain_seeds",
    "labels.draws",
    "methods",
    "trainer.log_every_n_steps",
    "trainer.checkpoint_seconds",
}


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys, and values as text."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
