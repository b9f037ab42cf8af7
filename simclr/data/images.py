"""What every data source hands over: whole image tensors in memory."""

from dataclasses import dataclass

from torch import Tensor


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

    def first(self, count: int | None) -> "LabelledImages":
        """The first `count` images with their labels, or all of them."""
        return LabelledImages(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as its source divides it.

    Attributes:
        train: labelled training images.
        test: images for the final score, if the source has any.
        classes: class names; a label is a position in them.
        unlabelled: uint8 (M, C, H, W), further images to pretrain on, if there are any.
        val: validation images, if the source chose them itself.
    """

    train: LabelledImages
    test: LabelledImages | None
    classes: tuple[str, ...]
    unlabelled: Tensor | None = None
    val: LabelledImages | None = None
