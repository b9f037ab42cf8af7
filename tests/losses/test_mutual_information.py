"""The clustering loss against its definition, its bounds, and several processes against one."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from distributed import run_ranks
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from simclr.losses.mutual_information import information_loss


def equation_3(p0: NDArray[np.float64], p1: NDArray[np.float64]) -> float:
    """Ji et al. 2019, eq. 3, in loops, negated."""
    images, clusters = p0.shape
    joint = np.mean([np.outer(p0[i], p1[i]) for i in range(images)], axis=0)
    joint = (joint + joint.T) / 2
    return -sum(
        float(joint[c, d]) * math.log(joint[c, d] / (joint[c].sum() * joint[:, d].sum()))
        for c in range(clusters)
        for d in range(clusters)
        if joint[c, d] > 0
    )


def assignments(
    *shape: int, sharpness: float = 3.0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Of two views, the second near the first: (..., B, K) each."""
    generator = torch.Generator().manual_seed(seed)
    logits, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return tuple((sharpness * z).softmax(-1).to(dtype) for z in (logits, logits + noise / 2))


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize(("images", "clusters"), [(1, 2), (5, 30), (64, 10)])
def test_agrees_with_the_paper(images: int, clusters: int, sharpness: float) -> None:
    p0, p1 = assignments(images, clusters, sharpness=sharpness)
    expected = equation_3(p0.numpy(), p1.numpy())
    assert float(information_loss(p0, p1)) == pytest.approx(expected, abs=1e-9)
    single = float(information_loss(p0.float(), p1.float()))
    assert single == pytest.approx(expected, abs=1e-5)


def test_the_gradient_is_that_of_the_value() -> None:
    p0, p1 = (p.requires_grad_() for p in assignments(2, 6, 4))
    assert torch.autograd.gradcheck(information_loss, (p0, p1))


@pytest.mark.parametrize("clusters", [2, 10])
def test_bounds(clusters: int) -> None:
    certain = torch.eye(clusters).repeat(3, 1)
    assert float(information_loss(certain, certain)) == pytest.approx(-math.log(clusters))
    one = certain[:1].repeat(len(certain), 1)
    assert float(information_loss(one, one)) == pytest.approx(0)  # all images in one cluster
    undecided = torch.full_like(certain, 1 / clusters)
    assert float(information_loss(undecided, undecided)) == pytest.approx(0, abs=1e-6)
    for seed in range(20):
        loss = float(information_loss(*assignments(8, clusters, sharpness=seed, seed=seed)))
        assert -math.log(clusters) < loss <= 1e-12


def test_names_of_clusters_order_of_images_and_of_views_do_not_matter() -> None:
    p0, p1 = assignments(12, 5)
    loss = information_loss(p0, p1)
    names, order = torch.randperm(5), torch.randperm(12)
    torch.testing.assert_close(information_loss(p0[:, names], p1[:, names]), loss)
    torch.testing.assert_close(information_loss(p0[order], p1[order]), loss)
    torch.testing.assert_close(information_loss(p1, p0), loss)
    assert information_loss(p0, p1[order]) > loss


def test_a_cluster_that_nothing_falls_into_changes_nothing() -> None:
    p0, p1 = (p.float().requires_grad_() for p in assignments(12, 5))
    q0, q1 = (nn.functional.pad(p, (0, 2)) for p in (p0, p1))
    loss, padded = information_loss(p0, p1), information_loss(q0, q1)
    torch.testing.assert_close(padded, loss)
    for one, other in zip(
        torch.autograd.grad(loss, (p0, p1)), torch.autograd.grad(padded, (p0, p1)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_every_batch_of_several_has_its_own_loss() -> None:
    p0, p1 = assignments(3, 2, 8, 5)
    losses = information_loss(p0, p1)
    assert losses.shape == (3, 2)
    torch.testing.assert_close(losses[2, 1], information_loss(p0[2, 1], p1[2, 1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_and_autocast_compute_in_float32(dtype: torch.dtype) -> None:
    p0, p1 = assignments(64, 30, sharpness=20, dtype=dtype)
    expected = information_loss(p0.float(), p1.float())
    p0.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert information_loss(p0.float(), p1.float()) == expected
        loss = information_loss(p0, p1)
        assert information_loss(p0.double(), p1).dtype == torch.float64
    assert loss.dtype == torch.float32
    assert loss == expected
    (gradient,) = torch.autograd.grad(loss, p0)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    ("p0", "p1", "message"),
    [
        (torch.ones(3, 4), torch.ones(2, 4), r"\(3, 4\) and \(2, 4\)"),
        (torch.ones(3), torch.ones(3), r"\(3,\) and \(3,\)"),
        (torch.ones(0, 4), torch.ones(0, 4), r"\(0, 4\)"),
        (torch.ones(2, 4).long(), torch.ones(2, 4).long(), "int64"),
    ],
)
def test_errors_give_the_values(p0: Tensor, p1: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        information_loss(p0, p1)


def test_gather_in_a_single_process_changes_nothing() -> None:
    p0, p1 = assignments(4, 8)
    assert information_loss(p0, p1, gather=True) == information_loss(p0, p1)


def step(network: nn.Module, x: Tensor, gather: bool) -> tuple[Tensor, Tensor]:
    """Loss of both heads, and the gradient of the network's parameters; x (2, B, 8)."""
    p = network(x.flatten(0, 1)).view(2, -1, 2, 5).softmax(-1).transpose(1, 2)
    losses = information_loss(p[0], p[1], gather=gather)
    losses.mean().backward()
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return losses.detach(), torch.cat(gradients)


def step_of_rank(rank: int, network: nn.Module, x: Tensor) -> Any:
    own = x.chunk(torch.distributed.get_world_size(), dim=1)[rank]
    return step(DistributedDataParallel(network), own, gather=True)


@pytest.mark.distributed
@pytest.mark.parametrize("world_size", [2, 3])
def test_many_processes_equal_one_with_the_global_batch(world_size: int) -> None:
    torch.manual_seed(0)
    network = nn.Linear(8, 10, dtype=torch.float64)
    x = 3 * torch.randn(1, 12, 8, dtype=torch.float64) + torch.randn(2, 12, 8, dtype=torch.float64)
    ranks = run_ranks(step_of_rank, world_size, network, x)
    losses, gradient = step(network, x, gather=False)
    for own_losses, own_gradient in ranks:
        torch.testing.assert_close(own_losses, losses, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(own_gradient, gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("wrong", [torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 0.2]])])
def test_logits_are_refused(wrong: Tensor) -> None:
    shares = torch.tensor([[0.5, 0.5]])
    for views in ((wrong, shares), (shares, wrong)):
        with pytest.raises(ValueError, match="of logits take softmax"):
            information_loss(*views)


def test_half_precision_shares_of_many_clusters_are_no_logits() -> None:
    shares = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)).softmax(1)
    for dtype in (torch.bfloat16, torch.float16):
        assert information_loss(shares.to(dtype), shares.to(dtype)).isfinite()
