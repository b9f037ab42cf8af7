"""Confidences that are as high as a classifier is right."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from simclr.data.images import LabelledImages
from simclr.evaluation.calibration import (
    BINS,
    ENOUGH,
    calibration_error,
    fit_temperature,
    held_out_logits,
    linear_fit,
)


def calibrated(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits, and labels drawn with the probabilities that they stand for."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, 5, generator=generator)
    return logits, logits.softmax(1).multinomial(1, generator=generator)[:, 0]


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_the_temperature_that_was_applied_is_found(temperature: float) -> None:
    logits, labels = calibrated(20_000)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_a_few_right_answers_make_nobody_certain() -> None:
    logits = 0.1 * torch.eye(10)
    temperature = fit_temperature(logits, torch.arange(10))
    confidence = (logits / temperature).softmax(1).max(1).values
    assert confidence.numpy() == pytest.approx(0.975, abs=0.001)


def test_the_error_is_that_of_torchmetrics() -> None:
    logits, labels = calibrated(500)
    for sharper in (0.3, 1.0, 4.0):
        theirs = multiclass_calibration_error(
            (sharper * logits).softmax(1), labels, num_classes=5, n_bins=BINS, norm="l1"
        )
        assert calibration_error(sharper * logits, labels) == pytest.approx(float(theirs), abs=1e-5)


def test_the_error_of_one_bin() -> None:
    logits = torch.tensor([[0.9, 0.1]]).log().repeat(4, 1)
    assert calibration_error(logits, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.4)


def labelled(per_class: int, classes: int = 3) -> LabelledImages:
    labels = torch.arange(classes).repeat(per_class)
    noise = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(0))
    return LabelledImages(F.one_hot(labels, 4) + 0.5 * noise, labels)


@pytest.mark.parametrize(("per_class", "folds"), [(2, 2), (5, 4), (40, 4)])
def test_nothing_is_tested_on_what_it_was_trained_on(per_class: int, folds: int) -> None:
    data, seen = labelled(per_class), []

    def fit(train: LabelledImages, held_out: LabelledImages) -> Tensor:
        rows = {tuple(row) for row in train.images.tolist()}
        assert not rows & {tuple(row) for row in held_out.images.tolist()}
        assert len(train.labels) + len(held_out.labels) == len(data.labels)
        assert len(train.labels.unique()) == 3
        seen.append(len(held_out.labels))
        return held_out.images[:, :3]

    found = held_out_logits(data, folds, fit)
    assert found is not None
    logits, labels = found
    assert len(seen) == folds
    assert sorted(logits.tolist()) == sorted(data.images[:, :3].tolist())
    assert labels.bincount().tolist() == [per_class] * 3


def test_a_class_with_one_image_cannot_be_held_out() -> None:
    assert held_out_logits(labelled(1), 5, linear_fit(3, 1e-3)) is None


def test_no_more_is_held_out_than_is_needed() -> None:
    found = held_out_logits(labelled(1_000), 5, lambda _, held_out: held_out.images[:, :3])
    assert found is not None
    assert ENOUGH <= len(found[1]) < ENOUGH + 600


def test_a_linear_classifier_is_calibrated_by_its_labels_alone() -> None:
    train, test = labelled(60), labelled(2_000)
    test = LabelledImages(test.images[180:], test.labels[180:])
    fit = linear_fit(3, 0.3)  # so strong a penalty makes it doubt
    logits = fit(train, test)
    before = calibration_error(logits, test.labels)
    unseen = held_out_logits(train, 10, fit)
    assert unseen is not None
    after = calibration_error(logits / fit_temperature(*unseen), test.labels)
    assert before > 0.1
    assert after < before / 2
