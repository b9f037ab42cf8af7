"""The linear probe against scikit-learn, and the norm in front of it."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from simclr.data.images import LabelledImages
from simclr.evaluation.probe import FeatureNorm, knn_accuracy, penalty, softmax_regression

CLASSES = 4


def problem(count: int = 120, dim: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    centres = torch.randn(CLASSES, dim, generator=generator)
    return centres[labels] + torch.randn(count, dim, generator=generator), labels


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_the_solution_is_that_of_scikit_learn(l2: float) -> None:
    features, labels = problem()
    weight, bias = softmax_regression(features.double(), labels, CLASSES, l2)
    peer = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-10, max_iter=10_000)
    peer.fit(features.double().numpy(), labels.numpy())
    torch.testing.assert_close(weight, torch.from_numpy(peer.coef_), atol=1e-4, rtol=1e-4)
    shift = bias.mean() - peer.intercept_.mean()  # biases may move together
    intercept = torch.from_numpy(peer.intercept_) + shift
    torch.testing.assert_close(bias, intercept, atol=1e-4, rtol=1e-4)


def test_the_solution_is_a_minimum_and_the_penalty_spares_biases() -> None:
    features, labels = problem()
    weight, bias = softmax_regression(features.double(), labels, CLASSES, l2=0.05)
    weight.requires_grad_()
    bias.requires_grad_()
    F.cross_entropy(F.linear(features.double(), weight, bias), labels).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    torch.testing.assert_close(weight.grad, -0.05 * weight.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(bias.grad, torch.zeros(CLASSES).double(), atol=1e-5, rtol=0)
    assert bias.abs().max() > 0.01


def test_a_class_without_examples_has_a_row() -> None:
    features, labels = problem()
    weight, bias = softmax_regression(features, labels, CLASSES + 1, l2=1e-2)
    assert weight.shape == (CLASSES + 1, 7)
    assert bias.shape == (CLASSES + 1,)
    assert (F.linear(features, weight, bias).argmax(1) < CLASSES).all()


def test_it_needs_no_seed_and_works_where_gradients_are_off() -> None:
    features, labels = problem()
    first = softmax_regression(features, labels, CLASSES, l2=1e-2)
    torch.manual_seed(99)
    with torch.no_grad():
        second = softmax_regression(features, labels, CLASSES, l2=1e-2)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == torch.float32
        assert not one.requires_grad


def test_features_are_standardised_then_scaled_to_unit_length() -> None:
    features, _ = problem()
    features = 5 * features + 3
    norm = FeatureNorm.of(features)
    normed = norm(features)
    torch.testing.assert_close(normed.norm(dim=1), torch.ones(len(features)))
    standardised = (features - features.mean(0)) / features.std(0)
    torch.testing.assert_close(
        normed, standardised / standardised.norm(dim=1, keepdim=True), atol=1e-5, rtol=1e-4
    )


def test_statistics_are_those_of_other_features() -> None:
    features, _ = problem()
    norm = FeatureNorm.of(features)
    few = features[:3]
    torch.testing.assert_close(norm(few), norm(features)[:3])
    assert not torch.allclose(norm(few), FeatureNorm.of(few)(few))


def test_a_feature_that_never_varies_does_no_harm() -> None:
    features, _ = problem()
    features[:, 2] = 7.0
    normed = FeatureNorm.of(features)(features)
    assert normed.isfinite().all()
    torch.testing.assert_close(normed[:, 2], torch.zeros(len(features)), atol=1e-4, rtol=0)


def test_statistics_are_saved_with_the_model() -> None:
    features, _ = problem()
    assert FeatureNorm.of(features).state_dict().keys() == {"mean", "sd"}


def test_nearest_neighbours_vote_by_similarity() -> None:
    """By angle: 5 is next to one of class 0 and further from two of class 1."""
    angles = torch.tensor([0.0, 40.0, 50.0, 170.0]).deg2rad()
    features = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.tensor([0, 1, 1, 0])
    asked = torch.tensor([5.0, 160.0, 60.0]).deg2rad()
    queries = 3 * torch.stack([asked.cos(), asked.sin()], dim=1)

    def votes(k: int, temperature: float) -> list[float]:
        return [
            knn_accuracy(
                LabelledImages(features, labels),
                LabelledImages(query[None], torch.tensor([1])),
                k,
                temperature,
            )
            for query in queries
        ]

    assert votes(k=1, temperature=0.07) == [0, 0, 1]
    assert votes(k=20, temperature=0.07) == [0, 0, 1]
    assert votes(k=3, temperature=100) == [1, 1, 1]  # hardly weighed: two against one


@pytest.mark.parametrize("level", [0.0, 1.0, 1e4])
def test_rounding_of_features_that_do_not_vary_is_not_amplified(
    level: float, caplog: pytest.LogCaptureFixture
) -> None:
    noise = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    features = level + 1e-7 * max(level, 1) * noise
    normed = FeatureNorm.of(features)(features)
    assert normed.norm(dim=1).max() < 0.01
    assert "No feature varies" in caplog.text


def test_small_features_that_vary_are_scaled_all_the_same() -> None:
    features = 1e-3 * (1 + torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    normed = FeatureNorm.of(features)(features)
    torch.testing.assert_close(normed.norm(dim=1), torch.ones(50))


def test_the_penalty_falls_once_there_are_more_than_a_few_labels() -> None:
    assert penalty(3e-3, 10) == penalty(3e-3, 100) == 3e-3
    assert penalty(3e-3, 1_000) == pytest.approx(3e-4)


@pytest.mark.parametrize(("sd", "said"), [(1e-4, True), (1e-2, False)])
def test_a_network_that_is_nearly_dead_is_said(
    sd: float, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    noise = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    FeatureNorm.of(3 + 3 * sd * noise)
    assert ("hardly tells them apart" in caplog.text) is said
