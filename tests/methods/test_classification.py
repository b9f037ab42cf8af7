"""What a frozen encoder keeps, what training of all weights moves, and that all classify."""

import copy
from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.config.augment import AugmentConfig
from simclr.config.schema import Config, EncoderConfig, OptimizerConfig, TrainerConfig
from simclr.data.datamodule import LabelledDataModule, SelfTrainDataModule
from simclr.data.images import LabelledImages
from simclr.data.synthetic import draw_digits
from simclr.evaluation.probe import FeatureNorm
from simclr.losses.mutual_information import information_loss
from simclr.methods.finetune import FineTune
from simclr.methods.linear_eval import LinearEval
from simclr.methods.self_train import SelfTrain
from simclr.models.classifier import Classifier, extract_features
from simclr.models.encoders import Encoder, build_encoder
from simclr.training.trainer import build_trainer, local_trainer
from simclr.views import build_views

CONFIG = Config(trainer=TrainerConfig(accelerator="cpu", devices=1, precision="32-true"))


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return draw_digits(300, 28, torch.Generator().manual_seed(0))


@pytest.fixture
def encoder(digits: LabelledImages) -> Encoder:
    """Random weights, and BN statistics that are not those of a fresh network."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(channels=[8, 16, 32], convs_per_stage=1), 1)
    encoder(digits.images[:100] / 255)
    return encoder


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


class Watch(L.Callback):
    """What is seen of a module before and after every training step."""

    def __init__(self, look: Callable[[Any], Any]) -> None:
        self.look = look
        self.seen: list[Any] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.seen.append(self.look(pl_module))

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.seen.append(self.look(pl_module))


def modes(module: LinearEval | FineTune) -> set[bool]:
    return {part.training for part in module.classifier.modules()}


def fit_linear(
    encoder: Encoder, digits: LabelledImages, *watching: L.Callback
) -> tuple[LinearEval, LabelledDataModule]:
    features = extract_features(encoder, digits.images)
    parts = LabelledImages(features, digits.labels)
    module = LinearEval(Classifier(encoder, 10, FeatureNorm.of(features)), l2=1e-3)
    train, test = (
        parts.select(torch.arange(200)),
        LabelledImages(features[200:], digits.labels[200:]),
    )
    data = LabelledDataModule(train, None, test, batch_size=200)
    local_trainer(CONFIG, *watching).fit(module, data)
    return module, data


def fit_finetune(
    encoder: Encoder,
    digits: LabelledImages,
    *watching: L.Callback,
    epochs: int = 2,
    encoder_lr: float = 1e-3,
    val: LabelledImages | None = None,
    keep_statistics: bool = False,
) -> FineTune:
    torch.manual_seed(0)
    data = LabelledDataModule(digits, val, None, 100, views=build_views(AugmentConfig(shift=0.1)))
    steps = epochs * len(data.train_dataloader())
    optimizer = OptimizerConfig(lr=1e-2, warmup=0.0)
    module = FineTune(
        Classifier(encoder, 10), optimizer, encoder_lr, steps, keep_statistics=keep_statistics
    )
    build_trainer(CONFIG, max_epochs=epochs, callbacks=watching).fit(module, data)
    return module


def test_linear_eval_leaves_the_encoder_bit_identical(
    encoder: Encoder, digits: LabelledImages
) -> None:
    before = snapshot(encoder)
    module, data = fit_linear(encoder, digits)
    local_trainer(CONFIG).test(module, data, verbose=False)
    assert moved(before, encoder.state_dict()) == set()
    assert any("running_mean" in name for name in before)


def test_linear_eval_never_trains_the_encoder(encoder: Encoder, digits: LabelledImages) -> None:
    watch = Watch(lambda module: (modes(module), [p.grad for p in encoder.parameters()]))
    module, _ = fit_linear(encoder.train(), digits, watch)
    assert watch.seen
    for mode, gradients in watch.seen:
        assert mode == {False}
        assert all(gradient is None for gradient in gradients)
    module.train()
    assert modes(module) == {False}
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_linear_eval_learns(encoder: Encoder, digits: LabelledImages) -> None:
    module, data = fit_linear(encoder, digits)
    trainer = local_trainer(CONFIG)
    (scores,) = trainer.test(module, data, verbose=False)
    confusion = module.confusion.compute()
    assert scores["test_accuracy"] > 0.25  # chance: 0.1
    assert confusion.sum() == 100
    assert confusion.diagonal().sum() / 100 == pytest.approx(scores["test_accuracy"])
    assert torch.equal(confusion.sum(1), torch.bincount(digits.labels[200:], minlength=10))


def test_the_linear_classifier_works_on_images(encoder: Encoder, digits: LabelledImages) -> None:
    module, data = fit_linear(encoder, digits)
    assert data.test is not None
    from_features = module(data.test.images)
    from_images = module.classifier(digits.images[200:] / 255)
    torch.testing.assert_close(from_images, from_features)


@pytest.mark.parametrize("frozen_before", [False, True])
def test_finetune_moves_everything(
    encoder: Encoder, digits: LabelledImages, frozen_before: bool
) -> None:
    """Also an encoder in eval mode that linear evaluation has frozen, as in the benchmark."""
    if frozen_before:
        fit_linear(encoder, digits)
        encoder = copy.deepcopy(encoder)
    before = snapshot(encoder)
    watch = Watch(modes)
    fit_finetune(encoder, digits, watch)
    assert moved(before, encoder.state_dict()) == before.keys()
    assert watch.seen
    assert all(mode == {True} for mode in watch.seen)


def test_statistics_can_stay_as_pretraining_left_them(
    encoder: Encoder, digits: LabelledImages
) -> None:
    before = snapshot(encoder)
    fit_finetune(encoder, digits, keep_statistics=True)
    weights = {name for name, _ in encoder.named_parameters()}
    assert weights != before.keys()
    assert moved(before, encoder.state_dict()) == weights


def test_the_encoder_has_a_learning_rate_of_its_own(
    encoder: Encoder, digits: LabelledImages
) -> None:
    own = {id(parameter) for parameter in encoder.parameters()}

    def rates(module: FineTune) -> dict[bool, set[float]]:
        optimizer = module.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        found: dict[bool, set[float]] = {True: set(), False: set()}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                found[id(parameter) in own].add(group["lr"])
        return found

    watch = Watch(rates)
    fit_finetune(encoder, digits, watch)
    assert watch.seen[0] == {True: {1e-3}, False: {1e-2}}


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_cross_entropy_with_smoothed_labels(
    encoder: Encoder, digits: LabelledImages, smoothing: float
) -> None:
    module = FineTune(Classifier(encoder, 10), OptimizerConfig(), 1e-3, 1, smoothing)
    seen: list[Tensor] = []
    module.classifier.linear.register_forward_hook(
        lambda _, __, logits: seen.append(logits.detach())
    )
    trainer = build_trainer(CONFIG, max_epochs=1, callbacks=[])
    data = LabelledDataModule(digits.select(torch.arange(50)), None, None, batch_size=50)
    trainer.fit(module, data)
    ((_, labels, _),) = data.train_dataloader()
    expected = F.cross_entropy(seen[0], labels, label_smoothing=smoothing)
    assert trainer.callback_metrics["loss"] == pytest.approx(float(expected))


def test_finetune_learns(encoder: Encoder, digits: LabelledImages) -> None:
    train, val = (
        digits.select(torch.arange(200)),
        LabelledImages(digits.images[200:], digits.labels[200:]),
    )
    module = fit_finetune(encoder, train, epochs=20, encoder_lr=1e-2, val=val)
    assert isinstance(module.trainer, L.Trainer)
    assert module.trainer.callback_metrics["val_accuracy"] > 0.25  # chance: 0.1


def fit_self_train(
    encoder: Encoder, digits: LabelledImages, *watching: L.Callback, epochs: int
) -> SelfTrain:
    """Start at a linear classifier of ten images per class, as the task does."""
    train = digits.select(torch.arange(100))
    features = extract_features(encoder, digits.images)
    classifier = Classifier(encoder, 10, FeatureNorm.of(features))
    classifier.fit_linear(features[:100], train.labels, 1e-3)
    views = build_views(AugmentConfig(rotation=5, shift=0.05))
    data = SelfTrainDataModule(digits.images, train, None, None, 100, 0, views)
    steps = epochs * len(data.train_dataloader())
    module = SelfTrain(classifier, OptimizerConfig(lr=1e-2), steps, label_weight=0.3)
    build_trainer(CONFIG, max_epochs=epochs, callbacks=watching).fit(module, data)
    return module


def test_self_training_moves_everything(encoder: Encoder, digits: LabelledImages) -> None:
    before = snapshot(encoder)
    fit_self_train(encoder, digits, epochs=1)
    assert moved(before, encoder.state_dict()) == before.keys()


def test_the_loss_of_self_training(encoder: Encoder, digits: LabelledImages) -> None:
    """Of the last step, from its logits: two views of 100 images, then 100 labelled ones."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Keep(L.Callback):
        def on_train_batch_start(
            self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
        ) -> None:
            with torch.no_grad():
                seen.append((pl_module(batch[0]), batch[1]))

    module = fit_self_train(encoder, digits, Keep(), epochs=1)
    logits, labels = seen[-1]
    first, second, labelled = logits.softmax(1).chunk(3)
    information = -information_loss(first, second)
    expected = 0.3 * F.nll_loss(labelled.log(), labels) - information
    assert isinstance(module.trainer, L.Trainer)
    logged = module.trainer.callback_metrics
    assert logged["loss"] == pytest.approx(float(expected), rel=1e-4)
    assert logged["class_information"] == pytest.approx(float(information), rel=1e-4)


def test_self_training_makes_views_agree(encoder: Encoder, digits: LabelledImages) -> None:
    trainers = [fit_self_train(copy.deepcopy(encoder), digits, epochs=n).trainer for n in (1, 20)]
    before, after = (float(one.callback_metrics["class_information"]) for one in trainers)
    assert after > before + 0.1


@pytest.mark.parametrize("training", [True, False])
def test_features_leave_the_encoder_as_it_was(
    encoder: Encoder, digits: LabelledImages, training: bool
) -> None:
    encoder.train(training)
    before = snapshot(encoder)
    features = extract_features(encoder, digits.images[:50], batch_size=7)
    assert encoder.training is training
    assert moved(before, encoder.state_dict()) == set()
    encoder.eval()
    expected = encoder(digits.images[:50] / 255)
    torch.testing.assert_close(features, expected)
    assert features.dtype == torch.float32
    assert not features.requires_grad


def test_floating_point_images_have_no_features(encoder: Encoder) -> None:
    """They would be divided by 255 once more."""
    with pytest.raises(ValueError, match="uint8"):
        extract_features(encoder, torch.rand(2, 1, 28, 28))
