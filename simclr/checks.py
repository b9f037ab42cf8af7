"""What a configuration may not be, beyond types: found before any data is read, all at once."""

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from simclr.config.augment import check_augment
from simclr.config.schema import Config
from simclr.errors import SimclrError
from simclr.launch.ranks import by_srun, by_torchrun, world_size
from simclr.launch.sweeps import in_sweep

CHOICES: dict[str, tuple[str | None, ...]] = {
    "task": (
        *("benchmark", "pretrain", "linear_eval", "finetune", "supervised"),
        *("label_spread", "self_train"),
    ),
    "export": (None, "onnx"),
    "logger": ("tensorboard", "csv", "none"),
    "data.name": ("mnist", "fashion_mnist", "kmnist", "idx", "folder", "synthetic"),
    "data.stream": ("auto", "always", "never"),
    "encoder.name": ("cnn", "resnet18", "timm"),
    "loss.name": ("nt_xent", "dcl"),
    "optimizer.name": ("adamw", "sgd", "lars"),
    "optimizer.lr_scaling": ("none", "linear", "sqrt"),
    "trainer.accelerator": ("auto", "cpu", "gpu"),
    "trainer.strategy": ("auto", "ddp"),
    "trainer.precision": ("auto", "32-true", "bf16-mixed", "16-mixed"),
}

GIVEN_AN_ENCODER = ("linear_eval", "finetune", "label_spread", "self_train")

METHODS = (
    "linear_eval",
    "finetune",
    "supervised",
    "random_encoder",
    "label_spread",
    "self_train",
)

AT_LEAST: dict[str, float] = {
    "seed": 0,
    "labels.per_class": 1,
    "labels.draws": 1,
    "labels.seed": 0,
    "data.batch_size": 1,
    "data.val_images": 0,
    "data.split_seed": 0,
    "data.train_images": 1,
    "data.test_images": 1,
    "data.image_size": 8,
    "data.max_pixels": 1,
    "encoder.convs_per_stage": 1,
    "head.dim": 1,
    "loss.temperature": 0.01,
    "loss.block_rows": 1,
    "clustering.max_epochs": 0,
    "clustering.batch_size": 1,
    "clustering.lr": 0,
    "clustering.weight": 0,
    "optimizer.lr": 0,
    "optimizer.weight_decay": 0,
    "probe.l2": 0,
    "probe.every_steps": 0,
    "probe.images": 1,
    "finetune.max_epochs": 1,
    "finetune.batch_size": 1,
    "finetune.lr": 0,
    "finetune.encoder_lr": 0,
    "supervised.max_epochs": 1,
    "supervised.batch_size": 1,
    "supervised.lr": 0,
    "supervised.encoder_lr": 0,
    "label_spread.neighbours": 1,
    "label_spread.l2": 0,
    "self_train.max_epochs": 1,
    "self_train.batch_size": 1,
    "self_train.lr": 0,
    "self_train.label_weight": 0,
    "trainer.max_epochs": 1,
    "trainer.num_nodes": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.checkpoint_seconds": 0,
}

LARGEST_SEED = 2**31 - 1  # two are added, and NumPy takes 32 bits

BELOW_ONE = (
    "optimizer.momentum",
    "optimizer.warmup",
    "finetune.label_smoothing",
    "supervised.label_smoothing",
    "label_spread.alpha",
)

UP_TO_ONE = (
    "finetune.augment_strength",
    "supervised.augment_strength",
    "self_train.augment_strength",
    "clustering.augment_strength",
)


def check(config: Config, fresh_folder: bool = False) -> None:
    """Refuse a configuration that cannot work.

    Args:
        config: all of it.
        fresh_folder: whether `output_dir` is a new folder that nobody named.

    Raises:
        SimclrError: listing everything that is wrong: key, value given, and what is allowed.
    """
    problems = [*_unknown(config), *_choices(config), *_ranges(config)]
    problems += [*check_augment(config.augment), *_combinations(config)]
    if fresh_folder and config.checkpoint == "auto":
        problems.append("checkpoint=auto: needs output_dir=FOLDER, the run to go on with")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SimclrError(f"The configuration has {count}:\n  " + "\n  ".join(problems))


