"""The three disjoint parts every task works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from simclr.config.schema import DataConfig, LabelsConfig
from simclr.data.fingerprint import of_parts, of_tensors
from simclr.data.folder import file_name
from simclr.data.given_labels import read_labels
from simclr.data.images import Images, LabelledImages
from simclr.data.labels import draw_any, draw_labels, split
from simclr.data.sources import load_source
from simclr.data.streaming import StreamedImages
from simclr.errors import SimclrError


@dataclass(frozen=True)
class Splits:
    """Images for pretraining, and labelled ones for training, validation and test.

    Attributes:
        unlabelled: (N, C, H, W); pretraining sees these and nothing else.
        train: where label draws come from.
        train_indices: int64 (len(train),), positions in the source's training images.
        val: for choosing hyper-parameters, if there are any.
        test: scored once per trained classifier, if there are any.
        classes: a name for each class.
        remarks: what the source left out or decided, in whole sentences.
        files: size and hash of each file by its name, if the images are the user's own.
        names: what files of labels call each image of `unlabelled`: its file below data.root, or
            its index among the source's training images.
        paths: the file of each image of `unlabelled`, if they are files.
        labels_given: whether a person gave the labels of `train`; else they are there for
            research, and nobody who chooses images may look at them.
    """

    unlabelled: Images
    train: LabelledImages
    train_indices: Tensor
    val: LabelledImages | None
    test: LabelledImages | None
    classes: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    paths: Sequence[Path] = ()
    labels_given: bool = False

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Number and digest of the images of each part, with their labels.

        Images in files are told by the bytes of the files, so that decoding them anew in every
        epoch or once makes no difference.
        """
        if self.files:
            return of_parts(self.files)
        parts = {"train": self.train, "val": self.val, "test": self.test}
        unlabelled = {} if len(self.unlabelled) == len(self.train.labels) else self._unlabelled_part
        return unlabelled | {
            name: f"{len(part.labels)} images, {of_tensors([part.images, part.labels])}"
            for name, part in parts.items()
            if part is not None
        }

    @property
    def _unlabelled_part(self) -> dict[str, str]:
        images = self.unlabelled[:]
        return {"unlabelled": f"{len(images)} images, {of_tensors([images])}"}

    @property
    def summary(self) -> str:
        """How many images each part has, and what was left out."""
        if not len(self.train.labels):
            return "\n".join(
                [f"{len(self.unlabelled)} images for pretraining, none with labels", *self.remarks]
            )
        counts = torch.bincount(self.train.labels, minlength=len(self.classes))
        sizes = " to ".join(str(size) for size in sorted({int(counts.min()), int(counts.max())}))
        labelled = (
            f"{len(self.unlabelled)} images for pretraining, {len(self.train.labels)} of them with "
            f"labels: {len(self.classes)} classes of {sizes} images; "
            f"{len(self.val.labels) if self.val else 0} for validation, "
            f"{len(self.test.labels) if self.test else 0} for the test"
        )
        return "\n".join([labelled, *self.remarks])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        _, channels, height, width = self.unlabelled.shape
        return channels, height, width

    def draw(self, per_class: int | None, seed: int, budget: int | None = None) -> Tensor:
        """A label draw: sorted positions in `train`.

        They are `budget` of any classes if that is given, else `per_class` of each class, or all.

        Raises:
            SimclrError: if a class has fewer images.
        """
        if budget is not None:
            return draw_any(len(self.train.labels), budget, seed)
        if per_class is None or not len(self.train.labels):
            return torch.arange(len(self.train.labels))
        return draw_labels(self.train.labels, self.classes, per_class, seed)

    def as_many_labels(self, wanted: LabelsConfig) -> LabelsConfig:
        """The draw that is wanted, or a smaller one if a class has fewer images.

        Pretraining uses labels only to watch, and so makes do with those that there are.
        """
        counts = torch.bincount(self.train.labels, minlength=len(self.classes)).tolist()
        per_class = wanted.per_class and min([wanted.per_class, *counts])
        return replace(wanted, per_class=per_class)

    def in_unlabelled(self, chosen: Tensor) -> Tensor:
        """Positions in `unlabelled`, whose last images are those of `train`."""
        return chosen + len(self.unlabelled) - len(self.train.labels)

    def draws(self, labels: LabelsConfig) -> range:
        """Seeds of a benchmark's label draws: one where a draw takes all labelled images.

        The same images again would be counted as evidence and show no spread.
        """
        first = self.draw(labels.per_class, labels.seed, labels.budget)
        takes_all = len(first) == len(self.train.labels)
        return range(labels.seed, labels.seed + (1 if takes_all else labels.draws))


