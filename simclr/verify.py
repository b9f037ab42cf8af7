"""`python -m simclr.results verify FOLDER`: does a result come out again?"""

import argparse
import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simclr.config.keys import flat
from simclr.config.schema import Config
from simclr.errors import SimclrError
from simclr.files import read_json
from simclr.training.resume import AUTO

CIRCUMSTANCES = ("images", "versions", "machine", "determinism", "git")


def verify(folder: Path) -> tuple[list[str], list[str]]:
    """Run a result's configuration again and compare.

    Returns:
        What differs between the results, nothing if they are the same to the bit, and what differs
        between the circumstances; a line each, with the value then and now.

    Raises:
        SimclrError: if there is no result, or its configuration does not run any more.
    """
    before = _content(folder)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), before["config"])
        config = OmegaConf.to_object(merged)
        machine = before.get("machine") or {}
        threads = machine.get("threads")  # another number rounds differently
    except (OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SimclrError(
            f"{folder}: of another version, its config is not known: {error}"
        ) from error
    assert isinstance(config, Config)
    config.checkpoint = None if config.checkpoint == AUTO else config.checkpoint
    config.trainer.threads = config.trainer.threads or threads
    config.logger = "none"
    from simclr.run import run

    with TemporaryDirectory() as name, redirect_stdout(sys.stderr):
        config.output_dir = name
        run(config, kept=False)
        now = _content(Path(name))
        differences = list(_compare(_facts(folder, before), _facts(Path(name), now)))
    then_and_now = ({key: part.get(key) or {} for key in CIRCUMSTANCES} for part in (before, now))
    return differences, list(_compare(*(dict(flat(part)) for part in then_and_now)))


def main(arguments: Sequence[str]) -> int:
    """Say whether the result in a folder comes out again; the exit status is 0 if it does."""
    parser = argparse.ArgumentParser("python -m simclr.results verify", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of a finished run")
    folder = parser.parse_args(arguments).folder
    try:
        differences, circumstances = verify(folder)
    except SimclrError as error:
        print(error, file=sys.stderr)
        return 1
    if differences:
        print("Different:", *differences, sep="\n  ")
    else:
        print("Same: metrics, label draws and weights, to the bit")
    if circumstances:
        print("Other circumstances:", *circumstances, sep="\n  ")
    return 1 if differences else 0


def _content(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / "results.json")
    except (OSError, ValueError) as error:
        raise SimclrError(
            f"{folder}: no finished run, results.json cannot be read: {error}"
        ) from error
    if not isinstance(content, dict):
        raise SimclrError(f"{folder}: results.json is not what a run writes")
    return content


def _facts(folder: Path, content: Mapping[str, Any]) -> dict[str, str]:
    """All that a run found out, apart from how long it took."""
    facts = dict(flat({key: content.get(key) for key in ("task", "seed", "n_test", "labels")}))
    facts |= flat({"metrics": _timeless(content.get("metrics", {}))})
    for path in sorted(folder.rglob("*.safetensors")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        facts[str(path.relative_to(folder))] = f"sha256 {digest[:16]}"
    if (folder / "results.csv").exists():
        with (folder / "results.csv").open(newline="") as file:
            for number, row in enumerate(csv.DictReader(file), 1):
                facts |= flat({f"results.csv row {number}": _timeless(row)})
    return facts


def _timeless(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if "seconds" not in name}


def _compare(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in dict.fromkeys((*then, *now)):
        if then.get(key) != now.get(key):
            yield f"{key}: {then.get(key)} then, {now.get(key)} now"
