import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from distributed import run_ranks
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from simclr.losses.nt_xent import nt_xent, nt_xent_with_accuracy


def algorithm_1(
    z0: NDArray[np.float64], z1: NDArray[np.float64], tau: float, decoupled: bool = False
) -> float:
    """Chen et al. 2020, Algorithm 1, in loops; decoupled: Yeh et al. 2022, eq. 6."""
    n = len(z0)
    z = [view for pair in zip(z0, z1, strict=True) for view in pair]
    s = [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in z] for a in z]

    def loss(i: int, j: int) -> float:
        left_out = {i, j} if decoupled else {i}
        denominator = sum(math.exp(s[i][k] / tau) for k in range(2 * n) if k not in left_out)
        return -math.log(math.exp(s[i][j] / tau) / denominator)

    return sum(loss(2 * k, 2 * k + 1) + loss(2 * k + 1, 2 * k) for k in range(n)) / (2 * n)


def cross_entropy(z0: Tensor, z1: Tensor, tau: float, decoupled: bool = False) -> Tensor:
    """Classify each embedding's positive among all others, differentiated by autograd."""
    u = F.normalize(torch.cat((z0, z1)))
    target = torch.arange(len(u)).roll(len(z0))
    logits = (u @ u.T / tau).masked_fill(torch.eye(len(u), dtype=torch.bool), -math.inf)
    if not decoupled:
        return F.cross_entropy(logits, target)
    positive = logits.gather(1, target[:, None])
    return (logits.scatter(1, target[:, None], -math.inf).logsumexp(1) - positive[:, 0]).mean()


