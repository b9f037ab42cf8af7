"""From a configuration to a finished run in its folder."""

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path

from simclr.benchmark import Outcome, benchmark
from simclr.checks import check
from simclr.config.schema import Config
from simclr.data.splits import Splits, load_splits
from simclr.errors import SimclrError, reason
from simclr.launch.allocator import keep_freed_memory
from simclr.launch.arguments import written
from simclr.launch.ranks import is_first
from simclr.launch.sweeps import to_go_on
from simclr.methods import METHODS
from simclr.methods.base import Features, Job, given_encoder
from simclr.methods.choose_labels import advice, choose_labels
from simclr.methods.pretrain import pretrain
from simclr.methods.scoring import classifier_drawings, save_classified
from simclr.methods.work import views_of_job
from simclr.pipes import folded
from simclr.reports.results import Result, read_result, write_result
from simclr.reports.show import harmless, show
from simclr.reports.tensorboard import add_result, warn_of_writers
from simclr.training.callbacks.progress import Progress
from simclr.training.callbacks.stopping import Stopped, requeue
from simclr.training.ledger import remove_ledgers
from simclr.training.resume import AUTO, claimed, same_settings
from simclr.training.threads import with_threads

WATCH = "python -m tensorboard.main --logdir"  # also where the environment is not activated


def run(config: Config, begin: Callable[[], None] = lambda: None, kept: bool = True) -> Result:
    """Do `config.task`, leave its files in `config.output_dir` and say where they are.

    Args:
        config: all of it.
        begin: called by the first process when the folder is this run's, which is not finished.
        kept: whether the folder stays, so that it is worth naming.

    Raises:
        SimclrError: if the configuration cannot work, or the data cannot be had.
    """
    check(config)
    if config.data.labels:
        config = replace(config, labels=replace(config.labels, per_class=None))
    _quieten()
    warn_of_writers()
    keep_freed_memory()
    folder = Path(config.output_dir)
    with claimed(folder, resuming=config.checkpoint == AUTO) if is_first() else nullcontext():
        if os.path.lexists(folder / "results.json"):
            return _finished(folder, config)
        if is_first():
            begin()
        return _run(folder, config, kept)


def _run(folder: Path, config: Config, kept: bool) -> Result:
    splits = load_splits(config.data)
    _check_labels(config, splits)
    progress = Progress(views_of_job(config, splits))
    progress.say(folded(splits.summary))
    config = with_threads(config, folder, progress.say)
    if config.logger == "tensorboard":
        progress.say(f"Watch: {WATCH} {shlex.quote(str(folder))}")
    try:
        outcome = _do(Job(config, splits, folder, progress))
        result = outcome.result
        if is_first():
            # first, because what is drawn may fail
            write_result(folder, result, asdict(config), splits.fingerprint)
            remove_ledgers(folder)
            with harmless("TensorBoard does not show the result"):
                add_result(config, folder, result.metrics, outcome.text)
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
    progress.say(folded(f"\n{outcome.text}") if outcome.text else metrics)
    if kept:
        progress.say(f"Results: {folder}")
    return result


def _check_labels(config: Config, splits: Splits) -> None:
    """Refuse to train a classifier where there is nothing to tell apart."""
    classes = len(splits.classes)
    if classes < 2 and config.task in ("benchmark", *METHODS):
        found = f"one class, {splits.classes[0]}" if classes else "no labelled images"
        raise SimclrError(
            f"task={config.task}: data.root={config.data.root} has {found}; a classifier needs at "
            "least two classes, as folders in train/; task=pretrain needs no labels"
        )


def _finished(folder: Path, config: Config) -> Result:
    """The result of a finished run, which a repeated sweep skips."""
    try:
        result, before = read_result(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        path = folder / "results.json"
        raise SimclrError(f"{path}: not what a run writes ({reason(error)})") from error
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


def _quieten() -> None:
    """Keep notices of Lightning and ONNX about intended settings off the terminal."""
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
    warnings.filterwarnings("ignore", "Number of distinct clusters")  # of images that are equal
    warnings.filterwarnings("ignore", "Total length of `list` across ranks is zero")
