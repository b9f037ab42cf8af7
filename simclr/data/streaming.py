"""Images decoded from their files in every epoch, because memory does not hold them all."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from simclr.data.batches import ShuffledBatches
from simclr.data.image_files import AS_IT_IS, Decoding, are_few, read_images, tell_broken
from simclr.data.walk import some_of
from simclr.data.workers import ahead
from simclr.errors import SimclrError
from simclr.launch.memory import memory_limit


class StreamedImages:
    """Reads like a uint8 tensor (N, C, H, W): images in files, then images in memory.

    Args:
        paths: the files.
        in_memory: uint8 (M, C, H, W), the images that come after; M may be 0.
        decoding: of the files.
    """

    def __init__(
        self, paths: Sequence[Path], in_memory: Tensor, decoding: Decoding = AS_IT_IS
    ) -> None:
        self.paths = paths
        self.in_memory = in_memory
        self.decoding = decoding
        self._broken: set[str] = set()

    def __len__(self) -> int:
        return len(self.paths) + len(self.in_memory)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        _, channels, height, width = self.in_memory.shape
        return len(self), channels, height, width

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """The images at these positions, uint8 (B, C, H, W).

        A broken file is replaced by a readable one of the same call, with a warning.

        Raises:
            SimclrError: naming the broken files, if they are more than a few.
        """
        images, problems = self.read(which)
        self.go_on_without(problems)
        return images

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def read(self, which: slice | Tensor, threads: int | None = None) -> tuple[Tensor, list[str]]:
        """Like indexing, with a given number of threads; None lets Python choose it.

        Returns:
            The images, and what is wrong with the broken files among them.
        """
        indices = torch.arange(len(self))[which]
        in_files = indices < len(self.paths)
        _, *shape = self.shape
        images = torch.empty(len(indices), *shape, dtype=torch.uint8)
        images[~in_files] = self.in_memory[indices[~in_files] - len(self.paths)]
        paths = [self.paths[index] for index in indices[in_files].tolist()]
        images[in_files], problems = read_images(
            paths, (shape[0], shape[1], shape[2]), threads, self.decoding
        )
        whole = torch.ones(len(indices), dtype=torch.bool)
        whole[in_files] = torch.tensor([problem is None for problem in problems], dtype=torch.bool)
        return _filled(images, whole), [*filter(None, problems)]

    def go_on_without(self, problems: Iterable[str]) -> None:
        """Warn once of each broken file.

        Raises:
            SimclrError: naming all broken files so far, if they are more than a few.
        """
        new = [problem for problem in problems if problem not in self._broken]
        self._broken.update(new)
        if self._broken and not are_few(self._broken, len(self.paths)):
            raise SimclrError("\n".join(some_of(sorted(self._broken))))
        tell_broken(new)

    def followed_by(self, images: Tensor) -> "StreamedImages":
        """The same files, and these images after all others."""
        return StreamedImages(self.paths, torch.cat((self.in_memory, images)), self.decoding)


class StreamedBatches(ShuffledBatches):
    """Shuffled batches (images, ..., seed), decoded ahead by processes of their own.

    Args:
        images: of which a batch is made.
        batch_size: images in a batch over all ranks.
        seed: of the order.
        rank: this process.
        world_size: all processes.
        workers: processes that decode.
        beside: (N, ...); rows of these belong to the images.
    """

    def __init__(
        self,
        images: StreamedImages,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        workers: int,
        beside: tuple[Tensor, ...] = (),
    ) -> None:
        super().__init__(len(images), batch_size, seed, rank, world_size)
        self.images = images
        self.workers = workers
        self.beside = beside

    def select(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        decoded = ahead(_Batches(self.images, rows), self.workers)
        for row, (batch, problems) in zip(rows, decoded, strict=True):
            self.images.go_on_without(problems)
            yield (batch, *(tensor[row] for tensor in self.beside))


class _Batches(Dataset[tuple[Tensor, list[str]]]):
    """A data set whose items are whole batches, each with the problems of its broken files.

    That is for the main process to say: workers do not know what was said before.
    """

    def __init__(self, images: StreamedImages, rows: Tensor) -> None:
        self.images = images
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, list[str]]:
        return self.images.read(self.rows[index], threads=1)


def _filled(images: Tensor, whole: Tensor) -> Tensor:
    """Put in the place of each broken image the whole one before it, or the first."""
    if whole.all() or not whole.any():
        return images
    positions = torch.arange(len(images))
    before = torch.where(whole, positions, -1).cummax(0).values
    return images[torch.where(before < 0, positions[whole][0], before)]


def fits(count: int, shape: tuple[int, int, int]) -> bool:
    """Whether so many images take less than a quarter of the memory that there is for this process.

    Joining them with others holds them twice for a moment.
    """
    return 4 * count * shape[0] * shape[1] * shape[2] < memory_limit()
