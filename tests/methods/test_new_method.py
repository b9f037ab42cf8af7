"""A new method is one function in the list of methods: everything else reads the list."""

import csv
from pathlib import Path

import pytest
import torch
from command_line import do
from torch import Tensor

from simclr.methods import METHODS, Method
from simclr.methods.base import Features, Job
from simclr.methods.linear_eval import LinearEval, fit_frozen
from simclr.methods.scoring import Classified
from simclr.training.callbacks.clock import Clock


class NearestMean(LinearEval):
    """Each image belongs to the class whose mean feature is nearest."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        features, labels = batch
        normed = self.classifier.norm(features)
        means = torch.stack([normed[labels == label].mean(0) for label in labels.unique()])
        bias = -means.square().sum(1) / 2
        self.classifier.linear.load_state_dict({"weight": means, "bias": bias})


def nearest_mean(job: Job, features: Features, draw: int) -> Classified:
    train = features.train(job.draw(draw))
    module = NearestMean(features.classifier(), l2=0)
    return fit_frozen("nearest_mean", job, features, module, train, draw, Clock())


def test_a_new_method_takes_part_in_a_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Method("the nearest class mean", f"{__name__}:nearest_mean")
    monkeypatch.setitem(METHODS, "nearest_mean", method)
    folder = do(tmp_path, "methods=[linear_eval,nearest_mean]", "data.train_images=1000")
    with (folder / "results.csv").open(newline="") as file:
        accuracies = {row["method"]: float(row["test_accuracy"]) for row in csv.DictReader(file)}
    assert list(accuracies) == ["linear_eval", "nearest_mean"]
    assert accuracies["nearest_mean"] > 0.2  # chance is 0.1
