"""Batch norm with the statistics of the global batch, on the CPU: torch's own needs a GPU."""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.autograd.function import Function
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNormOnCPU(LayerSync):
    """Lightning's `sync_batchnorm=True`, for the CPU."""

    def apply(self, model: nn.Module) -> nn.Module:
        for norm in _norms(model):
            vars(norm)["forward"] = partial(_synchronised, norm)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for norm in _norms(model):
            del vars(norm)["forward"]
        return model


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _synchronised(norm: _BatchNorm, x: Tensor) -> Tensor:
    """`norm(x)` for x (B, C, ...), with the same B in all processes."""
    if not norm.training:
        evaluated: Tensor = type(norm).forward(norm, x)
        return evaluated
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    others = [dim for dim in range(x.ndim) if dim != 1]
    channels = [-1 if dim == 1 else 1 for dim in range(x.ndim)]
    count = x.numel() // x.shape[1] * dist.get_world_size()
    mean: Tensor = _Mean.apply(x.float().mean(others))
    centred = x.float() - mean.view(channels)
    variance: Tensor = _Mean.apply(centred.square().mean(others))
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
    scale = (variance + norm.eps).rsqrt() * norm.weight
    return (centred * scale.view(channels) + norm.bias.view(channels)).to(x.dtype)


class _Mean(Function):
    """The mean over all processes; the gradient is that of the sum of their losses."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return _mean(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(own: Tensor) -> Tensor:
    total = own.clone()
    dist.all_reduce(total)
    return total.div_(dist.get_world_size())
