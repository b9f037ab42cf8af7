"""Pictures for TensorBoard: pairs of views, nearest neighbours and the embedding projector."""

from typing import TYPE_CHECKING

import lightning as L
import torch
from torch import Tensor

from simclr.data.images import LabelledImages
from simclr.models.classifier import extract_features
from simclr.models.encoders import Encoder
from simclr.reports.mosaic import mosaic, neighbours, one_per_class, shown_name, thumbnails
from simclr.reports.tensorboard import shown_step, writer_of
from simclr.training.callbacks.clock import Clock
from simclr.training.callbacks.watching import watching
from simclr.views import Views

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Pictures(L.Callback):
    """Pairs of views; nearest neighbours before and after training; the embedding projector.

    Args:
        encoder: which is being trained.
        clock: stopped meanwhile.
        views: the augmentation.
        images: to look at; their labels only colour and name them.
        classes: a name for each label.
    """

    def __init__(
        self,
        encoder: Encoder,
        clock: Clock,
        views: Views,
        images: LabelledImages,
        classes: tuple[str, ...],
    ) -> None:
        self.encoder = encoder
        self.clock = clock
        self.views = views
        self.images = images
        self.classes = classes

    @watching
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (writer := writer_of(trainer)) is not None:
            with self.clock.paused():
                some = self.images.images[one_per_class(self.images.labels)]
                generator = torch.Generator().manual_seed(0)
                pairs = [view for _ in range(4) for view in self.views.pair(some, generator)]
                picture = mosaic(torch.stack([some / 255, *pairs], dim=1))
                writer.add_image("samples/views", picture, shown_step(trainer))
                self._add_neighbours(writer, shown_step(trainer))

    @watching
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (writer := writer_of(trainer)) is not None:
            features = self._add_neighbours(writer, shown_step(trainer))
            writer.add_embedding(
                features,
                [shown_name(self.classes[label]) for label in self.images.labels.tolist()],
                thumbnails(self.images.images),
                shown_step(trainer),
                "representation",
            )

    def _add_neighbours(self, writer: "SummaryWriter", step: int) -> Tensor:
        images, labels = self.images.images, self.images.labels
        features = extract_features(self.encoder, images).cpu()
        picture = mosaic(*neighbours(images, labels, features, one_per_class(labels)))
        writer.add_image("samples/nearest_neighbours", picture, step)
        return features
