"""SimCLR: one encoder call for both views, the loss it says, learning, and resuming."""

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from command_line import do
from torch import Tensor

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
from simclr.data.datamodule import ContrastiveDataModule
from simclr.data.synthetic import draw_digits
from simclr.losses.mutual_information import information_loss
from simclr.losses.nt_xent import nt_xent
from simclr.methods.clustering import Clustering
from simclr.methods.simclr import SimCLR
from simclr.models.encoders import build_encoder
from simclr.models.heads import build_head
from simclr.training.trainer import build_trainer
from simclr.views import build_views

BATCH = 32
CLUSTERS = ClusteringConfig(heads=[4, 7], weight=0.5)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return draw_digits(130, 28, torch.Generator().manual_seed(0)).images


class Record(L.Callback):
    """What was logged after every step, and what went through encoder and head."""

    def __init__(self, save_at: int | None = None, path: Path | None = None) -> None:
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.inputs: list[Tensor] = []
        self.projections: list[Tensor] = []
        self.clusters: list[Tensor] = []
        self.save_at, self.path = save_at, path

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, SimCLR)
        pl_module.encoder.register_forward_hook(
            lambda module, inputs, output: self.inputs.append(inputs[0])
        )
        pl_module.head.register_forward_hook(
            lambda module, inputs, output: self.projections.append(output.detach())
        )
        if isinstance(pl_module, Clustering):
            pl_module.cluster_heads.register_forward_hook(
                lambda module, inputs, output: self.clusters.append(output.detach())
            )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.losses.append(float(trainer.callback_metrics["loss"]))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        if trainer.global_step == self.save_at:
            assert self.path is not None
            trainer.save_checkpoint(self.path)


def module(
    epochs: int = 1,
    loss: LossConfig | None = None,
    lr: float = 4e-3,
    clustering: ClusteringConfig | None = None,
) -> SimCLR:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(channels=[8, 16, 32], convs_per_stage=1), 1)
    head = build_head(HeadConfig(hidden=[32], dim=16), encoder.dim)
    optimizer = OptimizerConfig(lr=lr)
    arguments: dict[str, Any] = {
        "encoder": encoder,
        "head": head,
        "loss": loss or LossConfig(),
        "optimizer": optimizer,
        "total_steps": 4 * epochs,
    }
    return Clustering(clustering=clustering, **arguments) if clustering else SimCLR(**arguments)


def fit(
    model: SimCLR,
    images: Tensor,
    record: L.Callback,
    epochs: int = 1,
    precision: str = "32-true",
    resume: Path | None = None,
) -> L.Trainer:
    device = "gpu" if precision == "16-mixed" else "cpu"
    settings = TrainerConfig(
        accelerator=device, devices=1, precision=precision, log_every_n_steps=1
    )
    views = build_views(AugmentConfig(rotation=10, shift=0.1))
    trainer = build_trainer(Config(trainer=settings), max_epochs=epochs, callbacks=[record])
    data = ContrastiveDataModule(images, views, BATCH)
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    return trainer


def test_both_views_go_through_the_encoder_together(images: Tensor) -> None:
    record = Record()
    trainer = fit(module(), images, record)
    assert trainer.global_step == len(images) // BATCH
    assert [len(given) for given in record.inputs] == [2 * BATCH] * trainer.global_step


@pytest.mark.parametrize("decoupled", [False, True])
def test_the_loss_is_nt_xent_of_the_projections(images: Tensor, decoupled: bool) -> None:
    config = LossConfig(name="dcl" if decoupled else "nt_xent", temperature=0.2)
    record = Record()
    fit(module(loss=config), images, record)
    for projections, loss in zip(record.projections, record.losses, strict=True):
        z0, z1 = projections.chunk(2)
        expected = nt_xent(z0, z1, temperature=0.2, decoupled=decoupled)
        assert loss == pytest.approx(float(expected), rel=1e-5)


def test_every_head_of_clusters_adds_the_information_that_two_views_share(images: Tensor) -> None:
    record = Record()
    trainer = fit(module(clustering=CLUSTERS), images, record)
    for projections, logits, loss in zip(
        record.projections, record.clusters, record.losses, strict=True
    ):
        heads = [head.softmax(1).chunk(2) for head in logits.split([4, 7], dim=1)]
        information = -sum(float(information_loss(p0, p1)) for p0, p1 in heads) / 2
        z0, z1 = projections.chunk(2)
        assert loss == pytest.approx(float(nt_xent(z0, z1, 0.5)) - 0.5 * information, rel=1e-5)
    logged = float(trainer.callback_metrics["cluster_information"])
    assert logged == pytest.approx(information, abs=1e-5)


