"""Label spreading against dense linear algebra, and what it is for."""

import numpy as np
import pytest
import torch
from torch import Tensor

from simclr.evaluation.label_spreading import spread, spread_labels
from simclr.evaluation.neighbours import neighbour_graph


def arcs() -> tuple[Tensor, Tensor]:
    """Two arcs of directions, 0 to 80 and 110 to 190 degrees, and which one each is of."""
    degrees = torch.cat([torch.arange(0.0, 81, 2), torch.arange(110.0, 191, 2)])
    angles = degrees.deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1), (degrees > 90).long()


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_labels_settle_where_the_iteration_of_zhou_leads(alpha: float) -> None:
    features = 1 + torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    given = np.zeros((40, 3))
    given[[4, 9, 20, 33], [0, 1, 2, 1]] = 1
    graph = neighbour_graph(features, k=5)
    dense = graph.toarray()
    settled = given
    for _ in range(3000):
        settled = alpha * dense @ settled + (1 - alpha) * given
    shares = settled / settled.sum(0)
    shares /= shares.sum(1, keepdims=True)
    found = spread_labels(
        graph,
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


def test_neighbours_outvote_a_wrong_cluster() -> None:
    features, of = arcs()
    shares = torch.nn.functional.one_hot(of, 2).float()
    wrong = [7, 20, 50]
    shares[wrong] = shares[wrong].flip(1)
    found = spread(neighbour_graph(features, k=5), shares, alpha=0.9, tolerance=1e-3)
    assert found.argmax(1).equal(of)
    assert not shares.argmax(1).equal(of)
