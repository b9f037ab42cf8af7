"""The ONNX file: the same logits without this code, for any number of images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simclr.config.schema import EncoderConfig
from simclr.evaluation.probe import FeatureNorm
from simclr.models.classifier import Classifier
from simclr.models.encoders import build_encoder
from simclr.models.export import export_onnx

onnxruntime = pytest.importorskip("onnxruntime")


def images(count: int, shape: tuple[int, int, int]) -> Tensor:
    """Noise of every brightness."""
    noise = torch.rand(count, *shape, generator=torch.Generator().manual_seed(count))
    return (255 * noise * torch.linspace(0, 1, count).view(-1, 1, 1, 1)).byte()


def classifier(shape: tuple[int, int, int], norm: bool) -> Classifier:
    """With BN statistics that are not those of a fresh network, left in training mode."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(channels=[8, 16, 32], convs_per_stage=1), shape[0])
    for _ in range(20):
        features = encoder(images(50, shape) / 255).detach()
    return Classifier(encoder, 10, FeatureNorm.of(features) if norm else None)


@pytest.mark.parametrize(
    ("shape", "norm"), [((1, 28, 28), False), ((3, 20, 24), True)], ids=["grey", "colour, norm"]
)
def test_the_same_logits_for_any_number_of_images(
    shape: tuple[int, int, int], norm: bool, tmp_path: Path
) -> None:
    model, path = classifier(shape, norm), tmp_path / "classifier.onnx"
    names = [f"class {index}" for index in range(9)] + ["zürich"]
    export_onnx(model, shape, names, path)
    assert list(tmp_path.iterdir()) == [path]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type) == ("images", "tensor(uint8)")
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == names
    assert said["image_size"] == f"{shape[1]}x{shape[2]}"
    assert said["channels"] == str(shape[0])
    assert "divides by 255" in said["preparation"]
    model.eval()
    for count in (1, 2, 7, 64):
        (logits,) = session.run(["logits"], {"images": images(count, shape).numpy()})
        with torch.no_grad():
            expected = model(images(count, shape) / 255).numpy()
        assert logits.shape == (count, 10)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert expected.std(0).min() > 1e-3  # images have logits of their own
