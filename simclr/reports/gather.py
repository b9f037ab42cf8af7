"""Many finished runs as one table: the keys that differ, and the results of each setting."""

import argparse
import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclr.config.keys import flat
from simclr.config.schema import BOOKKEEPING, SEEDS
from simclr.errors import SimclrError
from simclr.files import printable, read_json, read_text
from simclr.launch.failures import read_failure
from simclr.reports.tables import SUMMARY_HEADER, Summary, markdown, summarise, summary_cells, text

LARGEST = 1e100  # of a metric; the square of more is no float


@dataclass(frozen=True)
class Sample:
    """One trained model.

    Attributes:
        folder: of its run.
        settings: `method`, and each key of the configuration that can influence the model.
        metrics: name to number; accuracies are fractions.
        origin: what made it: `commit`, with a mark if the source was changed, and `torch version`.
    """

    folder: Path
    settings: dict[str, str]
    metrics: dict[str, float]
    origin: dict[str, str]


@dataclass(frozen=True)
class Comparison:
    """The settings of a comparison, best first, with the keys in which they differ.

    Attributes:
        metric: what is compared.
        keys: `method`, and each key that differs.
        groups: values of the keys, and the metric over all seeds.
    """

    metric: str
    keys: list[str]
    groups: list[tuple[tuple[str, ...], Summary]]


def gather(folders: Iterable[Path]) -> tuple[list[Sample], list[str]]:
    """Trained models of all runs in these folders and below, and a line for each run left out.

    A run found twice counts once. Of runs with equal settings and seeds the last one counts:
    repeating a run is no evidence.
    """
    samples: dict[frozenset[tuple[str, str]], Sample] = {}
    notes: dict[str, None] = {}
    for folder, finished in _runs(folders, notes):
        if not finished:
            notes[f"{folder}: {_why_unfinished(folder)}"] = None
            continue
        try:
            found = read(folder)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            notes[f"{folder}: cannot be read, {type(error).__name__}: {error}"] = None
            continue
        for sample in found:
            identity = frozenset(sample.settings.items())
            if identity in samples:
                repeated = samples[identity].folder
                notes[f"{repeated}: {folder} has the same settings and seeds, and counts"] = None
            samples[identity] = sample
    return list(samples.values()), list(notes)


def read(folder: Path) -> list[Sample]:
    """The trained models of a finished run: one, or all of a benchmark.

    Raises:
        OSError, ValueError, KeyError, TypeError, csv.Error: if its files are not what a run writes.
    """
    content = read_json(folder / "results.json")
    match content:
        case {
            "task": str(task),
            "config": dict(config),
            "metrics": dict(metrics),
            "timing": dict(timing),
        }:
            settings = {key: value for key, value in flat(config) if key not in BOOKKEEPING}
        case _:
            raise ValueError("results.json lacks task, config, metrics or timing")
    origin = _origin(content)
    if task != "benchmark":
        return [Sample(folder, {"method": task} | settings, _numbers(metrics | timing), origin)]
    table = io.StringIO(read_text(folder / "results.csv"), newline="")
    return [
        Sample(
            folder,
            {"method": _word(row["method"])}
            | settings
            | {"seed": _word(row["pretrain_seed"]), "labels.seed": _word(row["label_seed"])},
            _numbers(
                {
                    "test_accuracy": row["test_accuracy"],
                    "val_accuracy": row["val_accuracy"],
                    "fit_seconds": row["seconds"],
                }
            ),
            origin,
        )
        for row in csv.DictReader(table)
    ]


def compare(samples: Sequence[Sample], metric: str) -> Comparison:
    """Group models by the keys that differ, except seeds, and summarise one metric of each group.

    The best is the highest, or the lowest of losses and seconds.
    """
    keys = ["method"]
    for key in dict.fromkeys(key for sample in samples for key in sample.settings):
        differs = len({sample.settings.get(key) for sample in samples}) > 1
        if differs and key not in SEEDS and key not in keys:
            keys.append(key)
    share = metric.endswith("accuracy")
    summaries = [
        (
            values,
            summarise(
                [sample.metrics[metric] for sample in own],
                [sample.settings.get("seed") for sample in own],
                share,
            ),
        )
        for values, own in _by(keys, samples).items()
    ]
    lowest_first = "loss" in metric or "seconds" in metric
    summaries.sort(key=lambda group: group[1].mean, reverse=not lowest_first)
    return Comparison(metric, keys, summaries)


