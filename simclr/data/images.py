"""The images that a data source provides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from simclr.data.streaming import StreamedImages

Images = Tensor | StreamedImages  # uint8 (N, C, H, W)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their classes.

    Attributes:
        images: uint8 (N, C, H, W).
        labels: int64 (N,), positions in `Source.classes`.
    """

    images: Tensor
    labels: Tensor

    def select(self, indices: Tensor) -> "LabelledImages":
        """Copy the images at these positions, int64 (M,), with their labels."""
        return LabelledImages(self.images[indices], self.labels[indices])

    def sample(self, count: int | None) -> "LabelledImages":
        """At most `count` images, evenly spaced: of all classes, even if they lie in their order.

        None means all.
        """
        total = len(self.labels)
        if count is None or count >= total:
            return self
        return self.select(torch.arange(count) * total // count)


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as its source divides it.

    Attributes:
        train: labelled training images.
        test: images for the final score, if the source has any.
        classes: class names; a label is a position in them.
        unlabelled: (M, C, H, W), further images to pretrain on, if there are any.
        val: validation images, if the source chose them itself.
        left_out: why files or folders are left out, and how many.
        remarks: what else the user should know, in whole sentences.
        files: size and hash of each file by its name, if they are the user's own.
        root: the folder of the user's own files.
        paths: those of the unlabelled images, then of the training images.
    """

    train: LabelledImages
    test: LabelledImages | None
    classes: tuple[str, ...]
    unlabelled: Images | None = None
    val: LabelledImages | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    paths: tuple[Path, ...] = ()
