"""From a configuration to a finished run in its folder."""

import logging
import shlex
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path

from simclr.benchmark import Outcome, benchmark
from simclr.checks import check
from simclr.config.schema import Config, SelfTrainConfig
from simclr.data.splits import Splits, load_splits
from simclr.launch.allocator import keep_freed_memory
from simclr.launch.arguments import written
from simclr.launch.ranks import is_first, world_size
from simclr.launch.sweeps import to_go_on
from simclr.methods import METHODS
from simclr.methods.base import Features, Job, given_encoder, settings_of
from simclr.methods.choose_labels import advice, choose_labels
from simclr.methods.pretrain import count_views, pretrain
from simclr.methods.scoring import classifier_drawings, save_classified
from simclr.reports.results import Result, read_result, write_result
from simclr.reports.show import harmless, show
from simclr.reports.tensorboard import add_result
from simclr.training.callbacks.progress import Progress
from simclr.training.callbacks.stopping import Stopped, requeue
from simclr.training.ledger import remove_ledgers
from simclr.training.resume import AUTO, claimed, same_settings


def run(config: Config, begin: Callable[[], None] = lambda: None) -> Result:
    """Do `config.task`, leave its files in `config.output_dir` and say where they are.

    Args:
        config: all of it.
        begin: called by the first process when the folder is this run's, which is not finished.

    Raises:
        SimclrError: if the configuration cannot work, or the data cannot be had.
    """
    check(config)
    if config.data.labels:
        config = replace(config, labels=replace(config.labels, per_class=None))
    _quieten()
    keep_freed_memory()
    folder = Path(config.output_dir)
    with claimed(folder, resuming=config.checkpoint == AUTO) if is_first() else nullcontext():
        if (folder / "results.json").exists():
            return _finished(folder, config)
        if is_first():
            begin()
        return _run(folder, config)


def _run(folder: Path, config: Config) -> Result:
    splits = load_splits(config.data)
    progress = Progress(_views(config, splits))
    progress.say(splits.summary)
    if config.logger == "tensorboard":
        progress.say(f"Watch: tensorboard --logdir {shlex.quote(str(folder))}")
    try:
        outcome = _do(Job(config, splits, folder, progress))
        result = outcome.result
        if is_first():
            write_result(
                folder, result, asdict(config), splits.fingerprint
            )  # first: what is drawn may fail
            remove_ledgers(folder)
            with harmless("TensorBoard does not show the result"):
                add_result(config, folder, result.metrics)
            if outcome.drawings:
                with progress.stage("figures"):
                    show(config, folder, outcome.drawings, files=config.task == "benchmark")
    except (KeyboardInterrupt, SystemExit) as stop:
        progress.close()
        if is_first():
            again = f"{written('output_dir', to_go_on(folder))} checkpoint={AUTO}"
            with suppress(OSError):  # the terminal may be gone
                print(f"\nStopped. To go on: the same command with {again}", file=sys.stderr)
            if isinstance(stop, Stopped):
                requeue(stop)
        raise
    finally:
        progress.close()
    metrics = "\n".join(f"{name}: {value:.4f}" for name, value in result.metrics.items())
    progress.say(f"\n{outcome.text}" if outcome.text else metrics)
    progress.say(f"Results: {folder}")
    return result


def _finished(folder: Path, config: Config) -> Result:
    """The result of a run that needs no going on; a sweep that is begun again skips it."""
    result, before = read_result(folder)
    same_settings(before, asdict(config), str(folder))
    if is_first():
        print(f"Finished before: {folder}")
    return result


def _do(job: Job) -> Outcome:
    config = job.config
    if config.task == "benchmark":
        return benchmark(job)
    if config.task == "pretrain":
        return Outcome(pretrain(job).result)
    if config.task == "choose_labels":
        found = choose_labels(job)
        return Outcome(found, advice(job, found))
    fit = METHODS[config.task].load()
    classified = fit(job, Features(given_encoder(job), job), config.labels.seed)
    if is_first():
        save_classified(job, classified)
    if config.logger != "tensorboard":
        return Outcome(classified.result)
    shown = classified.classifier, classified.confusion
    return Outcome(classified.result, drawings=lambda: classifier_drawings(job, *shown))


def _views(config: Config, splits: Splits) -> int:
    """Views that training puts through the encoder, as the progress bar counts them."""
    unlabelled = len(splits.unlabelled)
    if config.task == "pretrain":
        return count_views(config, unlabelled)
    if config.task != "benchmark":
        return _views_of(config.task, config, splits)
    processes = world_size(config.trainer.devices, config.trainer.num_nodes)
    draws = -(-len(splits.draws(config.labels)) // processes)  # which the processes share
    trained = draws * sum(_views_of(method, config, splits) for method in config.methods)
    return len(config.pretrain_seeds or [0]) * (count_views(config, unlabelled) + trained)


def _views_of(method: str, config: Config, splits: Splits) -> int:
    """Those of a method on one label draw."""
    if method == "choose_labels" or not METHODS[method].trains:
        return 0
    settings = settings_of(config, method)
    labels = config.labels
    labelled = len(splits.draw(labels.per_class, labels.seed, labels.budget))
    unlabelled = len(splits.unlabelled)
    if isinstance(settings, SelfTrainConfig):
        batch = min(settings.batch_size, unlabelled)
        return settings.max_epochs * (unlabelled // batch) * (2 * batch + min(batch, labelled))
    batch = min(settings.batch_size, labelled)
    return settings.max_epochs * (labelled // batch) * batch


def _quieten() -> None:
    """Keep notices of Lightning and of the ONNX export about what is meant so off the terminal."""
    for name in ("lightning.pytorch", "lightning.fabric", "onnxscript", "onnx_ir", "timm"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns of every new try
    warnings.filterwarnings("ignore", ".*configure_optimizers.*returned `None`")
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", ".*in eval mode")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval")
    warnings.filterwarnings("ignore", ".*LeafSpec")
    warnings.filterwarnings("ignore", ".*exists and is not empty")
    warnings.filterwarnings("ignore", "The dirpath has changed")
    warnings.filterwarnings("ignore", "Total length of `list` across ranks is zero")
