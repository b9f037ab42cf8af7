"""From a configuration to a finished run in its folder."""

import logging
import sys
import warnings
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from simclr.allocator import keep_freed_memory
from simclr.callbacks.progress import Progress
from simclr.callbacks.stopping import Stopped, requeue
from simclr.checks import check
from simclr.config import Config, FineTuneConfig, SelfTrainConfig
from simclr.data.splits import Splits, load_splits
from simclr.ledger import remove_ledgers
from simclr.ranks import is_first, world_size
from simclr.results import Result, read_result, write_result
from simclr.resume import AUTO, claimed, same_settings
from simclr.tasks.benchmark import benchmark
from simclr.tasks.classify import (
    classifier_figures,
    finetune,
    linear_eval,
    save_classified,
    supervised,
)
from simclr.tasks.job import Features, Job, given_encoder
from simclr.tasks.pretrain import count_views, pretrain
from simclr.tasks.semi_supervised import label_spread, self_train
from simclr.tensorboard import add_figures, add_result

Settings = TypeVar("Settings", FineTuneConfig, SelfTrainConfig)


def run(config: Config) -> Result:
    """Do `config.task`, leave its files in `config.output_dir` and say where they are.

    Raises:
        SimclrError: if the configuration cannot work, or the data cannot be had.
    """
    check(config)
    _quieten()
    keep_freed_memory()
    folder = Path(config.output_dir)
    with claimed(folder, resuming=config.checkpoint == AUTO) if is_first() else nullcontext():
        if (folder / "results.json").exists():
            return _finished(folder, config)
        return _run(folder, config)


def _run(folder: Path, config: Config) -> Result:
    splits = load_splits(config.data)
    progress = Progress(_views(config, splits))
    if config.logger == "tensorboard":
        progress.say(f"Watch: tensorboard --logdir {folder}")
    try:
        result = _do(Job(config, splits, folder, progress))
    except (KeyboardInterrupt, SystemExit) as stop:
        progress.close()
        if is_first():
            sweep = (folder.parent / "multirun.yaml").exists()
            again = f"output_dir={folder.parent if sweep else folder} checkpoint={AUTO}"
            print(f"\nStopped. To go on: the same command with {again}", file=sys.stderr)
            if isinstance(stop, Stopped):
                requeue(stop)
        raise
    finally:
        progress.close()
    if is_first():
        write_result(folder, result, asdict(config))
        add_result(config, folder, result.metrics)
        remove_ledgers(folder)
    if config.task != "benchmark":
        progress.say("\n".join(f"{name}: {value:.4f}" for name, value in result.metrics.items()))
    progress.say(f"Results: {folder}")
    return result


def _finished(folder: Path, config: Config) -> Result:
    """The result of a run that needs no going on; a sweep that is begun again skips it."""
    result, before = read_result(folder)
    same_settings(before, asdict(config), str(folder))
    if is_first():
        print(f"Finished before: {folder}")
    return result


def _do(job: Job) -> Result:
    config, seed = job.config, job.config.labels.seed
    match config.task:
        case "benchmark":
            return benchmark(job)
        case "pretrain":
            return pretrain(job).result
        case "supervised":
            classified = supervised(job, _obeying(config, config.supervised), seed)
        case "linear_eval":
            classified = linear_eval(job, Features(given_encoder(job), job), seed)
        case "label_spread":
            classified = label_spread(job, Features(given_encoder(job), job), seed)
        case "finetune":
            features = Features(given_encoder(job), job)
            classified = finetune(job, features, _obeying(config, config.finetune), seed)
        case "self_train":
            features = Features(given_encoder(job), job)
            classified = self_train(job, features, _obeying(config, config.self_train), seed)
    if is_first():
        save_classified(job, classified)
        if config.logger == "tensorboard":
            drawn = classifier_figures(job, classified.classifier, classified.confusion)
            add_figures(config, job.folder, drawn)
    return classified.result


def _obeying(config: Config, own: Settings) -> Settings:
    """The common keys, which a classification task of its own obeys like any other task."""
    return replace(
        own,
        max_epochs=config.trainer.max_epochs,
        batch_size=config.data.batch_size,
        lr=config.optimizer.lr,
    )


def _views(config: Config, splits: Splits) -> int:
    """Views that training will put through the encoder, as the progress bar counts them."""
    labelled = len(splits.classes) * config.labels.per_class
    unlabelled = len(splits.unlabelled)

    def of(settings: FineTuneConfig | SelfTrainConfig) -> int:
        if isinstance(settings, FineTuneConfig):
            batch = min(settings.batch_size, labelled)
            return settings.max_epochs * (labelled // batch) * batch
        batch = min(settings.batch_size, unlabelled)
        return settings.max_epochs * (unlabelled // batch) * (2 * batch + min(batch, labelled))

    processes = world_size(config.trainer.devices, config.trainer.num_nodes)
    pretraining = count_views(config, unlabelled)
    match config.task:
        case "benchmark":
            draws = -(-len(splits.draws(config.labels)) // processes)  # which the processes share
            trained = {*config.methods} & {"finetune", "supervised", "self_train"}
            draws *= sum(of(getattr(config, method)) for method in trained)
            return len(config.pretrain_seeds or [0]) * (pretraining + draws)
        case "pretrain":
            return pretraining
        case "linear_eval" | "label_spread":
            return 0
        case task:
            return of(_obeying(config, getattr(config, task)))


def _quieten() -> None:
    """Keep notices of Lightning and of the ONNX export about what is meant so off the terminal."""
    for name in ("lightning.pytorch", "lightning.fabric", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*configure_optimizers.*returned `None`")
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", ".*in eval mode")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval")
    warnings.filterwarnings("ignore", ".*LeafSpec")
    warnings.filterwarnings("ignore", ".*exists and is not empty")
    warnings.filterwarnings("ignore", "The dirpath has changed")
    warnings.filterwarnings("ignore", "Total length of `list` across ranks is zero")