def mixtures(samples: Sequence[Sample], keys: Sequence[str]) -> list[str]:
    """A line for each row of the table that averages several commits or torch versions."""
    lines = []
    for values, own in _by(keys, samples).items():
        for what in ("commit", "torch version"):
            found = sorted({sample.origin[what] for sample in own if what in sample.origin})
            if len(found) > 1:
                name = ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
                lines.append(f"{name}: averages runs of several {what}s: {', '.join(found)}")
    return lines


def _by(keys: Sequence[str], samples: Sequence[Sample]) -> dict[tuple[str, ...], list[Sample]]:
    """Models by their values of the keys."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        values = tuple(sample.settings.get(key, "") for key in keys)
        groups.setdefault(values, []).append(sample)
    return groups


def render(comparison: Comparison, style: str) -> str:
    """The table as `text`, `csv` (numbers as they are) or `markdown`."""
    metric, keys, groups = comparison.metric, comparison.keys, comparison.groups
    if style == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*keys, metric, "sd", "n", "ci95_low", "ci95_high", "seeds"])
        for values, summary in groups:
            ends = summary.ci95 or (None, None)
            writer.writerow([*values, summary.mean, summary.sd, summary.n, *ends, summary.seeds])
        return file.getvalue().rstrip("\n")
    header = [*keys, metric.replace("_", " "), *SUMMARY_HEADER]
    number = ".2%" if metric.endswith("accuracy") else ".4g"
    rows = [[*values, *summary_cells(summary, number)] for values, summary in groups]
    return markdown(header, rows) if style == "markdown" else text(header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of the given folders; name on stderr the runs that it leaves out."""
    parser = argparse.ArgumentParser("python -m simclr.results", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="runs or sweeps")
    parser.add_argument("--format", choices=("text", "csv", "markdown"), default="text")
    parser.add_argument("--metric", help="default: test_accuracy, or val_accuracy if none has it")
    given = parser.parse_args(arguments)
    samples, notes = gather(given.folders)
    try:
        metric = _metric(samples, given.metric)
    except SimclrError as error:
        print(*map(printable, notes), error, sep="\n", file=sys.stderr)
        return 1
    notes += dict.fromkeys(f"{s.folder}: no {metric}" for s in samples if metric not in s.metrics)
    compared = [sample for sample in samples if metric in sample.metrics]
    comparison = compare(compared, metric)
    for note in notes + mixtures(compared, comparison.keys):
        print(printable(note), file=sys.stderr)
    print(render(comparison, given.format))
    return 0


def _runs(folders: Iterable[Path], notes: dict[str, None]) -> Iterator[tuple[Path, bool]]:
    """Folders of runs, each once, and whether the run is finished."""
    seen = set()
    for top in folders:
        if not top.is_dir():
            notes[f"{top}: no such folder"] = None
        for name, children, files in os.walk(top):
            folder = Path(name)
            started = ".hydra" in children or ("checkpoints" in children and not _part(folder))
            finished = "results.json" in files
            children[:] = sorted(child for child in children if not child.startswith("."))
            if (finished or started) and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder, finished


def _why_unfinished(folder: Path) -> str:
    if found := read_failure(folder):
        return "failed: " + " ".join(found[1].split())
    return "failed or unfinished, it has no results.json"


def _part(folder: Path) -> bool:
    """Whether a folder is one pretraining of the benchmark in the folder above."""
    parent = folder.resolve().parent
    return (parent / ".hydra").exists() or (parent / "results.json").exists()


def _metric(samples: Sequence[Sample], wanted: str | None) -> str:
    if not samples:
        raise SimclrError("Nothing to compare: no finished run in these folders")
    known = {name for sample in samples for name in sample.metrics}
    metric = wanted or ("test_accuracy" if "test_accuracy" in known else "val_accuracy")
    if metric not in known:
        choices = ", ".join(sorted(known))
        raise SimclrError(f"--metric {metric}: no run has it; choose from {choices}")
    return metric


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in found.items() if value not in (None, "")}
    for name, value in numbers.items():
        high = 1 if name.endswith("accuracy") else LARGEST
        low = 0 if name.endswith("accuracy") else -LARGEST
        if not low <= value <= high:  # nor is a number that is none
            raise ValueError(f"{name}={value} is out of range")
    return numbers


def _word(cell: str | None) -> str:
    if cell is None:
        raise ValueError("results.csv has a row that is cut short")
    return cell


def _origin(content: Mapping[str, Any]) -> dict[str, str]:
    """The commit and the torch version of a run, as far as it recorded them."""
    origin = {}
    match content.get("git"):
        case {"commit": str(commit), **rest}:
            origin["commit"] = commit[:12] + (" (changed)" if rest.get("dirty") else "")
    match content.get("versions"):
        case {"torch": str(version)}:
            origin["torch version"] = version
    return origin