def views(pairs: int, width: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Two views (2, B, D), the second near the first, of norms other than 1."""
    generator = torch.Generator().manual_seed(seed)
    z0, noise = torch.randn(2, pairs, width, generator=generator, dtype=torch.float64)
    return torch.stack((3 * z0, z0 + noise)).to(dtype)


def value_and_gradient(z: Tensor, loss: Any, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    value = loss(z[0], z[1], *args, **options)
    (gradient,) = torch.autograd.grad(value, z)
    return value.detach(), gradient


def assert_near(actual: Tensor, expected: Tensor, relative: float) -> None:
    """Compare by norm: single entries of a gradient may cancel to almost nothing."""
    assert torch.isfinite(actual).all()
    assert (actual.double() - expected.double()).norm() <= relative * expected.double().norm()


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("temperature", [0.01, 0.07, 0.5, 2.0])
@pytest.mark.parametrize(("pairs", "width"), [(2, 3), (5, 128), (24, 8)])
def test_agrees_with_the_papers(
    pairs: int, width: int, temperature: float, decoupled: bool
) -> None:
    z = views(pairs, width)
    expected = algorithm_1(z[0].double().numpy(), z[1].double().numpy(), temperature, decoupled)
    actual = nt_xent(z[0], z[1], temperature, decoupled=decoupled)
    assert actual.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_default_temperature_is_a_half() -> None:
    z0, z1 = views(4, 8)
    assert nt_xent(z0, z1) == nt_xent(z0, z1, 0.5)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("block_rows", [None, 3])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gradcheck(temperature: float, block_rows: int | None, decoupled: bool) -> None:
    def loss(z0: Tensor, z1: Tensor) -> Tensor:
        return nt_xent(z0, z1, temperature, decoupled=decoupled, block_rows=block_rows)

    z0, z1 = views(4, 3, torch.float64)
    assert torch.autograd.gradcheck(loss, (z0.requires_grad_(), z1.requires_grad_()))


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("pairs", [1, 4])
def test_second_derivatives(pairs: int, decoupled: bool) -> None:
    def loss(z0: Tensor, z1: Tensor) -> Tensor:
        return nt_xent(z0, z1, 0.3, decoupled=decoupled)

    z0, z1 = views(pairs, 3, torch.float64).unbind()
    assert torch.autograd.gradgradcheck(loss, (z0.requires_grad_(), z1.requires_grad_()))


def test_a_gradient_penalty_has_its_effect() -> None:
    def of_penalty(loss: Any, z: Tensor) -> Tensor:
        z = z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(z[0], z[1], 0.5), z, create_graph=True)
        (penalty,) = torch.autograd.grad(gradient.square().sum(), z)
        return penalty

    z = views(4, 3, torch.float64)
    assert_near(of_penalty(nt_xent, z), of_penalty(cross_entropy, z), 1e-9)
    z[0, 2] = 0
    penalty = of_penalty(nt_xent, z)
    assert penalty.isfinite().all()
    assert (penalty[0, 2] == 0).all()


def test_other_ways_to_differentiate_are_refused() -> None:
    z0, z1 = views(4, 3).unbind()
    with pytest.raises(RuntimeError):
        torch.func.grad(nt_xent)(z0, z1)
    with pytest.raises(RuntimeError):
        torch.func.jvp(nt_xent, (z0, z1), (z0, z1))
    with pytest.raises(RuntimeError):
        torch.func.vmap(nt_xent)(z0[None], z1[None])
    with torch.autograd.forward_ad.dual_level(), pytest.raises((RuntimeError, NotImplementedError)):
        nt_xent(torch.autograd.forward_ad.make_dual(z0, z1), z1)


def test_a_temperature_that_expects_a_gradient_is_refused() -> None:
    z0, z1 = views(4, 3).unbind()
    learnt: Any = torch.tensor(0.2, requires_grad=True)
    with pytest.raises(ValueError, match="temperature gets no gradient"):
        nt_xent(z0, z1, learnt)
    assert nt_xent(z0, z1, learnt.detach()) == pytest.approx(nt_xent(z0, z1, 0.2).item())


def test_a_temperature_that_divides_rounding_alone_is_refused() -> None:
    z = views(4, 8)
    with pytest.raises(ValueError, match=r"at least 1\.2e-07 in torch\.float32, got 1e-40"):
        nt_xent(z[0], z[1], 1e-40)
    value, gradient = value_and_gradient(z, nt_xent, 2e-7)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert nt_xent(z[0].double(), z[1].double(), 1e-9).isfinite()


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("block_rows", [None, 1, 7, 40, 1000])
@pytest.mark.parametrize("temperature", [0.001, 0.01, 0.5])
def test_any_block_size_gives_the_same_loss_and_gradient(
    temperature: float, block_rows: int | None, decoupled: bool
) -> None:
    z = views(30, 16, torch.float64)
    expected = value_and_gradient(z, cross_entropy, temperature, decoupled)
    for dtype, relative in ((torch.float64, 1e-9), (torch.float32, 2e-7 / temperature + 2e-6)):
        value, gradient = value_and_gradient(
            z.to(dtype), nt_xent, temperature, decoupled=decoupled, block_rows=block_rows
        )
        assert value.dtype == gradient.dtype == dtype
        assert_near(value, expected[0], relative)
        assert_near(gradient, expected[1], relative)


def test_more_than_one_default_block() -> None:
    z = views(300, 16)
    value, gradient = value_and_gradient(z, nt_xent)
    expected = value_and_gradient(z.double(), cross_entropy, 0.5)
    assert_near(value, expected[0], 1e-6)
    assert_near(gradient, expected[1], 1e-6)


def test_opposite_views_at_the_lowest_temperature() -> None:
    """Every exp((s - 1) / T) underflows, the positive's first of all."""
    z = torch.stack((torch.eye(6), -torch.eye(6)))
    value, gradient = value_and_gradient(z, nt_xent, 0.01)
    expected = value_and_gradient(z.double(), cross_entropy, 0.01)
    assert_near(value, expected[0], 1e-6)
    assert_near(gradient, expected[1], 1e-5)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_a_lone_pair_has_nothing_to_learn(temperature: float, decoupled: bool) -> None:
    value, gradient = value_and_gradient(views(1, 8), nt_xent, temperature, decoupled=decoupled)
    assert value == 0
    assert (gradient == 0).all()


def test_an_embedding_of_zeros_gets_no_gradient() -> None:
    z = views(4, 8)
    z[0, 2] = 0
    value, gradient = value_and_gradient(z, nt_xent)
    assert value.item() == pytest.approx(cross_entropy(z[0], z[1], 0.5).item(), rel=1e-5)
    assert torch.isfinite(gradient).all()
    assert (gradient[0, 2] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast_are_computed_in_float32(dtype: torch.dtype) -> None:
    z = views(20, 16, dtype)
    expected, _ = value_and_gradient(z.float(), nt_xent, 0.01)
    value, gradient = value_and_gradient(z, nt_xent, 0.01)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert torch.isfinite(gradient).all()
    assert value == expected
    with torch.autocast("cpu", dtype):
        assert nt_xent(z[0], z[1], 0.01) == expected
        assert nt_xent(z[0].double(), z[1].double(), 0.01).dtype == torch.float64


def test_ignores_scale_order_of_images_and_order_of_views() -> None:
    z0, z1 = views(12, 8, torch.float64)
    loss = nt_xent(z0, z1)
    scale = torch.linspace(1e-3, 1e3, 12, dtype=torch.float64)[:, None]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nt_xent(z0 * scale, z1 / scale), loss)
    torch.testing.assert_close(nt_xent(z0[order], z1[order]), loss)
    torch.testing.assert_close(nt_xent(z1, z0), loss)
    assert nt_xent(z0, z1[order]) > loss


def test_backward_scales_with_the_incoming_gradient_and_can_be_repeated() -> None:
    z0, z1 = views(4, 8).requires_grad_()
    loss = nt_xent(z0, z1)
    (once,) = torch.autograd.grad(loss, z0, retain_graph=True)
    (scaled,) = torch.autograd.grad(loss, z0, torch.tensor(3.0))
    torch.testing.assert_close(scaled, 3 * once)


def test_without_gradient() -> None:
    z = views(4, 8).requires_grad_()
    with torch.no_grad():
        loss = nt_xent(*z)
    assert not loss.requires_grad
    assert loss == nt_xent(*z)


@pytest.mark.parametrize("temperature", [0.01, 0.5])
@pytest.mark.parametrize("block_rows", [None, 1, 10])
def test_accuracy_counts_anchors_whose_positive_is_nearest(
    temperature: float, block_rows: int | None
) -> None:
    z = views(40, 4).requires_grad_()
    u = F.normalize(z.flatten(0, 1))
    similarity = u @ u.T - 2 * torch.eye(80)
    expected = (similarity.argmax(1) == torch.arange(80).roll(40)).float().mean()
    assert 0.1 < expected < 0.9
    loss, accuracy = nt_xent_with_accuracy(z[0], z[1], temperature, block_rows=block_rows)
    assert accuracy.item() == pytest.approx(expected.item())
    assert not accuracy.requires_grad
    assert loss == nt_xent(z[0], z[1], temperature, block_rows=block_rows)


def test_accuracy_of_perfect_and_of_collapsed_embeddings() -> None:
    perfect, collapsed = torch.eye(5), torch.ones(5, 8)
    assert nt_xent_with_accuracy(perfect, perfect)[1] == 1
    assert nt_xent_with_accuracy(collapsed, collapsed)[1] == 0


@pytest.mark.parametrize(
    ("z0", "z1", "options", "message"),
    [
        (torch.ones(3, 4), torch.ones(2, 4), {}, r"\(3, 4\) and \(2, 4\)"),
        (torch.ones(3), torch.ones(3), {}, r"\(3,\) and \(3,\)"),
        (torch.ones(0, 4), torch.ones(0, 4), {}, r"\(0, 4\)"),
        (torch.ones(2, 4).long(), torch.ones(2, 4).long(), {}, "int64"),
        (torch.ones(2, 4), torch.ones(2, 4), {"temperature": 0.0}, r"got 0\.0"),
        (torch.ones(2, 4), torch.ones(2, 4), {"temperature": -0.1}, r"got -0\.1"),
        (torch.ones(2, 4), torch.ones(2, 4), {"temperature": math.nan}, "got nan"),
        (torch.ones(2, 4), torch.ones(2, 4), {"temperature": math.inf}, "got inf"),
        (torch.ones(2, 4), torch.ones(2, 4), {"block_rows": 0}, "got 0"),
    ],
)
def test_errors_give_the_values(
    z0: Tensor, z1: Tensor, options: dict[str, Any], message: str
) -> None:
    for function in (nt_xent, nt_xent_with_accuracy):
        with pytest.raises(ValueError, match=message):
            function(z0, z1, **options)


def test_gather_in_a_single_process_changes_nothing() -> None:
    z = views(4, 8)
    assert nt_xent(z[0], z[1], gather=True) == nt_xent(*z)


def second_derivative_of_rank(rank: int, z: Tensor) -> str:
    z = z.clone().requires_grad_()
    loss = nt_xent(z[0], z[1], gather=True)
    try:
        torch.autograd.grad(loss, z, create_graph=True)
    except RuntimeError as error:
        return str(error)
    return ""


@pytest.mark.distributed
def test_second_derivatives_across_processes_are_refused() -> None:
    for message in run_ranks(second_derivative_of_rank, 2, views(4, 3)):
        assert "no second derivatives across processes" in message


CASES: list[dict[str, Any]] = [
    {},
    {"decoupled": True},
    {"temperature": 0.05, "block_rows": 3},
    {"temperature": 0.01, "decoupled": True},
]


def encoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 6))


