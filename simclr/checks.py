"""Checks of a configuration beyond types: before any data is read, and all problems at once.

They read the registries of all parts, and so stand above them.
"""

import importlib.util
import math
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from simclr.config.augment import AugmentConfig
from simclr.config.keys import keys_of
from simclr.config.schema import Config
from simclr.data import SOURCES
from simclr.errors import SimclrError
from simclr.launch.ranks import by_srun, by_torchrun, world_size
from simclr.launch.sweeps import in_sweep
from simclr.losses import LOSSES
from simclr.methods import METHODS
from simclr.models import ENCODERS
from simclr.training import OPTIMIZERS

REGISTRIES: dict[str, Iterable[str]] = {  # the choices that grow with the code
    "task": ("benchmark", "pretrain", "choose_labels", *METHODS),
    "data.name": SOURCES,
    "encoder.name": ENCODERS,
    "loss.name": LOSSES,
    "optimizer.name": OPTIMIZERS,
}


def check(config: Config, fresh_folder: bool = False) -> None:
    """Refuse a configuration that cannot work.

    Args:
        config: all of it.
        fresh_folder: whether `output_dir` is a new folder that nobody named.

    Raises:
        SimclrError: listing everything that is wrong: key, value given, and what is allowed.
    """
    problems = [*_unknown(config), *_choices(config), *_ranges(config)]
    problems += [*_augment(config.augment), *_combinations(config)]
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
    for key, value, about in keys_of(config):
        allowed = about["choices"] or REGISTRIES.get(key)
        if allowed and value not in allowed:
            names = ", ".join("null" if name is None else str(name) for name in allowed)
            yield f"{key}={value}: must be one of {names}"
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d*)+", str(config.trainer.devices)):
        yield (
            f"trainer.devices={config.trainer.devices}: must be auto, a number of devices, "
            "or the indices of GPUs as in '0,1'"
        )


def _ranges(config: Config) -> Iterator[str]:
    for key, value, about in keys_of(config):
        many = isinstance(value, list)
        numbers = value if many else [] if value is None else [value]
        bounds = _bounds(about)
        if bounds and not all(_within(number, about) for number in numbers):
            given = value if many or isinstance(value, int) else f"{value:g}"
            yield f"{key}={given}: {'each value ' * many}must be {bounds}"
    yield from _lists(config)


def _bounds(about: Mapping[str, Any]) -> str:
    """The bounds of a key in words; empty if it has none."""
    least, most, below = (about[name] for name in ("at_least", "at_most", "below"))
    if least is None:
        return ""
    if most is not None:
        return f"between {least} and {most}"
    return f"at least {least}" + (f" and below {below}" if below is not None else "")


def _within(number: float, about: Mapping[str, Any]) -> bool:
    most, below = about["at_most"], about["below"]
    return bool(
        about["at_least"] <= number < math.inf
        and (most is None or number <= most)
        and (below is None or number < below)
    )


def _augment(config: AugmentConfig) -> Iterator[str]:
    if not _is_range(config.scale, math.inf):
        yield f"augment.scale={list(config.scale)}: must be [min, max], 0 < min <= max"
    if config.crop_area is not None and not _is_range(config.crop_area, 1.0):
        yield (
            f"augment.crop_area={list(config.crop_area)}: "
            "must be null or [min, max], 0 < min <= max <= 1"
        )


def _is_range(values: list[float], top: float) -> bool:
    return len(values) == 2 and 0 < values[0] <= values[1] <= top and math.isfinite(values[1])


def _lists(config: Config) -> Iterator[str]:
    heads = config.clustering.heads
    if not heads:
        yield f"clustering.heads={heads}: needs at least one head"
    for key in ("encoder.channels", "student.channels"):
        if len(channels := _get(config, key)) < 2:
            yield f"{key}={channels}: needs at least two widths"
    methods = config.methods
    if (
        methods[:1] != ["linear_eval"]
        or not {*methods} <= METHODS.keys()
        or len({*methods}) < len(methods)
    ):
        yield (
            f"methods={methods}: must be linear_eval, then different ones of "
            f"{', '.join(list(METHODS)[1:])}"
        )
    seeds = config.pretrain_seeds
    if seeds is not None and (not seeds or len(set(seeds)) < len(seeds)):
        yield f"pretrain_seeds={seeds}: must be null or different seeds"


