"""Images decoded from their files in every epoch, because memory does not hold them all."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from simclr.data.batches import ShuffledBatches
from simclr.data.image_files import read_images, some_of
from simclr.errors import SimclrError
from simclr.launch.memory import memory_limit

# Not what a launcher such as joblib has set for processes of its own kind.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class StreamedImages:
    """Reads like a uint8 tensor (N, C, H, W): images in files, then images in memory.

    Args:
        paths: the files.
        in_memory: uint8 (M, C, H, W), the images that come after; M may be 0.
    """

    def __init__(self, paths: Sequence[Path], in_memory: Tensor) -> None:
        self.paths = paths
        self.in_memory = in_memory

    def __len__(self) -> int:
        return len(self.paths) + len(self.in_memory)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        _, channels, height, width = self.in_memory.shape
        return len(self), channels, height, width

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """The images at these positions, uint8 (B, C, H, W).

        Raises:
            SimclrError: naming the files that cannot be read.
        """
        return self.read(which)

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def read(self, which: slice | Tensor, threads: int | None = None) -> Tensor:
        """As indexing does, with so many threads; None leaves their number to Python."""
        indices = torch.arange(len(self))[which]
        in_files = indices < len(self.paths)
        _, *shape = self.shape
        images = torch.empty(len(indices), *shape, dtype=torch.uint8)
        images[~in_files] = self.in_memory[indices[~in_files] - len(self.paths)]
        paths = [self.paths[index] for index in indices[in_files].tolist()]
        images[in_files], found = read_images(paths, (shape[0], shape[1], shape[2]), threads)
        if problems := [problem for problem in found if problem is not None]:
            raise SimclrError("\n".join(some_of(problems)))
        return images


class StreamedBatches(ShuffledBatches):
    """Shuffled batches (images, seed), decoded ahead by processes of their own.

    Args:
        images: of which a batch is made.
        batch_size: images in a batch over all ranks.
        seed: of the order.
        rank: this process.
        world_size: all processes.
        workers: processes that decode.
    """

    def __init__(
        self,
        images: StreamedImages,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        workers: int,
    ) -> None:
        super().__init__(len(images), batch_size, seed, rank, world_size)
        self.images = images
        self.workers = workers

    def select(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        loader = DataLoader(
            _Batches(self.images, rows),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context=PROCESSES if self.workers else None,
        )
        for batch in loader:
            if isinstance(batch, SimclrError):
                raise batch
            yield (batch,)


class _Batches(Dataset[Tensor | SimclrError]):
    """Every item is a whole batch, or what is wrong with one: a raised error would be wrapped."""

    def __init__(self, images: StreamedImages, rows: Tensor) -> None:
        self.images = images
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor | SimclrError:
        try:
            return self.images.read(self.rows[index], threads=1)
        except SimclrError as error:
            return error


def usual_workers() -> int:
    """One process for each core that this one may use, shared with the others on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def fits(count: int, shape: tuple[int, int, int]) -> bool:
    """Whether so many images take less than a quarter of the memory that there is for this process.

    Joining them with others holds them twice for a moment.
    """
    return 4 * count * shape[0] * shape[1] * shape[2] < memory_limit()
