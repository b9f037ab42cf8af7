"""finished.jsonl: what a benchmark has done so far, so that going on repeats nothing."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simclr.config.schema import Config
from simclr.errors import SimclrError
from simclr.files import parse_json, read_text
from simclr.reports.results import Result, as_result
from simclr.training.resume import MAY_CHANGE, same_images, same_settings

Line = dict[str, Any]


class Ledger:
    """The results of a benchmark's trainings, each on disk as soon as it is known.

    The first line of a file holds the configuration and the fingerprint of the images, every other
    one a result. A line that a kill cut off is as good as not written. Each of several processes
    has a file, and reads all.

    Args:
        folder: the output folder of the run; what is in its files counts as done.
        config: of the run.
        images: the fingerprint of its data.
        rank: of this process.

    Raises:
        SimclrError: if the results in a file come from other settings or images.
    """

    def __init__(
        self, folder: Path, config: Config, images: Mapping[str, str], rank: int = 0
    ) -> None:
        self._done: dict[tuple[str, int, int], Line] = {}
        for path in sorted(folder.glob("finished*.jsonl")):
            before, *lines = _read(path) or [asdict(config)]
            lines = [line for line in lines if _is_result(line)]
            seen = before.pop("images", None)
            same_settings(before, asdict(config), str(folder), MAY_CHANGE - {"pretrain_seeds"})
            same_images(seen, images, str(folder))
            self._done |= {_key(line): line for line in lines}
        self._path = folder / (f"finished_{rank}.jsonl" if rank else "finished.jsonl")
        self._belongs_to = asdict(config) | {"images": dict(images)}

    def find(self, task: str, seed: int, label_seed: int) -> Result | None:
        """The result of this training, if it is done."""
        line = self._done.get((task, seed, label_seed))
        return None if line is None else as_result(line)

    def beside(self, result: Result) -> Any:
        """What was written down beside a result."""
        return self._done[_key(asdict(result))]["beside"]

    def add(self, result: Result, beside: Any = None) -> None:
        """Write down a result, and beside it lists of numbers that are needed at the end."""
        line = asdict(result) | {"beside": beside}
        if not self._path.exists() or not _read(self._path):
            self._path.unlink(missing_ok=True)
            self._append(self._belongs_to)
        self._append(line)
        self._done[_key(line)] = line

    def _append(self, line: Line) -> None:
        with self._path.open("a") as file:
            file.write(f"\n{json.dumps(line, allow_nan=False)}")  # first ends what was cut off
            file.flush()
            os.fsync(file.fileno())


def remove_ledgers(folder: Path) -> None:
    """To be called when the run is finished, and its results are elsewhere."""
    for path in folder.glob("finished*.jsonl"):
        path.unlink()


def _read(path: Path) -> list[Line]:
    """All lines that are whole.

    Raises:
        SimclrError: if the file cannot be read, or is something else.
    """
    lines = []
    try:
        content = read_text(path)
    except (OSError, ValueError) as error:
        raise SimclrError(f"{path}: cannot be read: {error}") from error
    for text in content.splitlines():
        with suppress(ValueError):  # a line that was cut off
            line = parse_json(text)
            if not isinstance(line, dict):
                raise SimclrError(f"{path}: not what a benchmark writes")
            lines.append(line)
    return lines


def _is_result(line: Line) -> bool:
    try:
        as_result(line)
        hash(_key(line))
    except (KeyError, TypeError):
        return False
    return "beside" in line


def _key(line: Line) -> tuple[str, int, int]:
    return line["task"], line["seed"], line["labels"]["seed"]
