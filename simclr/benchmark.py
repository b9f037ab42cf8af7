"""The main job: pretrain, then every method on every label draw, then table and figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from simclr.config.schema import LabelsConfig
from simclr.data.images import LabelledImages
from simclr.errors import SimclrError
from simclr.launch.ranks import is_first, rank, world_size
from simclr.methods import METHODS
from simclr.methods.base import Features, Job, new_encoder
from simclr.methods.pretrain import Pretrained, pretrain
from simclr.methods.scoring import SHOWN_IMAGES, classifier_drawings, save_classified
from simclr.methods.stages import count_views
from simclr.methods.work import views_of_method
from simclr.models.weights import load_classifier, load_encoder
from simclr.reports.mosaic import neighbours, one_per_class
from simclr.reports.results import (
    SEED_SIMCLR,
    Probed,
    Result,
    Row,
    Timing,
    by_method,
    table,
    write_benchmark,
)
from simclr.reports.show import Drawings
from simclr.reports.tables import summarise
from simclr.reports.verdict import verdict
from simclr.training.ledger import Ledger
from simclr.views import build_views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP_IMAGES = 1_000  # of those shown: t-SNE takes ever longer per image


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
        result: for results.json.
        text: printed at the end; if it is empty, the metrics are printed instead.
        drawings: makes the figures, once the result is on disk; None if there are none.
    """

    result: Result
    text: str = ""
    drawings: Callable[[], Drawings] | None = None


@dataclass(frozen=True)
class Benchmark:
    """The results of a benchmark.

    Attributes:
        results: one per trained classifier; the first is of linear_eval.
        pretrained: one per pretraining seed.
        confusion: counts (true class, predicted class) of the first classifier on the test images.
        seen: test images for the figures, as representations by the first encoder.
    """

    results: Sequence[Result]
    pretrained: Sequence[Pretrained]
    confusion: Tensor
    seen: LabelledImages

    @property
    def rows(self) -> list[Row]:
        """The results as rows of a table."""
        return [_row(result) for result in self.results]


def benchmark(job: Job) -> Outcome:
    """Compare the methods over pretraining seeds and label draws; write the table.

    Where several processes share the pretraining, they divide the label draws among them.
    """
    if job.splits.test is None:
        raise SimclrError("task=benchmark: this data set has no test images to score")
    seeds = job.config.pretrain_seeds or [job.config.seed]
    ledger = Ledger(job.folder, job.config, job.splits.fingerprint, rank())
    pretrained: list[Pretrained] = []
    results: list[Result] = []
    for seed in seeds:
        folder = job.folder if len(seeds) == 1 else job.folder / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        one = replace(job, config=replace(job.config, seed=seed), folder=folder)
        pretrained.append(_pretrained(one, ledger))
        first = job if seed == seeds[0] else None
        results += _classify(one, pretrained[-1], ledger, first)
    results = _of_all_processes(results, job.config.methods)
    result = _result(job, results, pretrained)
    if not is_first():
        return Outcome(result)
    confusion = torch.tensor(ledger.beside(results[0]))
    test = pretrained[0].features.test
    assert test is not None
    seen = LabelledImages(test.images.cpu(), test.labels).sample(SHOWN_IMAGES)
    found = Benchmark(results, pretrained, confusion, seen)
    text = report(job, found)
    write_benchmark(job.folder, found.rows, text)
    return Outcome(result, text, lambda: _drawings(job, found))


def report(job: Job, found: Benchmark) -> str:
    """The table, and the sentences it needs, in Markdown."""
    config = job.config
    seconds = [one.result.timing.fit_seconds for one in found.pretrained]
    views = sum(one.result.timing.views for one in found.pretrained)
    chosen = config.labels
    draws = len(job.splits.draws(chosen))
    labels = len(job.splits.draw(chosen.per_class, chosen.seed, chosen.budget))
    lines = [
        f"{labels} labels ({_which(chosen)}), "
        f"{draws} label draw{'s' * (draws > 1)}, {len(found.pretrained)} pretraining "
        f"seed{'s' * (len(found.pretrained) > 1)}, {found.results[0].n_test} test images",
        "",
        table(found.rows),
        "",
        f"Pretraining took {sum(seconds) / len(seconds):.0f} s "
        f"({views / sum(seconds):.0f} views/s)."
        if sum(seconds)
        else "No pretraining by this run.",
    ]
    passed = [when for one in found.pretrained if (when := _seconds_to_seed_accuracy(one))]
    if config.data.name == "mnist" and len(passed) == len(found.pretrained):
        lines.append(
            f"Seconds of pretraining until a linear probe passes {SEED_SIMCLR:.2%}, the "
            f"original project's result: {sum(passed) / len(passed):.1f} (validation images)."
        )
    using_pretraining = {name for name, one in METHODS.items() if one.encoder == "pretrained"}
    if sentences := verdict(found.rows, using_pretraining):
        lines += ["", sentences]
    return "\n".join(lines) + "\n"


def _which(labels: LabelsConfig) -> str:
    """How the labelled images were chosen, in words."""
    if labels.budget is not None:
        return "typical images" if labels.choice == "typical" else "random images of any class"
    return "all there are" if labels.per_class is None else f"{labels.per_class} per class"