def step(
    network: nn.Module, x: Tensor, options: dict[str, Any], gather: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss, accuracy, and the gradients of embeddings (2, B, D) and parameters."""
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.bfloat16):
        z = network(x.flatten(0, 1)).view(2, x.shape[1], -1)
        z.retain_grad()
        loss, accuracy = nt_xent_with_accuracy(z[0], z[1], **options, gather=gather)
    torch.autograd.backward(loss)
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return loss.detach(), accuracy, z.grad, torch.cat(gradients)


def steps_of_rank(
    rank: int, network: nn.Module, x: Tensor
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    replica = DistributedDataParallel(network)
    own = x.chunk(torch.distributed.get_world_size(), dim=1)[rank]
    return [step(replica, own, options, gather=True) for options in CASES]


@pytest.mark.distributed
@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "relative"), [(torch.float64, 1e-10), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)]
)
def test_many_processes_equal_one_with_the_global_batch(
    dtype: torch.dtype, relative: float, world_size: int
) -> None:
    x = views(12, 8, dtype)
    network = encoder().to(dtype if dtype == torch.float64 else torch.float32)
    ranks = run_ranks(steps_of_rank, world_size, network, x)
    for options, parts in zip(CASES, zip(*ranks, strict=True), strict=True):
        losses, accuracies, z_gradients, gradients = zip(*parts, strict=True)
        loss, accuracy, z_gradient, gradient = step(network, x, options, gather=False)
        assert_near(torch.stack(losses).mean(), loss, relative)
        torch.testing.assert_close(torch.stack(accuracies).mean(), accuracy)
        assert_near(torch.cat(z_gradients, dim=1) / world_size, z_gradient, relative)
        for own in gradients:
            assert_near(own, gradient, relative)
