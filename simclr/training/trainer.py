"""The Lightning Trainer that a configuration asks for."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import CSVLogger, Logger

from simclr.config.schema import Config, TrainerConfig
from simclr.launch.ranks import by_torchrun, in_slurm_shell, is_first, local_rank
from simclr.models.sync_batchnorm import SyncBatchNormOnCPU
from simclr.reports.tensorboard import board
from simclr.training.callbacks.checkpoints import AtomicCheckpointIO
from simclr.training.precision import resolve_precision

_PLAIN: dict[str, Any] = {  # nothing that costs time unless asked for
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
}


def build_logger(
    config: Config, folder: Path, training: str = "", begins_at: int = 0
) -> Logger | bool:
    """The logger that `config.logger` names; False for none.

    Args:
        config: of the run.
        folder: what it writes into.
        training: a name that keeps this training apart from the others of the run. In TensorBoard
            the stages of a pretraining are one curve.
        begins_at: steps of earlier stages.
    """
    match config.logger:
        case "tensorboard":
            return board(config, folder, training, begins_at)
        case "csv":
            _keep_earlier(folder / "csv" / training / "metrics.csv")
            return CSVLogger(folder, name="csv", version=training)
        case _:
            return False


def _keep_earlier(path: Path) -> None:
    """Rename the log of a stopped run, which Lightning would delete."""
    if path.exists() and is_first():
        count = len(list(path.parent.glob("metrics*.csv")))
        path.rename(path.with_name(f"metrics_before_{count}.csv"))


def build_trainer(
    config: Config,
    *,
    max_epochs: int,
    callbacks: Sequence[L.Callback],
    logger: Logger | bool = False,
    checkpointing: bool = False,
) -> L.Trainer:
    """A Trainer on the configured devices, or with the processes that torchrun has started.

    Args:
        config: its `trainer` part is used.
        max_epochs: length of this training.
        callbacks: beside those of Lightning.
        logger: where metrics go.
        checkpointing: whether checkpoints may be written.
    """
    settings = config.trainer
    devices: Any = settings.devices
    nodes = settings.num_nodes
    if by_torchrun():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    elif devices == 1:
        devices = own_device(settings)
    synchronised = settings.sync_batchnorm
    on_cpu = synchronised and not _on_gpu(settings)
    return L.Trainer(
        accelerator=settings.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=settings.strategy,
        sync_batchnorm=synchronised and not on_cpu,
        plugins=[
            AtomicCheckpointIO(),
            *([SyncBatchNormOnCPU()] if on_cpu else []),
            *([LightningEnvironment()] if in_slurm_shell() else []),
        ],
        precision=resolve_precision(settings.precision, settings.accelerator),
        max_epochs=max_epochs,
        log_every_n_steps=settings.log_every_n_steps,
        callbacks=list(callbacks),
        logger=logger,
        enable_checkpointing=checkpointing,
        default_root_dir=config.output_dir,
        **_PLAIN,
    )


def local_trainer(
    config: Config,
    *callbacks: L.Callback,
    max_epochs: int = 1,
    precision: str = "32-true",
    logger: Logger | bool = False,
) -> L.Trainer:
    """A Trainer in this process alone, on its own device, whatever other processes there are.

    For what is too small to share: a few labelled images.
    """
    settings = config.trainer
    return L.Trainer(
        accelerator=settings.accelerator,
        devices=own_device(settings),
        plugins=[LightningEnvironment(), AtomicCheckpointIO()],
        precision=resolve_precision(precision, settings.accelerator),
        max_epochs=max_epochs,
        log_every_n_steps=settings.log_every_n_steps,
        callbacks=list(callbacks),
        logger=logger,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        default_root_dir=config.output_dir,
        check_val_every_n_epoch=max_epochs + 1,  # never: validation is a step of its own
        **_PLAIN,
    )


def _on_gpu(settings: TrainerConfig) -> bool:
    return torch.cuda.is_available() and settings.accelerator != "cpu"


def own_device(settings: TrainerConfig) -> int | list[int]:
    """One device: by the process's place in its run, or its job's turn in a sweep side by side."""
    if not _on_gpu(settings):
        return 1
    chosen = str(settings.devices)
    if "," in chosen:
        gpus = [int(gpu) for gpu in chosen.split(",") if gpu]
    else:
        gpus = list(range(torch.cuda.device_count()))
    turn = local_rank() + int(os.environ.get("SIMCLR_GPU", "0"))
    return [gpus[turn % len(gpus)]]


def decisions(trainer: L.Trainer) -> str:
    """One line with the devices, threads and precision that `auto` chose."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' * (count > 1)}" if device.type == "cpu" else ""
    return f"{trainer.world_size} x {name}{threads}, precision {trainer.precision}"
