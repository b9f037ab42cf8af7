"""The student: its loss, what it learns from, and what stays as it is."""

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from simclr.config.augment import AugmentConfig
from simclr.config.schema import (
    ClusteringConfig,
    Config,
    EncoderConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
    TrainerConfig,
)
from simclr.data.datamodule import StudentDataModule
from simclr.data.synthetic import draw_digits
from simclr.losses.mutual_information import information_loss
from simclr.losses.nt_xent import nt_xent
from simclr.methods.student import Student
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.training.trainer import build_trainer
from simclr.views import build_views

HEADS = [4, 7]
CLUSTERS = ClusteringConfig(heads=HEADS, weight=0.5)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return draw_digits(130, 28, torch.Generator().manual_seed(0)).images


def student(epochs: int = 1) -> Student:
    torch.manual_seed(0)
    teacher = build_encoder(EncoderConfig(channels=[4, 8]), 1)
    heads = nn.Linear(teacher.dim, sum(HEADS))
    nn.init.normal_(heads.weight, std=10)  # as sure of its clusters as a trained one
    encoder = build_encoder(EncoderConfig(channels=[8, 16, 32]), 1)
    return Student(
        teacher=nn.Sequential(teacher, heads),
        clustering=CLUSTERS,
        encoder=encoder,
        head=build_head(HeadConfig(dim=16), encoder.dim),
        loss=LossConfig(),
        optimizer=OptimizerConfig(lr=1e-2),
        total_steps=4 * epochs,
    )


class Record(L.Callback):
    """What went into and came out of the parts of the module in each step, and the losses."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for name in ("teacher", "head", "cluster_heads"):
            kept = self.seen[name] = []

            def keep(
                _module: nn.Module,
                given: tuple[Tensor],
                made: Tensor,
                kept: list[tuple[Tensor, Tensor]] = kept,
            ) -> None:
                kept.append((given[0].detach().clone(), made.detach()))

            pl_module.get_submodule(name).register_forward_hook(keep)

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        self.losses.append(float(trainer.callback_metrics["loss"]))


def fit(module: Student, images: Tensor, epochs: int = 1) -> Record:
    record = Record()
    settings = TrainerConfig(accelerator="cpu", devices=1, precision="32-true", log_every_n_steps=1)
    trainer = build_trainer(Config(trainer=settings), max_epochs=epochs, callbacks=[record])
    views = build_views(AugmentConfig(rotation=10, shift=0.1))
    trainer.fit(module, StudentDataModule(images, views, 32))
    return record


def test_the_loss_is_the_second_stage_s_and_the_cross_entropy_with_the_teacher(
    images: Tensor,
) -> None:
    record = fit(student(), images)
    assert len(record.losses) == len(images) // 32
    for loss, (_, projections), (_, own), (_, taught) in zip(
        record.losses,
        *(record.seen[name] for name in ("head", "cluster_heads", "teacher")),
        strict=True,
    ):
        clusters = 0.0
        for logits, teacher in zip(own.split(HEADS, 1), taught.split(HEADS, 1), strict=True):
            p0, p1 = logits.softmax(1).chunk(2)
            shares = teacher.softmax(1)
            error = -(shares * (p0.log() + p1.log())).sum(1).mean() / 2
            clusters += float(error + information_loss(p0, p1)) / 2
        z0, z1 = projections.chunk(2)
        expected = float(nt_xent(z0, z1, 0.5)) + 0.5 * clusters
        assert loss == pytest.approx(expected, rel=1e-4)


def test_the_teacher_sees_whole_images(images: Tensor) -> None:
    known = {bytes(image.numpy().tobytes()) for image in images.float() / 255}
    batches = fit(student(), images).seen["teacher"]
    assert len(batches) == len(images) // 32
    for seen, _ in batches:
        assert {image.numpy().tobytes() for image in seen} <= known


def test_all_but_the_teacher_move(images: Tensor) -> None:
    module = student()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fit(module, images)
    still = [name for name, value in module.state_dict().items() if value.equal(before[name])]
    assert still == [name for name in before if name.startswith("teacher.")]


def test_it_comes_to_see_the_teacher_s_clusters(images: Tensor) -> None:
    def agreement(module: Student) -> float:
        whole = images.float() / 255
        own = module.cluster_heads(module.encoder(whole)).split(HEADS, 1)
        taught = module.teacher(whole).split(HEADS, 1)
        same = [
            (a.argmax(1) == b.argmax(1)).float().mean() for a, b in zip(own, taught, strict=True)
        ]
        return float(torch.stack(same).mean())

    module = student(epochs=10)
    with torch.no_grad():
        before = agreement(module)
        fit(module, images, epochs=10)
        assert agreement(module) > before + 0.2
