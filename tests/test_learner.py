"""Pretrain, fit and predict as one object, and checkpoints that open by themselves."""

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from simclr import AugmentConfig, EncoderConfig, Learner, SimCLR, load_classifier
from simclr.config.schema import HeadConfig, LossConfig, OptimizerConfig
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.images import LabelledImages
from simclr.data.synthetic import draw_digits
from simclr.errors import SimclrError
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.models.weights import load_encoder
from simclr.views import build_views

SMALL = EncoderConfig(channels=[8, 16], convs_per_stage=1)
VIEWS = AugmentConfig(rotation=10, shift=0.1)


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return draw_digits(400, 28, torch.Generator().manual_seed(0))


def few(digits: LabelledImages, count: int = 60) -> np.ndarray:
    """Labels of the first images, and -1 for the rest."""
    labels = digits.labels.numpy().copy()
    labels[count:] = -1
    return labels


def learner(steps: int = 10) -> Learner:
    return Learner(steps=steps, batch_size=100, encoder=SMALL, augment=VIEWS)


def test_it_learns_from_few_labels(digits: LabelledImages, tmp_path: Path) -> None:
    own = learner(30).fit(digits.images[:300], few(digits)[:300])
    others = digits.images[300:]
    predicted = own.predict(others)
    assert (predicted == digits.labels[300:].numpy()).mean() > 0.3  # chance: 0.1
    shares = own.predict_proba(others[:, 0].numpy())
    assert shares.shape == (100, 10)
    assert shares.sum(1) == pytest.approx(1)
    assert (shares.argmax(1) == predicted).all()
    own.save(tmp_path / "classifier.safetensors")
    loaded = load_classifier(tmp_path / "classifier.safetensors")
    assert loaded.classes == tuple("0123456789")
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded(others / 255).softmax(1), torch.from_numpy(shares), atol=1e-5, rtol=1e-4
        )


def test_the_same_seed_gives_the_same_and_leaves_others_alone(digits: LabelledImages) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (learner().fit(digits.images, few(digits)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert (one.predict_proba(digits.images) == two.predict_proba(digits.images)).all()


def test_classes_may_have_names(digits: LabelledImages) -> None:
    names = ["-1" if label < 0 else f"digit {label}" for label in few(digits).tolist()]
    assert set(learner().fit(digits.images, names).predict(digits.images[:5])) <= set(names)


def test_what_cannot_be_learnt_from_is_said(digits: LabelledImages) -> None:
    with pytest.raises(SimclrError, match="no image has a label"):
        learner().fit(digits.images, few(digits, 0))
    with pytest.raises(SimclrError, match="3 labels for 400 images"):
        learner().fit(digits.images, [0, 1, 2])
    with pytest.raises(ValueError, match="uint8"):
        learner().fit(digits.images / 255, few(digits))


def test_the_schedule_is_as_long_as_the_training(digits: LabelledImages) -> None:
    encoder = build_encoder(SMALL, 1)
    model = SimCLR(encoder, build_head(HeadConfig(), encoder.dim), LossConfig(), OptimizerConfig())
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(model, ContrastiveDataModule(digits.images, build_views(VIEWS), batch_size=100))
    assert model.total_steps == 8
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_a_checkpoint_of_a_run_opens_by_itself(pretrained: Path) -> None:
    module = SimCLR.load_from_checkpoint(pretrained / "checkpoints" / "last.ckpt")
    images = torch.rand(4, 1, 28, 28)
    assert isinstance(module, L.LightningModule)
    weights = dict(load_encoder(pretrained / "encoder.safetensors").named_parameters())
    for name, parameter in module.encoder.named_parameters():
        assert torch.equal(parameter, weights[name]), name
    assert module(images).shape == (4, module.encoder.dim)
