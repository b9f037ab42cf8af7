"""The student: what it learns, from what, and what it learns it to."""

from pathlib import Path

import lightning as L
import pytest
import torch
from command_line import do
from torch import Tensor, nn

from simclr.config.augment import AugmentConfig
from simclr.config.schema import Config, EncoderConfig, OptimizerConfig, TrainerConfig
from simclr.data.datamodule import StudentDataModule
from simclr.data.synthetic import draw_digits
from simclr.errors import SimclrError
from simclr.methods.cluster_shares import load_shares, save_shares
from simclr.methods.student import Student
from simclr.models.encoders import build_encoder
from simclr.training.trainer import build_trainer
from simclr.views import build_views

HEADS = [4, 7]
COUNT = 130


@pytest.fixture(scope="module")
def images() -> Tensor:
    return draw_digits(COUNT, 28, torch.Generator().manual_seed(0)).images


@pytest.fixture(scope="module")
def shares(images: Tensor) -> Tensor:
    """Clusters by ink and by height, so that there is something to learn."""
    ink = images.float().mean((1, 2, 3)).argsort().argsort() * HEADS[0] // COUNT
    height = images.amax(3).gt(0).float().sum((1, 2)).argsort().argsort() * HEADS[1] // COUNT
    sure = [nn.functional.one_hot(of, k) for of, k in zip((ink, height), HEADS, strict=True)]
    return torch.cat([0.9 * one + 0.1 / k for one, k in zip(sure, HEADS, strict=True)], 1).half()


def student(epochs: int = 1) -> Student:
    torch.manual_seed(0)
    return Student(
        heads=HEADS,
        encoder=build_encoder(EncoderConfig(channels=[8, 16, 32]), 1),
        optimizer=OptimizerConfig(lr=1e-2),
        total_steps=COUNT // 32 * epochs,
    )


class Record(L.Callback):
    """The batches, the logits and the loss of each step."""

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.logits: list[Tensor] = []
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Student)
        pl_module.cluster_heads.register_forward_hook(
            lambda module, given, made: self.logits.append(made.detach())
        )

    def on_train_batch_start(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        self.batches.append(batch)

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        self.losses.append(float(trainer.callback_metrics["loss"]))


def fit(
    module: Student,
    images: Tensor,
    shares: Tensor,
    epochs: int = 1,
    augment: AugmentConfig | None = None,
) -> Record:
    record = Record()
    settings = TrainerConfig(accelerator="cpu", devices=1, precision="32-true", log_every_n_steps=1)
    trainer = build_trainer(Config(trainer=settings), max_epochs=epochs, callbacks=[record])
    views = build_views(augment or AugmentConfig(rotation=10, shift=0.1))
    trainer.fit(module, StudentDataModule(images, shares, views, 32))
    assert len(record.losses) == COUNT // 32 * epochs
    return record


def test_the_loss_is_the_cross_entropy_with_the_clusters(images: Tensor, shares: Tensor) -> None:
    record = fit(student(), images, shares)
    for loss, logits, (_, taught) in zip(record.losses, record.logits, record.batches, strict=True):
        expected = 0.0
        for own, of in zip(logits.split(HEADS, 1), taught.float().split(HEADS, 1), strict=True):
            expected -= float((of * own.log_softmax(1)).sum(1).mean()) / 2
        assert loss == pytest.approx(expected, rel=1e-4)


def test_an_image_comes_with_its_own_clusters(images: Tensor, shares: Tensor) -> None:
    """Views that change nothing are recognised."""
    place = {image.numpy().tobytes(): i for i, image in enumerate(images.float() / 255)}
    for views, taught in fit(student(), images, shares, augment=AugmentConfig()).batches:
        assert taught.equal(shares[[place[view.numpy().tobytes()] for view in views]])


def test_it_comes_to_see_the_clusters(images: Tensor, shares: Tensor) -> None:
    def agreement(module: Student) -> float:
        own = module.cluster_heads(module.encoder(images.float() / 255)).split(HEADS, 1)
        taught = shares.split(HEADS, 1)
        same = [(a.argmax(1) == b.argmax(1)).float() for a, b in zip(own, taught, strict=True)]
        return float(torch.cat(same).mean())

    module = student(epochs=10)
    with torch.no_grad():
        before = agreement(module)
    fit(module, images, shares, epochs=10)
    with torch.no_grad():
        assert agreement(module) > before + 0.2


def test_a_run_leaves_the_clusters_that_its_student_learned(tmp_path: Path) -> None:
    stages = ("trainer.max_epochs=1", "clustering.max_epochs=1", "student.max_epochs=1")
    small = ("clustering.heads=[3,5]", "student.channels=[4,8,8]", "student.batch_size=32")
    folder = do(tmp_path / "run", "task=pretrain", *stages, *small)
    count = 250  # 50 of the 300 are for validation
    shares = load_shares(folder / "checkpoints", count, 8).float()
    for head in shares.split([3, 5], 1):
        assert head.min() >= 0
        torch.testing.assert_close(head.sum(1), torch.ones(count), atol=2e-3, rtol=0)


@pytest.mark.parametrize("content", ["none", "no safetensors", "other images", "not finite"])
def test_clusters_that_do_not_belong_to_a_checkpoint_are_refused(
    tmp_path: Path, content: str, shares: Tensor
) -> None:
    match content:
        case "no safetensors":
            (tmp_path / "cluster_shares.safetensors").write_bytes(b"{}")
        case "other images":
            save_shares(tmp_path, shares[1:])
        case "not finite":
            save_shares(tmp_path, shares / 0)
    with pytest.raises(SimclrError, match=r"^checkpoint: .*cluster_shares\.safetensors"):
        load_shares(tmp_path, COUNT, sum(HEADS))
    save_shares(tmp_path, shares)
    assert load_shares(tmp_path, COUNT, sum(HEADS)).equal(shares)
