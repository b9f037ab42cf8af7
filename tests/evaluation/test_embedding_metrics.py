"""Known places on the sphere, and the numbers they must give."""

import math

import pytest
import torch
import torch.nn.functional as F

from simclr.evaluation.embedding_metrics import alignment, effective_rank, embedding_sd, uniformity

METRICS = (lambda z: alignment(z, z.flip(0)), uniformity, embedding_sd, effective_rank)


def cloud(rows: int, dim: int) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(0))


def test_alignment_is_the_squared_distance_of_the_views() -> None:
    east, north, west = (torch.tensor([[x, y]]) for x, y in ((3.0, 0), (0, 0.5), (-1.0, 0)))
    assert float(alignment(east, east)) == 0
    assert float(alignment(east, north)) == pytest.approx(2)
    assert float(alignment(east, west)) == pytest.approx(4)


def test_uniformity_is_the_mean_potential_of_all_pairs() -> None:
    z = cloud(20, 5)
    places = F.normalize(z)
    pairs = [(places[i] - places[j]).square().sum() for i in range(20) for j in range(i)]
    expected = math.log(sum(math.exp(-2 * float(d)) for d in pairs) / len(pairs))
    assert float(uniformity(z)) == pytest.approx(expected, abs=1e-5)
    assert float(uniformity(torch.ones(20, 5))) == pytest.approx(0, abs=1e-6)
    assert float(uniformity(cloud(500, 100))) == pytest.approx(-4, abs=0.15)


@pytest.mark.parametrize("dim", [3, 128])
def test_sd_is_one_on_the_whole_sphere_and_zero_in_one_place(dim: int) -> None:
    assert float(embedding_sd(cloud(2000, dim))) == pytest.approx(1, abs=0.01)
    assert float(embedding_sd(cloud(1, dim).expand(50, dim))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("directions", [1, 3, 8])
def test_effective_rank_counts_directions(directions: int) -> None:
    """Equal spread in a few of ten directions, seen from anywhere, at any size."""
    spread, _ = torch.linalg.qr(cloud(40, directions) - cloud(40, directions).mean(0))
    turned = (spread - spread.mean(0)) @ torch.linalg.qr(cloud(10, 10))[0][:directions]
    assert float(effective_rank(7 + 100 * turned)) == pytest.approx(directions, rel=0.01)


def test_effective_rank_of_one_place_is_one() -> None:
    assert float(effective_rank(torch.full((6, 4), 0.1))) == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_in_float32_out(dtype: torch.dtype) -> None:
    z = cloud(32, 16)
    for metric in METRICS:
        found = metric(z.to(dtype))
        assert found.dtype == torch.float32
        assert float(found) == pytest.approx(float(metric(z)), rel=0.05, abs=0.05)