def _get(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _unknown(part: Any, prefix: str = "") -> Iterator[str]:
    """Keys that `+key=value` appended: nothing reads them."""
    names = [field.name for field in fields(part)]
    for name, value in vars(part).items():
        if name not in names:
            near = get_close_matches(name, names, n=1) or names
            yield f"{prefix}{name}={value}: no such key; there is {prefix}{{{', '.join(near)}}}"
        elif is_dataclass(value):
            yield from _unknown(value, f"{prefix}{name}.")


def _choices(config: Config) -> Iterator[str]:
    for key, allowed in CHOICES.items():
        value = _get(config, key)
        if value not in allowed:
            names = ", ".join("null" if name is None else name for name in allowed)
            yield f"{key}={value}: must be one of {names}"
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d*)+", str(config.trainer.devices)):
        yield (
            f"trainer.devices={config.trainer.devices}: must be auto, a number of devices, "
            "or the indices of GPUs as in '0,1'"
        )
    if config.data.channels not in (1, 3):
        yield f"data.channels={config.data.channels}: must be 1 (grey) or 3 (colour)"


def _ranges(config: Config) -> Iterator[str]:
    for key, least in AT_LEAST.items():
        value = _get(config, key)
        if value is not None and not least <= value < float("inf"):
            yield f"{key}={value}: must be at least {least}"
    for key in ("seed", "labels.seed", "data.split_seed"):
        if _get(config, key) > LARGEST_SEED:
            yield f"{key}={_get(config, key)}: must be at most {LARGEST_SEED}"
    for key in BELOW_ONE:
        value = _get(config, key)
        if not 0 <= value < 1:
            yield f"{key}={value}: must be at least 0 and below 1"
    for key in UP_TO_ONE:
        value = _get(config, key)
        if not 0 <= value <= 1:
            yield f"{key}={value}: must be between 0 and 1"
    for key in ("encoder.channels", "head.hidden"):
        if any(width < 1 for width in _get(config, key)):
            yield f"{key}={_get(config, key)}: every width must be at least 1"
    heads = config.clustering.heads
    if not heads or min(heads) < 2:
        yield f"clustering.heads={heads}: needs one head or more, each of at least 2 clusters"
    if len(config.encoder.channels) < 2:
        yield f"encoder.channels={config.encoder.channels}: needs at least two widths"
    methods = config.methods
    if (
        methods[:1] != ["linear_eval"]
        or not {*methods} <= {*METHODS}
        or len({*methods}) < len(methods)
    ):
        yield (
            f"methods={methods}: must be linear_eval, then different ones of "
            f"{', '.join(METHODS[1:])}"
        )
    if config.pretrain_seeds is not None and (
        not config.pretrain_seeds
        or min(config.pretrain_seeds) < 0
        or max(config.pretrain_seeds) > LARGEST_SEED
        or len(set(config.pretrain_seeds)) < len(config.pretrain_seeds)
    ):
        yield (
            f"pretrain_seeds={config.pretrain_seeds}: must be different seeds of at least 0 "
            f"and at most {LARGEST_SEED}"
        )


