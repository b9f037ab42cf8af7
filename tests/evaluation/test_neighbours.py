"""The graph of neighbours against its definition, and the quicker search against the exact one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.evaluation import neighbours
from simclr.evaluation.neighbours import nearest, neighbour_graph


def dense_graph(features: Tensor, k: int) -> np.ndarray:
    """The definition, edge by edge."""
    units = F.normalize(features).double().numpy()
    cosines = units @ units.T
    affinities = np.zeros_like(cosines)
    for node, row in enumerate(cosines):
        others = [other for other in np.argsort(-row) if other != node]
        for other in others[:k]:
            affinities[node, other] = max(row[other], 0) ** 3
    affinities += affinities.T
    degrees = affinities.sum(1)
    return np.asarray(affinities / np.sqrt(np.outer(degrees, degrees)))


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_graph_is_as_defined_however_large_its_blocks(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", rows)
    features = 1 + torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    graph = neighbour_graph(features, k=5)
    assert graph.nnz <= 2 * 40 * 5
    np.testing.assert_allclose(graph.toarray(), dense_graph(features, k=5), atol=1e-6)


def test_more_neighbours_than_there_are_means_all() -> None:
    features = 1 + torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    graph = neighbour_graph(features, k=50).toarray()
    np.testing.assert_allclose(graph, dense_graph(features, k=5), atol=1e-6)


def clouds(count: int) -> Tensor:
    """Unit vectors in 20 clouds that touch, and some between them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(20, 16, generator=generator)
    cloud = torch.randint(20, (count,), generator=generator)
    return F.normalize(centres[cloud] + torch.randn(count, 16, generator=generator))


def test_a_search_among_clusters_finds_nearly_all_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = clouds(6_000)
    cosines, exact = nearest(units, 10)
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 1_000)
    quicker, found = nearest(units, 10)
    same = (found[:, :, None] == exact[:, None, :]).any(2).float().mean()
    assert 0.97 < same < 1  # 1: all were compared
    assert (quicker <= cosines + 1e-6).all()
    torch.testing.assert_close(quicker, (units[:, None] * units[found]).sum(2))
    assert not (found == torch.arange(len(units))[:, None]).any()


def test_the_search_gives_the_same_neighbours_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 1_000)
    first, second = nearest(clouds(3_000), 5), nearest(clouds(3_000), 5)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_features_have_a_graph_too(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)
    graph = neighbour_graph(torch.full((500, 4), value), k=5)
    assert np.isfinite(graph.data).all()
    assert (graph.nnz > 0) == bool(value)
