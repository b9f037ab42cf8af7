"""The results of a run: results.json, and the table of a benchmark."""

import csv
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from simclr.files import read_json, write_whole
from simclr.launch.environment import environment
from simclr.reports.tables import SUMMARY_HEADER, Summary, markdown, summarise, summary_cells

SEED_SIMCLR = 0.9194  # the original project: SimCLR, then 100 labels
SEED_SCRATCH = 0.8462  # the original project: a CNN from scratch on the same labels


@dataclass(frozen=True)
class Timing:
    """Seconds of the fit, what only watches it excluded, and images through it per second."""

    fit_seconds: float
    views_per_second: float

    @property
    def views(self) -> float:
        """Images through the fit."""
        return self.fit_seconds * self.views_per_second


class Probed(NamedTuple):
    """A probe of an encoder in pretraining.

    Attributes:
        seconds: of pretraining, until then.
        accuracy: on validation images.
        stage: of pretraining.
    """

    seconds: float
    accuracy: float
    stage: str = ""


@dataclass(frozen=True)
class Labels:
    """A label draw: images per class (None: all), seed, and sha256 of the sorted indices."""

    per_class: int | None
    seed: int
    sha256: str


@dataclass(frozen=True)
class Result:
    """The outcome of one task.

    Attributes:
        task: its name.
        seed: of pretraining, or of the weights where there was none.
        metrics: name to number; accuracies are fractions.
        labels: the label draw.
        n_test: test images scored.
        timing: of the fit.
    """

    task: str
    seed: int
    metrics: dict[str, float]
    labels: Labels
    n_test: int
    timing: Timing


@dataclass(frozen=True)
class Row:
    """One trained classifier of a benchmark."""

    method: str
    pretrain_seed: int
    label_seed: int
    test_accuracy: float
    val_accuracy: float | None
    seconds: float
    labels_sha256: str
    test_ece: float | None = None


def by_method(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of each method, methods in the order of their first row."""
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(row.method, []).append(row)
    return methods


def summary_of(rows: Sequence[Row]) -> Summary:
    """Test accuracy over rows of one method, its interval over pretraining seeds if several."""
    seeds = [row.pretrain_seed for row in rows]
    return summarise([row.test_accuracy for row in rows], seeds, share=True)


def table(rows: Sequence[Row]) -> str:
    """The benchmark's table in Markdown, aligned so that it also reads as text."""
    lines = []
    for method, own in by_method(rows).items():
        summary = summary_of(own)
        seconds = sum(row.seconds for row in own) / len(own)
        lines.append([method, *summary_cells(summary, ".2%"), f"{seconds:.1f}"])
    return markdown(["method", "test accuracy", *SUMMARY_HEADER, "seconds"], lines)


def write_result(
    folder: Path, result: Result, config: dict[str, Any], images: Mapping[str, str]
) -> None:
    """Write results.json, whole or not at all; a folder without it is a run that did not end."""
    accelerator = config.get("trainer", {}).get("accelerator", "auto")
    origin = {"config": config, "images": dict(images), "git": git_state()}
    content = asdict(result) | origin | environment(accelerator)
    write_json(folder / "results.json", content)


def read_result(folder: Path) -> tuple[Result, dict[str, Any]]:
    """The result in a folder that `write_result` wrote to, and the configuration of its run.

    Raises:
        OSError, ValueError, KeyError, TypeError: if there is none.
    """
    content = read_json(folder / "results.json")
    result, config = as_result(content), content["config"]
    if not isinstance(config, dict) or not isinstance(result.metrics, dict):
        raise TypeError("config or metrics are no objects")
    if not all(isinstance(number, int | float) for number in result.metrics.values()):
        raise TypeError("a metric is no number")
    return result, config


def as_result(content: Mapping[str, Any]) -> Result:
    """The result that `asdict` made these fields of, among others.

    Raises:
        KeyError, TypeError: if a field is missing.
    """
    own = {field.name: content[field.name] for field in fields(Result)}
    labels, timing = Labels(**own["labels"]), Timing(**own["timing"])
    return Result(**own | {"labels": labels, "timing": timing})


def write_benchmark(folder: Path, rows: Sequence[Row], text: str) -> None:
    """Write results.csv (a row per classifier), summary.json and the README.md given as text."""
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(Row.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    methods = {method: asdict(summary_of(own)) for method, own in by_method(rows).items()}
    write_json(folder / "summary.json", {"methods": methods})
    (folder / "README.md").write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Strict JSON, whole or not at all.

    Raises:
        ValueError: if a number is not finite.
        OSError: if it cannot be written.
    """
    write_whole(path, f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode())


def git_state() -> dict[str, Any] | None:
    """The commit of the source and whether it was changed; None outside a repository."""
    source = Path(__file__).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(source), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