def _combinations(config: Config) -> Iterator[str]:
    weights = config.encoder.weights
    if weights is None and config.task in GIVEN_AN_ENCODER:
        yield (
            f"encoder.weights=null: task={config.task} needs the encoder.safetensors "
            "that task=pretrain writes"
        )
    if weights is not None and config.task == "supervised":
        yield f"encoder.weights={weights}: must be null for task=supervised, which has none"
    for key in ("encoder.weights", "checkpoint"):
        path = _get(config, key)
        if path not in (None, "auto" if key == "checkpoint" else None) and not Path(path).is_file():
            yield f"{key}={path}: no such file"
    if config.checkpoint not in (None, "auto"):
        if config.task in ("linear_eval", "label_spread"):
            yield f"checkpoint={config.checkpoint}: must be null or auto for task={config.task}"
        elif config.task == "benchmark" and len(config.pretrain_seeds or [0]) > 1:
            yield (
                f"checkpoint={config.checkpoint}: must be null or auto where there are several "
                f"pretrain_seeds={config.pretrain_seeds}"
            )
    if not config.output_dir:
        yield "output_dir=: must name a folder"
    if config.export is not None and config.task == "pretrain":
        yield f"export={config.export}: must be null for task=pretrain, which has no classifier"
    if config.trainer.accelerator == "gpu" and not _gpu_is_there():
        yield "trainer.accelerator=gpu: torch sees no GPU here; choose trainer=auto or trainer=cpu"
    if config.optimizer.name == "lars" and not importlib.util.find_spec("timm"):
        yield "optimizer.name=lars: needs the package timm: pip install 'simclr[timm]'"
    yield from _timm(config)
    if config.export == "onnx" and not importlib.util.find_spec("onnxscript"):
        yield "export=onnx: needs the packages of an extra: pip install 'simclr[onnx]'"
    if config.trainer.precision == "16-mixed" and (
        config.trainer.accelerator == "cpu" or not _gpu_is_there()
    ):
        yield "trainer.precision=16-mixed: needs a GPU; on a CPU choose 32-true or bf16-mixed"
    yield from _processes(config)


def _processes(config: Config) -> Iterator[str]:
    trainer = config.trainer
    if trainer.accelerator == "cpu" and "," in str(trainer.devices):
        yield f"trainer.devices={trainer.devices}: must be a number of processes on a CPU"
    together = {"WORLD_SIZE", "SLURM_NTASKS", "MASTER_ADDR"} & os.environ.keys()
    if trainer.num_nodes > 1 and not together:
        yield (
            f"trainer.num_nodes={trainer.num_nodes}: needs torchrun or SLURM to start it on every "
            "machine, else it waits for ever"
        )
    processes = world_size(trainer.devices, trainer.num_nodes)
    shared = ["data.batch_size"] if config.task in ("benchmark", "pretrain") else []
    if shared and config.clustering.max_epochs:
        shared.append("clustering.batch_size")
    for key in shared:
        batch = _get(config, key)
        if min(batch, processes) > 0 and batch % processes:
            yield (
                f"{key}={batch}: must be a multiple of the {processes} processes that share a batch"
            )
    if in_sweep():
        yield from _processes_of_sweep(config)


def _processes_of_sweep(config: Config) -> Iterator[str]:
    launcher = HydraConfig.get().runtime.choices["hydra/launcher"]
    if by_torchrun() and launcher != "basic":
        yield f"hydra/launcher={launcher}: must be basic under torchrun, which starts the processes"
    shares = config.task in ("benchmark", "pretrain")
    if shares and not (by_torchrun() or by_srun()) and (count := _children(config)) > 1:
        command = shlex.join(sys.argv) if launcher == "basic" else "train.py -m KEY=VALUE,..."
        yield (
            f"trainer.devices={config.trainer.devices}: in a sweep, Lightning would start the "
            "sweep again for each device; this works: "
            f"torchrun --standalone --nproc-per-node {count} {command}"
        )


def _children(config: Config) -> int:
    """Processes that Lightning would make of this one."""
    trainer = config.trainer
    if str(trainer.devices) in ("auto", "-1") and trainer.accelerator != "cpu":
        import torch

        return torch.cuda.device_count()
    return world_size(trainer.devices)


def _timm(config: Config) -> Iterator[str]:
    model = config.encoder.model
    if config.encoder.name != "timm":
        if model is not None:
            yield f"encoder.model={model}: must be null for encoder.name={config.encoder.name}"
    elif not importlib.util.find_spec("timm"):
        yield "encoder.name=timm: needs the package timm: pip install 'simclr[timm]'"
    else:
        import timm

        if model is None or not timm.is_model(model):
            near = ", ".join(get_close_matches(model or "", timm.list_models())) or "resnet10t, ..."
            yield f"encoder.model={model}: timm has no such model; it has {near}"


def _gpu_is_there() -> bool:
    import torch

    return torch.accelerator.is_available()
