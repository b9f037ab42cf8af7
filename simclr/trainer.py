"""The Lightning Trainer that a configuration asks for."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from simclr.config import Config

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def resolve_precision(precision: str, accelerator: str) -> Precision:
    """`auto` becomes bf16-mixed where the processor computes in it natively, else 32-true."""
    if precision != "auto":
        return cast(Precision, precision)
    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    native = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if on_gpu
        else torch.cpu._is_avx512_bf16_supported()
    )
    return "bf16-mixed" if native else "32-true"


def build_logger(name: str, folder: Path) -> Logger | bool:
    """The logger of that name, writing into `folder`; False for none."""
    match name:
        case "tensorboard":
            return TensorBoardLogger(folder, name="tensorboard", version="")
        case "csv":
            return CSVLogger(folder, name="csv", version="")
        case _:
            return False


def build_trainer(
    config: Config,
    *,
    max_epochs: int,
    callbacks: Sequence[L.Callback],
    logger: Logger | bool = False,
    checkpointing: bool = False,
) -> L.Trainer:
    """A Trainer on the configured devices, with nothing that costs time unless asked for.

    Args:
        config: its `trainer` part is used.
        max_epochs: length of this training.
        callbacks: beside those of Lightning.
        logger: where metrics go.
        checkpointing: whether checkpoints may be written.
    """
    settings = config.trainer
    return L.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=resolve_precision(settings.precision, settings.accelerator),
        sync_batchnorm=settings.sync_batchnorm,
        max_epochs=max_epochs,
        log_every_n_steps=settings.log_every_n_steps,
        callbacks=list(callbacks),
        logger=logger,
        enable_checkpointing=checkpointing,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        check_val_every_n_epoch=max_epochs,  # once, with the last weights
        num_sanity_val_steps=0,
    )


def local_trainer(config: Config, *callbacks: L.Callback) -> L.Trainer:
    """A Trainer of one epoch in full precision, in this process alone and on its own device.

    For what is too small to share: each process of a distributed job does all of it.
    """
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    accelerator = config.trainer.accelerator
    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    return L.Trainer(
        accelerator=accelerator,
        devices=[rank] if on_gpu else 1,
        plugins=[LightningEnvironment()],
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def decisions(trainer: L.Trainer) -> str:
    """What `auto` came to, in a line."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{trainer.world_size} x {name}{threads}, precision {trainer.precision}"