def _pretrained(job: Job, ledger: Ledger) -> Pretrained:
    """The pretraining of this seed: read from the ledger, or done now.

    Several processes that share the work always do it, because they meet there.
    """
    config = job.config
    done = ledger.find("pretrain", config.seed, config.labels.seed)
    if done is None or world_size(config.trainer.devices, config.trainer.num_nodes) > 1:
        made = pretrain(job)
        ledger.add(made.result, beside=made.history)
        return made
    encoder = load_encoder(job.folder / "encoder.safetensors")
    history = [Probed(*probed) for probed in ledger.beside(done)]
    job.progress.skip(count_views(config, len(job.splits.unlabelled)))
    return Pretrained(encoder, Features(encoder, job), done, history)


def _classify(
    job: Job, pretrained: Pretrained, ledger: Ledger, first: Job | None = None
) -> list[Result]:
    """Train every method on every draw that the ledger lacks.

    The job `first`, if given, keeps the first linear classifier.
    """
    config, features = job.config, pretrained.features
    budget = config.labels.budget
    if budget is not None and config.labels.choice == "typical":
        job = replace(job, choose=partial(features.typical, budget))
    random_features = Features(new_encoder(job), job)
    draws = job.splits.draws(config.labels)
    if dist.is_initialized():
        draws = draws[dist.get_rank() :: dist.get_world_size()]
    results = []
    for draw, method in product(draws, config.methods):
        result = ledger.find(method, config.seed, draw)
        if result is None:
            given = features if METHODS[method].encoder == "pretrained" else random_features
            found = METHODS[method].load()(job, given, draw)
            result, beside = found.result, None
            if first is not None and (method, draw) == ("linear_eval", config.labels.seed):
                save_classified(first, found)
                beside = found.confusion.tolist()
            ledger.add(result, beside)
        else:
            job.progress.skip(views_of_method(method, config, job.splits))
        results.append(result)
    return results


def _of_all_processes(own: list[Result], methods: Sequence[str]) -> list[Result]:
    """The results of all processes, in the order of methods, seeds and draws."""
    parts = [own]
    if dist.is_initialized():
        parts *= dist.get_world_size()
        dist.all_gather_object(parts, own)

    def place(result: Result) -> tuple[int, int, int]:
        return methods.index(result.task), result.seed, result.labels.seed

    return sorted((result for part in parts for result in part), key=place)


def _row(result: Result) -> Row:
    return Row(
        method=result.task,
        pretrain_seed=result.seed,
        label_seed=result.labels.seed,
        test_accuracy=result.metrics["test_accuracy"],
        val_accuracy=result.metrics.get("val_accuracy"),
        seconds=result.timing.fit_seconds,
        labels_sha256=result.labels.sha256,
        test_ece=result.metrics.get("test_ece"),
    )


def _seconds_to_seed_accuracy(pretrained: Pretrained) -> float | None:
    passed = (one.seconds for one in pretrained.history if one.accuracy > SEED_SIMCLR)
    return next(passed, None)


def _result(job: Job, results: Sequence[Result], pretrained: Sequence[Pretrained]) -> Result:
    metrics = {}
    for method, rows in by_method(map(_row, results)).items():
        prefix = "" if method == "linear_eval" else f"{method}_"
        metrics[f"{prefix}test_accuracy"] = summarise([row.test_accuracy for row in rows]).mean
        for name in ("val_accuracy", "test_ece"):
            known = [value for row in rows if (value := getattr(row, name)) is not None]
            if known:
                metrics[f"{prefix}{name}"] = summarise(known).mean
    timings = [one.result.timing for one in pretrained]
    seconds = sum(timing.fit_seconds for timing in timings)
    views = sum(timing.views for timing in timings)
    metrics["pretrain_seconds"] = seconds / len(pretrained)
    passed = [_seconds_to_seed_accuracy(one) for one in pretrained]
    reached = [when for when in passed if when is not None]
    if len(reached) == len(passed):
        metrics["pretrain_seconds_to_0.9194"] = sum(reached) / len(reached)
    first, timing = results[0], Timing(seconds, views / seconds if views else 0.0)
    return Result("benchmark", job.config.seed, metrics, first.labels, first.n_test, timing)


def _drawings(job: Job, found: Benchmark) -> Drawings:
    from simclr.reports import figures

    splits, seen, reference = job.splits, found.seen, job.config.data.name == "mnist"
    assert splits.test is not None
    images, mapped = splits.test.sample(SHOWN_IMAGES).images, seen.sample(MAP_IMAGES)
    originals = splits.train.images[one_per_class(splits.train.labels)]
    views = build_views(replace(job.config.augment, size=1.0))
    generator = torch.Generator().manual_seed(0)
    history = found.pretrained[0].history
    drawings: dict[str, Callable[[], Figure]] = {
        "views": lambda: figures.views_figure(
            originals / 255, [view for _ in range(4) for view in views.pair(originals, generator)]
        ),
        "accuracy": lambda: figures.accuracy_figure(found.rows, reference),
        "neighbours": lambda: figures.neighbours_figure(
            *neighbours(images, seen.labels, seen.images, one_per_class(seen.labels))
        ),
        "embedding": lambda: figures.embedding_figure(mapped.images, mapped.labels, splits.classes),
        "pretraining": lambda: figures.history_figure(history, reference),
    }
    if not history:
        del drawings["pretraining"]
    classifier = load_classifier(job.folder / "classifier.safetensors")
    return drawings | dict(classifier_drawings(job, classifier, found.confusion))
