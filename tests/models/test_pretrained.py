"""Encoders that begin with published weights; the test makes the weights."""

from pathlib import Path

import pytest
import torch
from command_line import do
from torch import Tensor

from simclr.config.schema import EncoderConfig
from simclr.errors import SimclrError
from simclr.models.encoders import build_encoder
from simclr.models.pretrained import load_pretrained
from simclr.models.weights import load_encoder, save_encoder

timm = pytest.importorskip("timm")
MODEL = "mobilenetv3_small_050"
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as timm gives them for it


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like those that are published: with a classifier of 7 classes, for colour images."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    network = timm.create_model(MODEL, num_classes=7)
    path = tmp_path_factory.mktemp("published") / "model.safetensors"
    save_file(network.state_dict(), path)
    return path


def features_by_timm(path: Path, images: Tensor) -> Tensor:
    network = timm.create_model(MODEL, num_classes=7, checkpoint_path=str(path)).eval()
    network.reset_classifier(0)
    standardised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SD).view(3, 1, 1)
    with torch.inference_mode():
        features: Tensor = network(standardised)
    return features


def encoder_of(path: Path) -> EncoderConfig:
    return EncoderConfig(name="timm", model=MODEL, pretrained=True, checkpoint=str(path))


def test_the_features_are_those_of_the_published_network(published: Path, tmp_path: Path) -> None:
    images = torch.rand(2, 3, 40, 40)
    config = encoder_of(published)
    encoder = build_encoder(config, 3).eval()
    load_pretrained(encoder, config, 3)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images), features_by_timm(published, images))

    save_encoder(tmp_path / "encoder.safetensors", encoder, 3)
    published_elsewhere = load_encoder(tmp_path / "encoder.safetensors")
    with torch.inference_mode():
        torch.testing.assert_close(published_elsewhere(images), encoder(images))


def test_grey_images_take_the_weights_of_colour(published: Path) -> None:
    config = encoder_of(published)
    encoder = build_encoder(config, 1).eval()
    load_pretrained(encoder, config, 1)
    assert encoder(torch.rand(2, 1, 40, 40)).isfinite().all()


def test_a_file_that_does_not_fit_is_one_message(published: Path) -> None:
    config = EncoderConfig(
        name="timm", model="resnet10t", pretrained=True, checkpoint=str(published)
    )
    with pytest.raises(SimclrError, match=r"no weights for encoder\.model=resnet10t from"):
        load_pretrained(build_encoder(config, 3), config, 3)


def test_a_benchmark_of_published_weights_without_pretraining(
    published: Path, tmp_path: Path
) -> None:
    folder = do(
        tmp_path / "run",
        *("encoder.name=timm", f"encoder.model={MODEL}", "encoder.pretrained=true"),
        *(f"encoder.checkpoint={published}", "trainer.max_epochs=0", "clustering.max_epochs=1"),
        *("labels.draws=1", "methods=[linear_eval,random_encoder]"),
    )
    config = encoder_of(published)
    expected = build_encoder(config, 1).eval()
    load_pretrained(expected, config, 1)
    images = torch.rand(1, 1, 40, 40)
    assert torch.equal(load_encoder(folder / "encoder.safetensors")(images), expected(images))
    assert "No pretraining by this run." in (folder / "README.md").read_text()
