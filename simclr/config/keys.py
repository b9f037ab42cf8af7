"""Keys of the configuration: how the schema declares them, and their dotted names."""

import json
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import field, fields, is_dataclass
from typing import Any


def key(
    default: Any,
    meaning: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] = (),
    shapes_model: bool = True,
    scaled: bool = False,
) -> Any:
    """A field of the configuration.

    Args:
        default: its value unless something else is chosen.
        meaning: one line; the common keys show it in `--help`.
        at_least: least value; of a list, of each of its values.
        at_most: largest value, likewise.
        below: all values are less than this.
        choices: the values there are; empty where a registry lists them (see simclr/checks.py).
        shapes_model: whether a trained model can depend on the key. A stopped run may go on with
            another value if not, and tables of many runs leave the key out.
        scaled: whether a share of the views' strength multiplies the value (see `milder`).
    """
    bounds = {"at_least": at_least, "at_most": at_most, "below": below}
    about = {"meaning": meaning, "choices": choices, "shapes_model": shapes_model}
    return field(
        default_factory=lambda: copy(default), metadata=about | bounds | {"scaled": scaled}
    )


def keys_of(part: Any, prefix: str = "") -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Dotted name, value, and what `key` declared, of all keys of a configuration."""
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(value):
            yield from keys_of(value, f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}", value, one.metadata


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys, and values as text."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
