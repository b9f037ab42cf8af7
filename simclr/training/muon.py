"""Muon: momentum, made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from simclr.training.precision import computes_in_bfloat16

_ITERATIONS = 5
_QUINTIC = 3.4445, -4.7750, 2.0315  # coefficients of an iteration, by Jordan
_RMS = 0.2  # of an update at learning rate 1: that of AdamW's (Liu et al. 2025, arXiv:2502.16982)
_BETAS = 0.9, 0.999  # of Adam's two averages


class Muon(Optimizer):
    """Muon for weights of two or more dimensions, Adam for biases and norms; both decay weights.

    The weight (O, I, H, W) of a convolution is taken as the matrix (O, I * H * W). torch.optim.Muon
    takes matrices alone.

    Args:
        groups: parameter groups, each with its `lr` and perhaps its `weight_decay`.
        momentum: of Muon, in Nesterov's manner.
        weight_decay: of groups that do not say their own; decoupled, as in AdamW.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(groups, {"lr": 1e-2, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if weight.ndim >= 2:
                    update = _muon(weight.grad, state, group["momentum"])
                else:
                    update = _adam(weight.grad, state)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(update, alpha=group["lr"])
        return loss


def _muon(gradient: Tensor, state: dict[str, Any], momentum: float) -> Tensor:
    average = _average("average", state, gradient, momentum)
    matrix = gradient.lerp(average, momentum).flatten(1)
    scale = _RMS * math.sqrt(max(matrix.shape))
    return orthogonal(matrix).mul_(scale).view_as(gradient)


def _adam(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    first, second = _BETAS
    step = state["step"] = state.get("step", 0) + 1
    average = _average("average", state, gradient, first)
    square = _average("square", state, gradient.square(), second)
    root = (square / (1 - second**step)).sqrt_().add_(1e-8)
    update: Tensor = (average / (1 - first**step)).div_(root)
    return update


def _average(name: str, state: dict[str, Any], values: Tensor, keep: float) -> Tensor:
    """The moving average of that name, from zero, after one more step."""
    if name not in state:
        state[name] = torch.zeros_like(values)
    average: Tensor = state[name]
    return average.lerp_(values, 1 - keep)


def orthogonal(matrix: Tensor) -> Tensor:
    """About the orthogonal matrix nearest to one (M, N), by Newton and Schulz's iteration.

    Singular values come to lie between about 0.7 and 1.2. Where the processor computes in bfloat16
    natively, so does this.
    """
    a, b, c = _QUINTIC
    x: Tensor = matrix.to(torch.bfloat16 if computes_in_bfloat16(matrix.device) else torch.float32)
    if tall := x.shape[0] > x.shape[1]:
        x = x.mT
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT.to(matrix) if tall else x.to(matrix)
