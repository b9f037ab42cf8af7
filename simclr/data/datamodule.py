"""LightningDataModules: paired views for pretraining, labelled images for classification, both."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from simclr.data.batches import EVAL_BATCH, EvalBatches, ShuffledBatches, TrainBatches
from simclr.data.images import Images, LabelledImages
from simclr.data.streaming import StreamedBatches, StreamedImages
from simclr.data.workers import usual_workers
from simclr.errors import SimclrError
from simclr.views import Views


def to_float(images: Tensor) -> Tensor:
    """uint8 images become float32 in [0, 1]; other tensors, such as features, stay as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


class _DataModule(L.LightningDataModule):
    """The base of all data modules; it knows this process's rank and the number of processes."""

    @property
    def rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def unlabelled_batches(
        self, images: Images, batch_size: int, seed: int, *beside: Tensor
    ) -> ShuffledBatches:
        """Batches (images uint8 (B, C, H, W), rows of `beside`, seed).

        The views are made after the transfer.
        """
        place = (batch_size, seed, self.rank, self.world_size)
        if isinstance(images, StreamedImages):
            return StreamedBatches(images, *place, usual_workers(), beside)
        return TrainBatches(tuple(one.to(self.device) for one in (images, *beside)), *place)

    def draw_views(self, views: Views, images: Tensor, seed: int, count: int) -> Tensor:
        """`count` views of each image, (count * B, C, H, W).

        The random numbers are drawn for the global batch and this rank takes its rows, so the
        number of devices does not change which views an image gets.
        """
        total = len(images) * self.world_size
        generator = torch.Generator(images.device).manual_seed(seed)
        _, channels, height, width = images.shape
        numbers = views.draw(count * total, (channels, height, width), generator, images.device)
        mine = numbers.view(count, total, -1)[:, self.rank :: self.world_size]
        made: Tensor = views(images, mine.flatten(0, 1))
        return made


