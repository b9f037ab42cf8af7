"""SimCLR as lightly's documentation builds it: its transform and loss in a Lightning Trainer."""

import importlib
from typing import Any

import lightning as L
import torch
from PIL import Image
from plain import WORKERS, network
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from turns import Turns

from simclr.config.schema import Config
from simclr.data.splits import load_splits


class Images(Dataset[list[Tensor]]):
    """Views of PIL images, as torchvision's MNIST hands them to a transform."""

    def __init__(self, config: Config) -> None:
        self.images = load_splits(config.data).train.images.squeeze(1).numpy()
        self.transform = importlib.import_module("lightly.transforms").SimCLRTransform(
            input_size=self.images.shape[-1], cj_strength=0.5, gaussian_blur=0.0, normalize=None
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        views: list[Tensor] = self.transform(Image.fromarray(self.images[index]))
        return views


class SimCLR(L.LightningModule):
    """Each view through the model, as in lightly's example."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.model = network(config)
        self.criterion = importlib.import_module("lightly.loss").NTXentLoss(config.loss.temperature)
        self.optimizer_config = config.optimizer

    def training_step(self, views: list[Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.criterion(self.model(views[0]), self.model(views[1]))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.optimizer_config
        return torch.optim.AdamW(self.parameters(), config.lr, weight_decay=config.weight_decay)


class Gate(L.Callback):
    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
        self.turns.step(outputs["loss"])


def train(config: Config, turns: Turns) -> None:
    """Train until the process is ended."""
    loader = DataLoader(
        Images(config),
        config.data.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    precision: Any = config.trainer.precision
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        precision=precision,
        max_epochs=1_000,
        callbacks=[Gate(turns)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(SimCLR(config), loader)
