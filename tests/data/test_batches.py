"""Batches by index: what an epoch holds, how ranks share it, and how it resumes."""

from typing import Any

import pytest
import torch

from simclr.data.batches import EvalBatches, TrainBatches

ROWS = 23
BATCH = 4


def make(seed: int = 0, rank: int = 0, world_size: int = 1, epoch: int = 0) -> TrainBatches:
    rows = torch.arange(ROWS)
    batches = TrainBatches((rows, 100 * rows), BATCH, seed, rank, world_size)
    batches.sampler.set_epoch(epoch)
    return batches


def indices(batches: TrainBatches) -> list[list[int]]:
    return [rows.tolist() for rows, *_ in batches]


def seeds(batches: TrainBatches) -> list[int]:
    return [seed for *_, seed in batches]


def plain(batches: Any) -> list[tuple[list[int], list[int], int]]:
    return [(rows.tolist(), others.tolist(), seed) for rows, others, seed in batches]


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_has_whole_batches_and_no_image_twice(epoch: int) -> None:
    batches = make(epoch=epoch)
    seen = indices(batches)
    assert len(seen) == len(batches) == ROWS // BATCH
    assert [len(batch) for batch in seen] == [BATCH] * len(seen)
    flat = [row for batch in seen for row in batch]
    assert len(set(flat)) == len(flat)
    assert set(flat) <= set(range(ROWS))


def test_tensors_stay_together() -> None:
    for rows, others, _ in make():
        assert torch.equal(others, 100 * rows)


def test_every_epoch_has_its_own_order_and_seeds() -> None:
    orders = [indices(make(epoch=epoch)) for epoch in range(5)]
    assert all(first != second for first in orders for second in orders if first is not second)
    all_seeds = [seed for epoch in range(5) for seed in seeds(make(epoch=epoch))]
    assert len(set(all_seeds)) == len(all_seeds)


def test_every_image_takes_part_sooner_or_later() -> None:
    flat = {row for epoch in range(20) for batch in indices(make(epoch=epoch)) for row in batch}
    assert flat == set(range(ROWS))


def test_order_and_seeds_follow_from_seed_and_epoch() -> None:
    torch.manual_seed(99)
    assert plain(make(seed=3, epoch=2)) == plain(make(seed=3, epoch=2))
    assert indices(make(seed=3, epoch=2)) != indices(make(seed=4, epoch=2))
    assert indices(make(seed=0, epoch=1)) != indices(make(seed=1, epoch=0))
    assert seeds(make(seed=3)) != seeds(make(seed=4))


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_partition_the_global_batch(world_size: int) -> None:
    ranks = [make(rank=rank, world_size=world_size, epoch=1) for rank in range(world_size)]
    whole = make(epoch=1)
    for (rows, _, seed), *shares in zip(whole, *ranks, strict=True):
        assert all(len(share[0]) == BATCH // world_size for share in shares)
        assert {share[2] for share in shares} == {seed}
        together = torch.stack([share[0] for share in shares], dim=1).flatten()
        assert torch.equal(together, rows)


@pytest.mark.parametrize("done", range(1, ROWS // BATCH + 1))
def test_training_resumes_at_the_very_next_batch(done: int) -> None:
    epochs = [plain(make(epoch=epoch)) for epoch in (0, 1)]
    stopped = make()
    stream = iter(stopped)
    for _ in range(done):
        next(stream)
    state = stopped.state_dict()

    resumed = make(epoch=0 if done < len(stopped) else 1)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    rest = epochs[0][done:] or epochs[1]
    assert plain(resumed) == rest
    resumed.sampler.set_epoch(1)
    assert plain(resumed) == epochs[1]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("rows", "batch_size"), [(23, 4), (24, 4), (3, 4), (4, 4), (1, 4)])
def test_every_row_is_evaluated_exactly_once(rows: int, batch_size: int, world_size: int) -> None:
    data = torch.arange(rows)
    ranks = [EvalBatches((data, -data), batch_size, rank, world_size) for rank in range(world_size)]
    seen = []
    for rank in ranks:
        batches = list(rank)
        assert len(batches) == len(rank)
        for values, negatives in batches:
            assert torch.equal(negatives, -values)
            assert len(values) <= batch_size
            seen += values.tolist()
    assert sorted(seen) == list(range(rows))


def test_evaluation_in_one_process_keeps_the_order() -> None:
    batches = EvalBatches((torch.arange(23),), 4, rank=0, world_size=1)
    assert torch.equal(torch.cat([values for (values,) in batches]), torch.arange(23))