class ContrastiveDataModule(_DataModule):
    """Pairs of augmented views of unlabelled images.

    Args:
        images: uint8 (N, C, H, W), in memory and, in training, on the device; or in files.
        views: the augmentation.
        batch_size: images in a batch over all devices; each gives two views.
        seed: of order and views.

    Raises:
        SimclrError: if a batch is larger than the data.
    """

    def __init__(self, images: Images, views: Views, batch_size: int = 128, seed: int = 0) -> None:
        super().__init__()
        if batch_size > len(images):
            raise SimclrError(
                f"data.batch_size={batch_size}: there are only {len(images)} images to pretrain "
                "on; choose at most that many"
            )
        self.images = images
        self.views = views
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> ShuffledBatches:
        """Batches (images uint8 (B, C, H, W), seed).

        Raises:
            SimclrError: if the processes cannot share a batch equally.
        """
        if self.batch_size % self.world_size:
            raise SimclrError(
                f"data.batch_size={self.batch_size}: must be a multiple of the {self.world_size} "
                "processes that share a batch"
            )
        return self.unlabelled_batches(self.images, self.batch_size, self.seed)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Two views of each image, float (B, C, H, W) in [0, 1], made in one batched call."""
        images, seed = batch
        view0, view1 = self.draw_views(self.views, images, seed, count=2).chunk(2)
        return view0, view1

    def example(self) -> tuple[Tensor, Tensor]:
        """The first batch of the first epoch, as training sees it: (view0, view1)."""
        return self.on_after_batch_transfer(next(iter(self.train_dataloader())), 0)


class StudentDataModule(_DataModule):
    """A view of each unlabelled image, and its clusters.

    Args:
        images: uint8 (N, C, H, W), in memory and, in training, on the device; or in files.
        shares: (N, K), of the clusters.
        views: the augmentation.
        batch_size: images in a batch over all devices.
        seed: of order and views.
    """

    def __init__(
        self, images: Images, shares: Tensor, views: Views, batch_size: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.images = images
        self.shares = shares
        self.views = views
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> ShuffledBatches:
        """Batches (images uint8 (B, C, H, W), shares (B, K), seed)."""
        return self.unlabelled_batches(self.images, self.batch_size, self.seed, self.shares)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """(views float (B, C, H, W) in [0, 1], shares (B, K))."""
        images, shares, seed = batch
        return self.draw_views(self.views, images, seed, count=1), shares


class LabelledDataModule(_DataModule):
    """Labelled images, or their features, in three disjoint parts.

    Args:
        train: what the classifier learns from.
        val: what hyper-parameters are chosen on, if there is any.
        test: what is scored once, at the end, if there is any.
        batch_size: training images in a batch over all devices.
        seed: of order and views.
        views: the augmentation of training images; None leaves them as they are.
    """

    def __init__(
        self,
        train: LabelledImages,
        val: LabelledImages | None,
        test: LabelledImages | None,
        batch_size: int,
        seed: int = 0,
        views: Views | None = None,
    ) -> None:
        super().__init__()
        self.train, self.val, self.test = train, val, test
        self.batch_size = min(batch_size, len(train.labels))
        self.seed = seed
        self.views = views

    @property
    def views_per_step(self) -> int:
        """Images that a training step puts through the encoder."""
        return self.batch_size

    def train_dataloader(self) -> ShuffledBatches:
        """Batches (images, labels, seed)."""
        tensors = self._on_device(self.train)
        return TrainBatches(tensors, self.batch_size, self.seed, self.rank, self.world_size)

    def val_dataloader(self) -> EvalBatches | list[Tensor]:
        """Batches (images, labels) of the validation part; none if there is no such part."""
        return self._eval(self.val)

    def test_dataloader(self) -> EvalBatches | list[Tensor]:
        """Batches (images, labels) of the test part; none if there is no such part."""
        return self._eval(self.test)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """(images float in [0, 1], labels); training images as one random view each."""
        images, labels, *seed = batch
        if seed and self.views is not None:
            return self.draw_views(self.views, images, seed[0], count=1), labels
        return to_float(images), labels

    def _eval(self, part: LabelledImages | None) -> EvalBatches | list[Tensor]:
        if part is None:
            return []
        return EvalBatches(self._on_device(part), EVAL_BATCH, self.rank, self.world_size)

    def _on_device(self, part: LabelledImages) -> tuple[Tensor, Tensor]:
        return part.images.to(self.device), part.labels.to(self.device)


class SelfTrainDataModule(LabelledDataModule):
    """Unlabelled images as they are and as one view, and beside them a view of each labelled image.

    Whole images are among what is compared, as they are what will be classified in the end.

    Args:
        unlabelled: uint8 (N, C, H, W), in memory or in files.
        train: the labelled images; of more than `batch_size`, so many at random in each step.
        val: what hyper-parameters are chosen on, if there is any.
        test: what is scored once, at the end, if there is any.
        batch_size: unlabelled images in a batch; all of them if there are fewer.
        seed: of order and views.
        views: the augmentation of training images.
    """

    def __init__(
        self,
        unlabelled: Images,
        train: LabelledImages,
        val: LabelledImages | None,
        test: LabelledImages | None,
        batch_size: int,
        seed: int,
        views: Views,
    ) -> None:
        super().__init__(train, val, test, batch_size, seed)
        self.unlabelled = unlabelled
        self.batch_size = min(batch_size, len(unlabelled))
        self.views: Views = views
        self._labelled = train

    @property
    def views_per_step(self) -> int:
        """Images that a training step puts through the encoder."""
        return 2 * self.batch_size + min(self.batch_size, len(self.train.labels))

    def train_dataloader(self) -> ShuffledBatches:
        """Batches (images uint8 (B, C, H, W), seed), of unlabelled images."""
        self._labelled = LabelledImages(*self._on_device(self.train))
        return self.unlabelled_batches(self.unlabelled, self.batch_size, self.seed)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """In training (views (2B + M, C, H, W), labels (M,)), else images and their labels.

        First come the unlabelled images as they are, then their views, then the labelled ones'.
        """
        images, second = batch
        if isinstance(second, Tensor):
            return super().on_after_batch_transfer(batch, dataloader_idx)
        generator = torch.Generator(images.device).manual_seed(second)
        count = len(self._labelled.labels)
        order = torch.randperm(count, generator=generator, device=images.device)
        labelled = self._labelled.select(order[: self.batch_size])
        changed = torch.cat((images, labelled.images))
        views = self.draw_views(self.views, changed, second, count=1)
        return torch.cat((to_float(images), views)), labelled.labels
