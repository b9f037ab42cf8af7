"""Batches as index selections on whole tensors: no per-sample Python."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

EVAL_BATCH = 500  # with 1000, activations outgrow a CPU's caches: 1.4 times as long per image


class EpochOrder:
    """The shuffled order of an epoch, and one seed per batch for what is random in it.

    Both follow from (seed, epoch) alone, so any batch of any epoch can be made again.
    """

    def __init__(self, total: int, batch_size: int, seed: int) -> None:
        self.total = total
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.total // self.batch_size

    def batches(self) -> tuple[Tensor, list[int]]:
        """Indices (len(self), batch_size), whole batches only, and a seed for each batch."""
        # A CPU generator heeds only the lower 32 bits of its seed, so both are mixed into those.
        (mixed,) = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)
        generator = torch.Generator().manual_seed(int(mixed))
        order = torch.randperm(self.total, generator=generator)
        seeds = torch.randint(2**62, (len(self),), generator=generator)
        return order[: len(self) * self.batch_size].view(len(self), -1), seeds.tolist()


class ShuffledBatches(ABC):
    """Shuffled batches (images, ..., seed), this rank's share of each global batch.

    Images that do not fill a last batch sit out the epoch; the next one shuffles anew. The
    position in the epoch can be saved and restored, so training resumes at the very next batch.

    Args:
        total: how many images there are.
        batch_size: images in a batch over all ranks.
        seed: of the order.
        rank: this process.
        world_size: all processes.
    """

    def __init__(self, total: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.sampler = EpochOrder(total, batch_size, seed)
        self.rank = rank
        self.world_size = world_size
        self._start = 0
        self._position = 0

    @abstractmethod
    def select(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """A batch for each row of positions, int64 (batches, B)."""

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        order, seeds = self.sampler.batches()
        start, self._start = self._start, 0
        local = order[start:, self.rank :: self.world_size]
        for batch, selected in enumerate(self.select(local), start):
            self._position = batch + 1
            yield (*selected, seeds[batch])

    def state_dict(self) -> dict[str, int]:
        """The position in the epoch, for a checkpoint."""
        return {"position": self._position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next epoch that is asked for at a checkpoint's position."""
        self._start = self._position = state["position"]


class TrainBatches(ShuffledBatches):
    """Shuffled batches (tensor[indices], ..., seed) of whole tensors.

    Args:
        tensors: tensors of the same length, on the device where the batches are needed.
        batch_size: images in a batch over all ranks.
        seed: of the order.
        rank: this process.
        world_size: all processes.
    """

    def __init__(
        self, tensors: tuple[Tensor, ...], batch_size: int, seed: int, rank: int, world_size: int
    ) -> None:
        super().__init__(len(tensors[0]), batch_size, seed, rank, world_size)
        self.tensors = tensors

    def select(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        for row in rows.to(self.tensors[0].device):
            yield tuple(tensor[row] for tensor in self.tensors)


class EvalBatches:
    """Every row exactly once over all ranks, in order, none repeated to fill a batch."""

    def __init__(
        self, tensors: tuple[Tensor, ...], batch_size: int, rank: int, world_size: int
    ) -> None:
        self.tensors = tensors
        self.starts = range(rank * batch_size, len(tensors[0]), world_size * batch_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for start in self.starts:
            yield tuple(tensor[start : start + self.batch_size] for tensor in self.tensors)