def test_views_come_to_share_clusters(images: Tensor) -> None:
    short, long = module(clustering=CLUSTERS), module(epochs=8, clustering=CLUSTERS, lr=1e-2)
    first = fit(short, images, Record()).callback_metrics["cluster_information"]
    last = fit(long, images, Record(), epochs=8).callback_metrics["cluster_information"]
    assert last > first + 0.1


def test_it_logs_what_tells_whether_it_learns(images: Tensor) -> None:
    logged = fit(module(), images, Record()).callback_metrics
    assert logged.keys() >= {"loss", "contrastive_accuracy"}
    assert 0 <= float(logged["contrastive_accuracy"]) <= 1


def test_the_loss_goes_down(images: Tensor) -> None:
    record = Record()
    fit(module(epochs=8, lr=1e-2), images, record, epochs=8)
    assert sum(record.losses[-4:]) / 4 < sum(record.losses[:4]) / 4 - 0.3


def test_the_learning_rate_changes_at_every_step(images: Tensor) -> None:
    record = Record()
    fit(module(epochs=3), images, record, epochs=3)
    assert len(record.rates) == 12
    assert len(set(record.rates)) == 12
    assert record.rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("clustering", [None, CLUSTERS], ids=["alone", "clusters"])
def test_encoder_and_heads_all_move(images: Tensor, clustering: ClusteringConfig | None) -> None:
    model = module(clustering=clustering)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, images, Record())
    after = model.state_dict()
    assert [name for name, value in before.items() if torch.equal(value, after[name])] == []


def test_bf16_computes_the_loss_in_float32(images: Tensor) -> None:
    record = Record()
    fit(module(), images, record, precision="bf16-mixed")
    assert {projections.dtype for projections in record.projections} == {torch.bfloat16}
    for projections, loss in zip(record.projections, record.losses, strict=True):
        z0, z1 = projections.float().chunk(2)
        assert loss == pytest.approx(float(nt_xent(z0, z1, 0.5)), rel=1e-6)


@pytest.mark.parametrize(
    "precision",
    [
        "32-true",
        "bf16-mixed",
        pytest.param(
            "16-mixed",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_every_precision_is_finite_at_the_lowest_temperature(
    precision: str, images: Tensor
) -> None:
    loss = LossConfig(temperature=0.01)
    model, record = module(loss=loss, clustering=CLUSTERS), Record()
    fit(model, images, record, precision=precision)
    assert all(math.isfinite(loss) for loss in record.losses)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_images_become_representations(images: Tensor) -> None:
    model = module().eval()
    some = images[:5] / 255
    torch.testing.assert_close(model(some), model.encoder(some))
    assert model(some).shape == (5, 32)


def test_the_same_seed_trains_the_same_weights(images: Tensor) -> None:
    first, second = module(), module()
    fit(first, images, Record())
    fit(second, images, Record())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("step", [2, 4, 5])
def test_a_resumed_training_ends_as_one_that_never_stopped(
    images: Tensor, tmp_path: Path, step: int
) -> None:
    """Stopped in the first epoch, at its end, and in the second."""
    whole, resumed = module(epochs=2, clustering=CLUSTERS), module(epochs=2, clustering=CLUSTERS)
    path = tmp_path / "stopped.ckpt"
    record, rest = Record(save_at=step, path=path), Record()
    fit(whole, images, record, epochs=2)
    trainer = fit(resumed, images, rest, epochs=2, resume=path)
    assert trainer.global_step == 8
    assert rest.losses == record.losses[step:]
    after = resumed.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, after[name]), name


@pytest.mark.parametrize(("every", "logged_at"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4])])
def test_it_logs_every_so_many_steps_and_the_last(
    images: Tensor, monkeypatch: pytest.MonkeyPatch, every: int, logged_at: list[int]
) -> None:
    model, steps = module(), []
    model.log_every_n_steps = every
    log_dict = model.log_dict

    def noted(*arguments: Any, **options: Any) -> None:
        steps.append(model.trainer.global_step + 1)
        log_dict(*arguments, **options)

    monkeypatch.setattr(model, "log_dict", noted)
    trainer = fit(model, images, L.Callback())
    assert steps == logged_at
    assert trainer.callback_metrics["loss"] > 0


@pytest.mark.parametrize(("rotation", "said"), [(0, True), (20, False)])
def test_two_equal_views_are_said(
    rotation: int, said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    do(tmp_path, "task=pretrain", f"augment.rotation={rotation}")
    assert ("two views of an image are the same" in caplog.text) is said
