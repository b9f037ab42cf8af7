"""The main job: pretrain, then every method on every label draw, then table and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor

from simclr.errors import SimclrError
from simclr.ranks import is_first
from simclr.results import (
    SEED_SIMCLR,
    Result,
    Row,
    Timing,
    by_method,
    table,
    write_benchmark,
)
from simclr.tables import summarise
from simclr.tasks import (
    Classified,
    Features,
    Job,
    Pretrained,
    finetune,
    linear_eval,
    new_encoder,
    pretrain,
    save_classified,
)
from simclr.views import build_views

METHODS = ("linear_eval", "finetune", "supervised", "random_encoder")
MAP_IMAGES = 2_000


@dataclass(frozen=True)
class Benchmark:
    """All that a benchmark found out.

    Attributes:
        results: one per trained classifier.
        pretrained: one per pretraining seed.
        first: each method's classifier of the first seed and draw.
        test_features: representations of the test images by the first encoder.
    """

    results: Sequence[Result]
    pretrained: Sequence[Pretrained]
    first: dict[str, Classified]
    test_features: Tensor

    @property
    def rows(self) -> list[Row]:
        """The results as rows of a table."""
        return [_row(result) for result in self.results]


def benchmark(job: Job) -> Result:
    """Compare the methods over pretraining seeds and label draws; write table and figures.

    Where several processes share the pretraining, they divide the label draws among them.
    """
    if job.splits.test is None:
        raise SimclrError("task=benchmark: this data set has no test images to score")
    seeds = job.config.pretrain_seeds or [job.config.seed]
    pretrained: list[Pretrained] = []
    classified: list[Classified] = []
    for seed in seeds:
        folder = job.folder if len(seeds) == 1 else job.folder / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        one = replace(job, config=replace(job.config, seed=seed), folder=folder)
        pretrained.append(pretrain(one))
        classified += _classify(one, pretrained[-1])
    results = _of_all_processes([found.result for found in classified])
    if is_first():
        first = {found.result.task: found for found in reversed(classified)}
        test = pretrained[0].features.test
        assert test is not None
        features = test.images[:MAP_IMAGES].cpu()
        _leave(job, Benchmark(results, pretrained, first, features))
    return _result(job, results, pretrained)


def report(job: Job, found: Benchmark) -> str:
    """The table, and the sentences it needs, in Markdown."""
    config = job.config
    seconds = [one.result.timing.fit_seconds for one in found.pretrained]
    rates = [one.result.timing.views_per_second for one in found.pretrained]
    lines = [
        f"{len(job.splits.classes) * config.labels.per_class} labels ({config.labels.per_class} "
        f"per class), {config.labels.draws} label draws, {len(found.pretrained)} pretraining "
        f"seed{'s' * (len(found.pretrained) > 1)}, {found.results[0].n_test} "
        "test images",
        "",
        table(found.rows),
        "",
        f"Pretraining took {sum(seconds) / len(seconds):.0f} s "
        f"({sum(rates) / len(rates):.0f} views/s).",
    ]
    passed = [when for one in found.pretrained if (when := _seconds_to_seed_accuracy(one))]
    if config.data.name == "mnist" and len(passed) == len(found.pretrained):
        lines.append(
            f"Seconds of pretraining until a linear probe passes {SEED_SIMCLR:.2%}, the "
            f"original project's result: {sum(passed) / len(passed):.1f} (validation images)."
        )
    return "\n".join(lines) + "\n"


def _classify(job: Job, pretrained: Pretrained) -> list[Classified]:
    config, encoder = job.config, pretrained.encoder
    untrained = new_encoder(job)
    random_features = Features(untrained, job)
    classified = []
    draws = range(config.labels.seed, config.labels.seed + config.labels.draws)
    if dist.is_initialized():
        draws = draws[dist.get_rank() :: dist.get_world_size()]
    for draw in draws:
        random_encoder = linear_eval(job, untrained, random_features, draw)
        classified += [
            linear_eval(job, encoder, pretrained.features, draw),
            finetune("finetune", job, encoder, config.finetune, draw),
            finetune("supervised", job, untrained, config.supervised, draw),
            replace(random_encoder, result=replace(random_encoder.result, task="random_encoder")),
        ]
    return classified


def _of_all_processes(own: list[Result]) -> list[Result]:
    """In one order, however many processes there were."""
    parts = [own]
    if dist.is_initialized():
        parts *= dist.get_world_size()
        dist.all_gather_object(parts, own)

    def place(result: Result) -> tuple[int, int, int]:
        return METHODS.index(result.task), result.seed, result.labels.seed

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
    )


def _seconds_to_seed_accuracy(pretrained: Pretrained) -> float | None:
    passed = (s for s, accuracy in pretrained.history if accuracy > SEED_SIMCLR)
    return next(passed, None)


def _result(job: Job, results: Sequence[Result], pretrained: Sequence[Pretrained]) -> Result:
    metrics = {}
    for method, rows in by_method(map(_row, results)).items():
        prefix = "" if method == "linear_eval" else f"{method}_"
        metrics[f"{prefix}test_accuracy"] = summarise([row.test_accuracy for row in rows]).mean
        val = [row.val_accuracy for row in rows if row.val_accuracy is not None]
        if val:
            metrics[f"{prefix}val_accuracy"] = summarise(val).mean
    timings = [one.result.timing for one in pretrained]
    seconds = sum(timing.fit_seconds for timing in timings)
    views = sum(timing.fit_seconds * timing.views_per_second for timing in timings)
    metrics["pretrain_seconds"] = seconds / len(pretrained)
    passed = [_seconds_to_seed_accuracy(one) for one in pretrained]
    reached = [when for when in passed if when is not None]
    if len(reached) == len(passed):
        metrics["pretrain_seconds_to_0.9194"] = sum(reached) / len(reached)
    first, timing = results[0], Timing(seconds, views / seconds)
    return Result("benchmark", job.config.seed, metrics, first.labels, first.n_test, timing)


def _leave(job: Job, found: Benchmark) -> None:
    with job.progress.stage("figures"):
        _draw(job, found)
    save_classified(job, found.first["linear_eval"])
    text = report(job, found)
    write_benchmark(job.folder, found.rows, text)
    job.progress.say(f"\n{text}")


def _draw(job: Job, found: Benchmark) -> None:
    from simclr import figures

    folder = job.folder / "figures"
    folder.mkdir(exist_ok=True)
    splits = job.splits
    originals = splits.train.images[splits.draw(1, 0)]
    views, generator = build_views(job.config.augment), torch.Generator().manual_seed(0)
    pairs = [view for _ in range(4) for view in views.pair(originals, generator)]
    figures.views_figure(originals / 255, pairs, folder / "views.png")
    reference = job.config.data.name == "mnist"
    figures.accuracy_figure(found.rows, folder / "accuracy.png", reference)
    history = found.pretrained[0].history
    if history:
        figures.history_figure(history, folder / "pretraining.png", reference)
    figures.confusion_figure(
        found.first["linear_eval"].confusion, splits.classes, folder / "confusion.png"
    )
    assert splits.test is not None
    labels = splits.test.labels[: len(found.test_features)]
    figures.embedding_figure(found.test_features, labels, splits.classes, folder / "embedding.png")