def _combinations(config: Config) -> Iterator[str]:
    weights = config.encoder.weights
    method = METHODS.get(config.task)
    given = weights is not None or config.encoder.pretrained
    needs = config.task == "choose_labels" or (method and method.encoder == "pretrained")
    if not given and needs:
        yield (
            f"encoder.weights=null: task={config.task} needs the encoder.safetensors "
            "that task=pretrain writes"
        )
    if weights is not None and method and method.encoder == "random":
        yield f"encoder.weights={weights}: must be null for task={config.task}, which draws its own"
    if config.trainer.max_epochs == 0 and method and method.trains:
        yield f"trainer.max_epochs=0: must be at least 1 for task={config.task}"
    for key in ("encoder.weights", "encoder.checkpoint", "checkpoint", "data.labels"):
        path = _get(config, key)
        if path not in (None, "auto" if key == "checkpoint" else None) and not Path(path).is_file():
            yield f"{key}={path}: no such file"
    if config.checkpoint not in (None, "auto"):
        if method and not method.trains:
            yield f"checkpoint={config.checkpoint}: must be null or auto for task={config.task}"
        elif config.task == "benchmark" and len(config.pretrain_seeds or [0]) > 1:
            yield (
                f"checkpoint={config.checkpoint}: must be null or auto where there are several "
                f"pretrain_seeds={config.pretrain_seeds}"
            )
    if not config.output_dir:
        yield "output_dir=: must name a folder"
    if config.student.max_epochs and not _second_stage(config):
        yield (
            f"student.max_epochs={config.student.max_epochs}: must be 0 without the second stage "
            "(clustering.max_epochs=0), whose clusters a student learns"
        )
    if config.export is not None and config.task in ("pretrain", "choose_labels"):
        yield f"export={config.export}: must be null for task={config.task}: it has no classifier"
    yield from _labels(config)
    if config.trainer.accelerator == "gpu" and not _gpu_is_there():
        yield "trainer.accelerator=gpu: torch sees no GPU here; choose trainer=auto or trainer=cpu"
    if config.optimizer.name == "lars" and not importlib.util.find_spec("timm"):
        yield "optimizer.name=lars: needs the package timm: pip install -e '.[timm]'"
    yield from _timm(config)
    if config.export == "onnx" and not importlib.util.find_spec("onnxscript"):
        yield "export=onnx: needs the packages of an extra: pip install -e '.[onnx]'"
    if config.trainer.precision == "16-mixed" and (
        config.trainer.accelerator == "cpu" or not _gpu_is_there()
    ):
        yield "trainer.precision=16-mixed: needs a GPU; on a CPU choose 32-true or bf16-mixed"
    yield from _processes(config)


def _second_stage(config: Config) -> int:
    """Its epochs, or the least number of its steps; 0 if there is none."""
    length = config.clustering.max_epochs
    return config.clustering.steps if length is None else length


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
    if shared and _second_stage(config):
        shared.append("clustering.batch_size")
    if shared and config.student.max_epochs:
        shared.append("student.batch_size")
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


def _labels(config: Config) -> Iterator[str]:
    labels, data = config.labels, config.data
    choosing = config.task == "choose_labels"
    if choosing and labels.budget is None:
        yield "labels.budget=null: task=choose_labels needs the number of images, such as 20"
    if labels.budget is not None and not choosing and config.task != "benchmark":
        yield f"labels.budget={labels.budget}: needs task=benchmark or task=choose_labels"
    compared = config.task == "benchmark" and labels.budget is not None
    if labels.choice != "random" and not choosing and not compared:
        yield f"labels.choice={labels.choice}: needs task=benchmark and labels.budget"
    by_index = data.name not in ("folder", "synthetic")
    if by_index and data.train_images is not None and (choosing or data.labels):
        yield (
            f"data.train_images={data.train_images}: must be null where images are told by their "
            "index in the file"
        )


def _children(config: Config) -> int:
    """Processes that Lightning would make of this one."""
    trainer = config.trainer
    if str(trainer.devices) in ("auto", "-1") and trainer.accelerator != "cpu":
        import torch

        return torch.cuda.device_count()
    return world_size(trainer.devices)


def _timm(config: Config) -> Iterator[str]:
    encoder = config.encoder
    model, name = encoder.model, f"encoder.model={encoder.model}"
    if encoder.checkpoint is not None and not encoder.pretrained:
        yield f"encoder.checkpoint={encoder.checkpoint}: needs encoder.pretrained=true"
    if not (encoder.checkpoint or "x.safetensors").endswith(".safetensors"):
        yield f"encoder.checkpoint={encoder.checkpoint}: must be a .safetensors file"
    if encoder.name != "timm":
        if model is not None:
            yield f"{name}: must be null for encoder.name={encoder.name}"
        if encoder.pretrained:
            yield f"encoder.pretrained=true: needs encoder=timm, not encoder.name={encoder.name}"
    elif not importlib.util.find_spec("timm"):
        yield "encoder.name=timm: needs the package timm: pip install -e '.[timm]'"
    else:
        import timm

        if model is None or not timm.is_model(model):
            near = ", ".join(get_close_matches(model or "", timm.list_models())) or "resnet10t, ..."
            yield f"{name}: timm has no such model; it has {near}"
        elif "." in model and not encoder.pretrained:
            yield f"{name}: {model.partition('.')[2]} names weights: add encoder.pretrained=true"


def _gpu_is_there() -> bool:
    import torch

    return torch.accelerator.is_available()