def load_splits(config: DataConfig) -> Splits:
    """Load the data set and divide its training images by `config.split_seed`.

    A source that brings its own validation images keeps them.

    Raises:
        SimclrError: if the data set cannot be had, or leaves nothing to train on.
    """
    source = load_source(
        config.name,
        Path(config.root),
        image_size=config.image_size,
        channels=config.channels,
        train_size=config.train_images or 60_000,
        test_size=config.test_images or 10_000,
        seed=config.split_seed,
        stream=config.stream,
        max_pixels=config.max_pixels,
        labels=Path(config.labels) if config.labels and config.name == "folder" else None,
    )
    train = source.train.sample(config.train_images)
    val = source.val
    indices = torch.arange(len(train.labels))
    val_images = _val_images(config.val_images, len(indices))
    if val is None and val_images:
        if val_images >= len(indices):
            raise SimclrError(
                f"data.val_images={val_images}: there are only {len(indices)} training "
                "images to split them off; choose fewer"
            )
        indices, val_indices = split(train.labels, val_images, config.split_seed)
        val = train.select(val_indices)
        train = train.select(indices)
    more = source.unlabelled
    splits = Splits(
        unlabelled=train.images if more is None else _joined(more, train.images),
        train=train,
        train_indices=indices,
        val=val,
        test=source.test and source.test.sample(config.test_images),
        classes=source.classes,
        files=source.files,
        remarks=(*(f"Left out: {n} {why}" for why, n in source.left_out.items()), *source.remarks),
        names=[str(index) for index in indices.tolist()],
        labels_given=bool(config.labels) or config.name == "folder",
    )
    if config.name == "folder":
        ahead = len(source.paths) - len(source.train.labels)
        kept = [*range(ahead), *(ahead + indices).tolist()]
        paths = [source.paths[place] for place in kept]
        return replace(splits, paths=paths, names=[file_name(source.root, path) for path in paths])
    if config.labels:
        return _with_labels_of(Path(config.labels), splits, len(source.train.labels))
    return splits


def _with_labels_of(file: Path, splits: Splits, total: int) -> Splits:
    """The same images; only those that the file names have labels, and they come last."""
    places = {index: place for place, index in enumerate(splits.train_indices.tolist())}

    def place(told: str) -> int:
        index = int(told) if told.isdecimal() else -1
        if not 0 <= index < total:
            raise ValueError(f"{told}: must be the index of a training image, 0 to {total - 1}")
        if index not in places:
            raise ValueError(f"{told}: kept for validation (data.val_images, data.split_seed)")
        return places[index]

    given = read_labels(file, "index", place, splits.classes)
    chosen = torch.tensor(sorted(given))
    others = torch.ones(len(places), dtype=torch.bool)
    others[chosen] = False
    order = torch.cat((others.nonzero().flatten(), chosen))
    labels = torch.tensor([splits.classes.index(given[one]) for one in chosen.tolist()])
    return replace(
        splits,
        unlabelled=splits.unlabelled[order],
        train=LabelledImages(splits.train.images[chosen], labels),
        train_indices=splits.train_indices[chosen],
        names=[splits.names[one] for one in order.tolist()],
    )


def _val_images(chosen: int | None, total: int) -> int:
    """The chosen number of validation images; by default a twelfth of all, and at most 5 000."""
    return min(5_000, total // 12) if chosen is None else chosen


def _joined(unlabelled: Images, labelled: Tensor) -> Images:
    if isinstance(unlabelled, StreamedImages):
        return unlabelled.followed_by(labelled)
    return torch.cat((unlabelled, labelled))
