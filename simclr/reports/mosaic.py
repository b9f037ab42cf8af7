"""Grids of small images as one image, and names beside them, without matplotlib."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLUE, ORANGE, GREY = (0.0, 0.45, 0.7), (0.9, 0.4, 0.0), (0.5, 0.5, 0.5)
LARGEST = 96  # pixels of an image on a mosaic, in each direction


def in_colour(images: Tensor) -> Tensor:
    """Images (..., C, H, W) as (..., 3, H, W); a number of channels other than 3 becomes grey."""
    if images.shape[-3] == 3:
        return images
    grey = images.float().mean(-3, keepdim=True).to(images.dtype)
    return grey.expand(*images.shape[:-3], 3, *images.shape[-2:])


def at_most(images: Tensor, size: int) -> Tensor:
    """Float images (N, C, H, W), those of more than `size` pixels in a direction made smaller."""
    height, width = images.shape[-2:]
    scale = min(1.0, size / max(height, width))
    if scale == 1:
        return images
    return F.adaptive_avg_pool2d(images, (max(1, int(height * scale)), max(1, int(width * scale))))


def thumbnails(images: Tensor, size: int = 64) -> Tensor:
    """Squares (N, 3, S, S) of at most `size` pixels, for images uint8 (N, C, H, W); in [0, 1]."""
    small = at_most(in_colour(images).float() / 255, size)
    height, width = small.shape[-2:]
    down, right = max(width - height, 0), max(height - width, 0)
    return F.pad(small, (right // 2, right - right // 2, down // 2, down - down // 2), value=1.0)


def mosaic(images: Tensor, frames: Tensor | None = None, dashed: Tensor | None = None) -> Tensor:
    """Rows of images side by side, each as large as `LARGEST` allows and three times at most.

    Args:
        images: float (R, K, C, H, W) in [0, 1].
        frames: (R, K, 3), the colour of the frame around each image; white without.
        dashed: bool (R, K), whose frames are broken lines; none without.

    Returns:
        float (3, height, width) in [0, 1].
    """
    rows, columns = images.shape[:2]
    small = at_most(in_colour(images).flatten(0, 1), LARGEST).unflatten(0, (rows, columns))
    enlarge = max(1, min(3, LARGEST // max(small.shape[-2:])))
    large = small.repeat_interleave(enlarge, 3).repeat_interleave(enlarge, 4)
    *_, height, width = (large := F.pad(large, (2, 2, 2, 2), value=torch.nan)).shape
    colour = torch.ones(rows, columns, 3) if frames is None else frames
    colour = colour[..., None, None].expand_as(large)
    if dashed is not None:
        gaps = (torch.arange(height)[:, None] + torch.arange(width)) // 6 % 2 == 1
        colour = colour.where(~(gaps & dashed[..., None, None, None]), 1.0)
    framed = torch.where(large.isnan(), colour, large)
    framed = F.pad(framed, (1, 1, 1, 1), value=1.0)
    return framed.permute(2, 0, 3, 1, 4).reshape(3, rows * (height + 2), columns * (width + 2))


def one_per_class(labels: Tensor, most: int = 10) -> Tensor:
    """Positions of the first image of each class among `labels` (N,), of `most` classes."""
    values = labels.tolist()
    return torch.tensor([values.index(label) for label in sorted(set(values))[:most]])


def neighbours(
    images: Tensor, labels: Tensor, features: Tensor, queries: Tensor, count: int = 8
) -> tuple[Tensor, Tensor, Tensor]:
    """Query images, each followed by the images whose features are most similar (cosine).

    Args:
        images: uint8 (N, C, H, W).
        labels: (N,).
        features: (N, D).
        queries: positions (Q,) of the images to start from.
        count: neighbours of each.

    Returns:
        Images (Q, 1 + count, C, H, W), and for `mosaic` their frames, blue where the label is the
        query's and orange where it is not, and which are dashed: the latter.
    """
    units = F.normalize(features)
    cosines = units[queries] @ units.T
    cosines[torch.arange(len(queries)), queries] = torch.inf  # a duplicate is a neighbour like any
    order = cosines.topk(min(1 + count, len(images)), dim=1).indices
    same = labels[order] == labels[queries][:, None]
    frames = torch.where(same[..., None], torch.tensor(BLUE), torch.tensor(ORANGE))
    frames[:, 0] = torch.tensor(GREY)
    return images[order] / 255, frames, ~same


def shown_name(name: str, most: int = 24) -> str:
    """A class name for pictures: in a line, what cannot be printed escaped, and not long."""
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )
    return line if len(line) <= most else f"{line[: most - 1]}…"
