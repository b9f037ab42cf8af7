"""Muon beside its definition, and where it stands beside Adam."""

import pytest
import torch
from torch import nn

from simclr.config.schema import OptimizerConfig
from simclr.training.muon import Muon, orthogonal
from simclr.training.optim import build_optimizer


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (30, 30), (1, 9)])
def test_all_singular_values_of_an_update_are_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, scales, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(0.1, 1.0, len(scales))
    result = orthogonal(left @ torch.diag(values) @ right)
    assert result.dtype == torch.float32
    assert torch.linalg.svdvals(result).sub(1).abs().max() < 0.35
    nearest = left @ right
    assert (result * nearest).sum() / nearest.norm() / result.norm() > 0.97


def test_a_convolution_moves_by_its_matrix_whatever_the_size_of_the_gradient() -> None:
    moves = []
    for size in (1.0, 1024.0):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 8, 3, bias=False)
        before = layer.weight.detach().clone()
        layer.weight.grad = size * torch.randn_like(layer.weight)
        optimizer = build_optimizer(OptimizerConfig(name="muon", weight_decay=0), [(layer, 0.1)])
        optimizer.step()
        moves.append((layer.weight.detach() - before).flatten(1))
    torch.testing.assert_close(*moves, rtol=0.02, atol=5e-4)
    rms = moves[0].square().mean().sqrt()
    assert rms == pytest.approx(0.1 * 0.2, rel=0.3)  # as AdamW's at this learning rate


def test_biases_move_as_with_adam() -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 5)) for _ in range(2))
    muon = Muon([{"params": [ours], "lr": 0.01}], weight_decay=0.1)
    adam = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    for step in range(4):
        for bias, optimizer in ((ours, muon), (theirs, adam)):
            bias.grad = (bias.detach() - 1) * (step + 1)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_weights_decay_and_a_closure_is_evaluated() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer = Muon([{"params": [weight], "lr": 0.5}], weight_decay=0.2)

    def closure() -> torch.Tensor:
        loss = 0 * weight.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 0
    torch.testing.assert_close(weight.detach(), torch.full((4, 4), 0.9))
