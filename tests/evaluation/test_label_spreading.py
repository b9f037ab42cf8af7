"""Label spreading against dense linear algebra, and what it is for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.evaluation import label_spreading
from simclr.evaluation.label_spreading import neighbour_graph, spread_labels


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


def arcs() -> tuple[Tensor, Tensor]:
    """Two arcs of directions, 0 to 80 and 110 to 190 degrees, and which one each is of."""
    degrees = torch.cat([torch.arange(0.0, 81, 2), torch.arange(110.0, 191, 2)])
    angles = degrees.deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1), (degrees > 90).long()


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_graph_is_as_defined_however_large_its_blocks(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_spreading, "BLOCK_ROWS", rows)
    features = 1 + torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    graph = neighbour_graph(features, k=5)
    assert graph.nnz <= 2 * 40 * 5
    np.testing.assert_allclose(graph.toarray(), dense_graph(features, k=5), atol=1e-6)


def test_more_neighbours_than_there_are_means_all() -> None:
    features = 1 + torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    graph = neighbour_graph(features, k=50).toarray()
    np.testing.assert_allclose(graph, dense_graph(features, k=5), atol=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_labels_settle_where_the_iteration_of_zhou_leads(alpha: float) -> None:
    features = 1 + torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    given = np.zeros((40, 3))
    given[[4, 9, 20, 33], [0, 1, 2, 1]] = 1
    dense = dense_graph(features, k=5)
    settled = given
    for _ in range(3000):
        settled = alpha * dense @ settled + (1 - alpha) * given
    shares = settled / settled.sum(0)
    shares /= shares.sum(1, keepdims=True)
    found = spread_labels(
        neighbour_graph(features, k=5),
        torch.tensor([4, 9, 20, 33]),
        torch.tensor([0, 1, 2, 1]),
        3,
        alpha,
    )
    np.testing.assert_allclose(found.numpy(), shares, atol=2e-3)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 0.8, 0.99])
def test_few_labels_among_many_nodes_settle_where_the_dense_solution_does(alpha: float) -> None:
    """Far from every label values are tiny, and still say which class is the likeliest."""
    generator = torch.Generator().manual_seed(0)
    classes, count = 10, 2_000
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, 32, generator=generator)
    features = (centres[labels] + torch.randn(count, 32, generator=generator)).clamp(min=0)
    graph, given = neighbour_graph(features, k=10), torch.arange(classes)
    right = np.zeros((count, classes))
    right[given, labels[given]] = 1
    shares = np.linalg.solve(np.eye(count) - alpha * graph.toarray().astype(np.float64), right)
    shares /= shares.sum(0)
    shares /= shares.sum(1, keepdims=True)
    found = spread_labels(graph, given, labels[given], classes, alpha)
    np.testing.assert_array_equal(found.argmax(1).numpy(), shares.argmax(1))
    np.testing.assert_allclose(found.numpy(), shares, atol=1e-6)


def test_labels_follow_the_data_where_the_nearest_label_misleads() -> None:
    """One label at the far end of one arc, one at the near end of the other."""
    features, labels = arcs()
    given = torch.tensor([0, 41])
    nearest = (features @ features[given].T).argmax(1)
    assert (nearest != labels).sum() > 10
    shares = spread_labels(neighbour_graph(features, k=4), given, labels[given], 2, 0.99)
    assert torch.equal(shares.argmax(1), labels)


def test_where_no_label_arrives_no_class_is_likelier() -> None:
    features, _ = arcs()
    shares = spread_labels(
        neighbour_graph(features, k=4), torch.tensor([0, 1]), torch.tensor([0, 1]), 2, 0.99
    )
    torch.testing.assert_close(shares.sum(1), torch.ones(82))
    torch.testing.assert_close(shares[41:], torch.full((41, 2), 0.5))


def test_a_class_without_labels_is_nowhere_the_likeliest() -> None:
    features, arc = arcs()
    graph = neighbour_graph(features, k=3)
    shares = spread_labels(graph, torch.tensor([0, 60]), torch.tensor([0, 2]), 3, alpha=0.9)
    assert shares.isfinite().all()
    assert (shares.argmax(1) == 2 * arc).all()
