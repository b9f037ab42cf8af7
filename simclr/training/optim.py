"""Optimisers with per-step warm-up and cosine, and the parameter groups they work on."""

import math
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from simclr.config.schema import OptimizerConfig
from simclr.errors import SimclrError
from simclr.training import OPTIMIZERS
from simclr.training.muon import Muon


def parameter_groups(modules: Iterable[tuple[nn.Module, float]]) -> list[dict[str, Any]]:
    """Two groups per (module, learning rate): weights to decay, and all others not to.

    Every trainable parameter lands in exactly one group. Biases and norms, which have fewer than
    two dimensions, do not decay, nor does what a part of the module names in `no_weight_decay()`,
    as transformers of timm do with their position embeddings. Groups without parameters are left
    out.
    """
    groups: list[dict[str, Any]] = []
    for module, lr in modules:
        exempt = set(_exempt(module))
        decaying: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                decays = parameter.ndim >= 2 and name not in exempt
                (decaying if decays else others).append(parameter)
        groups.append({"params": decaying, "lr": lr})
        groups.append({"params": others, "lr": lr, "weight_decay": 0})
    return [group for group in groups if group["params"]]


def _exempt(module: nn.Module) -> Iterator[str]:
    """Names of parameters that parts of a module say must not decay."""
    for prefix, part in module.named_modules():
        named = getattr(part, "no_weight_decay", None)
        for name in named() if callable(named) else ():
            yield f"{prefix}.{name}" if prefix else name


def build_optimizer(
    config: OptimizerConfig, modules: Iterable[tuple[nn.Module, float]]
) -> Optimizer:
    """The optimiser that `config.name` chooses over (module, learning rate) pairs.

    Raises:
        SimclrError: if LARS is asked for and the extra that brings it is not installed.
        ValueError: if there is no optimiser of that name.
    """
    if config.name not in OPTIMIZERS:
        raise ValueError(f"no optimizer named {config.name!r}; there is {', '.join(OPTIMIZERS)}")
    build = pkgutil.resolve_name(OPTIMIZERS[config.name])
    optimizer: Optimizer = build(config, parameter_groups(modules))
    return optimizer


def scheduled(
    config: OptimizerConfig, modules: Iterable[tuple[nn.Module, float]], total_steps: int
) -> OptimizerLRScheduler:
    """The optimiser of `build_optimizer` and its schedule, as `configure_optimizers` returns them.

    Raises:
        SimclrError, ValueError: as `build_optimizer` does.
    """
    optimizer = build_optimizer(config, modules)
    schedule = warmup_cosine(optimizer, total_steps, config.warmup)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def adamw(config: OptimizerConfig, groups: list[dict[str, Any]]) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def muon(config: OptimizerConfig, groups: list[dict[str, Any]]) -> Optimizer:
    """Muon for weights, Adam for biases and norms."""
    return Muon(groups, momentum=config.momentum, weight_decay=config.weight_decay)


def sgd(config: OptimizerConfig, groups: list[dict[str, Any]]) -> Optimizer:
    """Stochastic gradient descent, with Nesterov's momentum if there is any."""
    return torch.optim.SGD(
        groups,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
        fused=True,
    )


def lars(config: OptimizerConfig, groups: list[dict[str, Any]]) -> Optimizer:
    """LARS (You et al. 2017), by timm.

    Raises:
        SimclrError: if timm is not installed.
    """
    try:
        from timm.optim.lars import Lars
    except ImportError as error:
        raise SimclrError(
            "optimizer.name=lars: needs the package timm: pip install -e '.[timm]'"
        ) from error
    for group in groups:  # by itself, timm would not adapt groups that do not decay, or all
        group["always_adapt"] = "weight_decay" not in group
    optimizer: Optimizer = Lars(groups, momentum=config.momentum, weight_decay=config.weight_decay)
    return optimizer


def scaled_lr(config: OptimizerConfig, batch_size: int) -> float:
    """The peak learning rate for a batch, where `config.lr` is for 256 (Chen et al. 2020, B.1).

    Raises:
        ValueError: if there is no rule of the name in `config.lr_scaling`.
    """
    growth = batch_size / 256
    match config.lr_scaling:
        case "none":
            return config.lr
        case "linear":
            return config.lr * growth
        case "sqrt":
            return config.lr * math.sqrt(growth)
        case name:
            raise ValueError(f"no lr_scaling named {name!r}")


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LambdaLR:
    """Linear warm-up over the first `warmup` share of `total_steps`, then cosine to zero."""
    warmup_steps = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
