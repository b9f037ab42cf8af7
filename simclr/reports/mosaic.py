"""Grids of small images as one image, without matplotlib."""

import torch
import torch.nn.functional as F
from torch import Tensor

GREEN, RED, GREY = (0.17, 0.63, 0.17), (0.84, 0.15, 0.16), (0.5, 0.5, 0.5)


def mosaic(images: Tensor, frames: Tensor | None = None, enlarge: int = 3) -> Tensor:
    """Rows of images side by side.

    Args:
        images: float (R, K, C, H, W) in [0, 1], C 1 or 3.
        frames: (R, K, 3), the colour of the frame around each image; white without.
        enlarge: every pixel becomes so many in each direction.

    Returns:
        float (3, height, width) in [0, 1].
    """
    rows, columns = images.shape[:2]
    large = images.expand(-1, -1, 3, -1, -1)
    large = large.repeat_interleave(enlarge, 3).repeat_interleave(enlarge, 4)
    *_, height, width = (large := F.pad(large, (2, 2, 2, 2), value=torch.nan)).shape
    colour = torch.ones(rows, columns, 3) if frames is None else frames
    framed = torch.where(large.isnan(), colour[..., None, None].expand_as(large), large)
    framed = F.pad(framed, (1, 1, 1, 1), value=1.0)
    return framed.permute(2, 0, 3, 1, 4).reshape(3, rows * (height + 2), columns * (width + 2))


def one_per_class(labels: Tensor, most: int = 10) -> Tensor:
    """Positions of the first image of each class among `labels` (N,), of `most` classes."""
    values = labels.tolist()
    return torch.tensor([values.index(label) for label in sorted(set(values))[:most]])


def neighbours(
    images: Tensor, labels: Tensor, features: Tensor, queries: Tensor, count: int = 8
) -> tuple[Tensor, Tensor]:
    """Query images, each followed by the images whose features are most similar (cosine).

    Args:
        images: uint8 (N, C, H, W).
        labels: (N,).
        features: (N, D).
        queries: positions (Q,) of the images to start from.
        count: neighbours of each.

    Returns:
        Images (Q, 1 + count, C, H, W) and frames for `mosaic`: green where the label is the
        query's, red where it is not.
    """
    units = F.normalize(features)
    cosines = units[queries] @ units.T
    cosines[torch.arange(len(queries)), queries] = torch.inf  # a duplicate is a neighbour like any
    order = cosines.topk(min(1 + count, len(images)), dim=1).indices
    same = labels[order] == labels[queries][:, None]
    frames = torch.where(same[..., None], torch.tensor(GREEN), torch.tensor(RED))
    frames[:, 0] = torch.tensor(GREY)
    return images[order] / 255, frames
