"""Which images are for training, which for validation, and which of them have labels."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from simclr.errors import SimclrError


def split(labels: Tensor, val_images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divide images once into those for training and `val_images` for validation, at random.

    Every class keeps at least one training image and half of its fair share. Where chance would
    leave it fewer, an image of another class is for validation instead.

    Args:
        labels: int64 (N,).
        val_images: less than N.
        seed: of the order.

    Returns:
        Sorted int64 indices (N - val_images,) and (val_images,); disjoint, together all.
    """
    total = len(labels)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    counts = torch.bincount(labels)
    kept = (counts * (total - val_images) / total / 2).ceil()
    by_class = labels[order].argsort(stable=True)
    place = torch.empty_like(order)  # of each image among those of its class
    place[by_class] = torch.arange(total) - (counts.cumsum(0) - counts)[labels[order[by_class]]]
    can_be_spared = place < (counts - kept)[labels[order]]
    order = torch.cat((order[can_be_spared], order[~can_be_spared]))
    return order[val_images:].sort().values, order[:val_images].sort().values


def draw_labels(labels: Tensor, classes: Sequence[str], per_class: int, seed: int) -> Tensor:
    """Draw exactly `per_class` images of every class.

    Args:
        labels: int64 (N,), positions in `classes`.
        classes: names of all C classes.
        per_class: images of each class.
        seed: which draw; the same seed gives the same images.

    Returns:
        Sorted int64 indices into `labels`, (C * per_class,).

    Raises:
        SimclrError: if a class has fewer images than asked for.
    """
    counts = torch.bincount(labels, minlength=len(classes))
    if int(counts.min()) < per_class:
        scarce = int(counts.argmin())
        raise SimclrError(
            f"labels.per_class={per_class}: class {classes[scarce]!r} has only "
            f"{int(counts[scarce])} training images; choose at most that many"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = order[labels[order].argsort(stable=True)]
    starts = counts.cumsum(0) - counts
    chosen = starts[:, None] + torch.arange(per_class)
    return by_class[chosen.flatten()].sort().values


def draw_any(total: int, budget: int, seed: int) -> Tensor:
    """Draw `budget` of `total` images whatever their classes; sorted int64 indices (budget,).

    Raises:
        SimclrError: if there are fewer images.
    """
    if total < budget:
        raise SimclrError(
            f"labels.budget={budget}: only {total} training images have labels; "
            "choose at most that many"
        )
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:budget].sort().values


def fingerprint(indices: Tensor) -> str:
    """The sha256 of sorted indices, as decimal text separated by commas."""
    text = ",".join(map(str, indices.sort().values.tolist()))
    return hashlib.sha256(text.encode()).hexdigest()
