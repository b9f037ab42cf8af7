"""The division of the training images, and label draws: exact, repeatable, or refused."""

import pytest
import torch

from simclr.data.labels import draw_labels, fingerprint, split
from simclr.errors import SimclrError

CLASSES = ("ant", "bee", "cat")


def labels(count: int = 300) -> torch.Tensor:
    return torch.randint(3, (count,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("total", "val_images"), [(60_000, 5_000), (7, 6), (5, 0)])
def test_a_split_is_a_partition(total: int, val_images: int) -> None:
    train, val = split(torch.arange(total) % 10, val_images, seed=0)
    assert (len(train), len(val)) == (total - val_images, val_images)
    assert torch.equal(torch.cat((train, val)).sort().values, torch.arange(total))
    assert torch.equal(train, train.sort().values)
    assert torch.equal(val, val.sort().values)


def test_a_split_is_random_and_repeatable() -> None:
    same = torch.zeros(1_000, dtype=torch.int64)
    _, val = split(same, 100, seed=0)
    assert torch.equal(val, split(same, 100, seed=0)[1])
    assert not torch.equal(val, split(same, 100, seed=1)[1])
    assert not torch.equal(val, torch.arange(100))
    assert not torch.equal(val, torch.arange(900, 1_000))


def test_where_no_class_is_rare_a_split_is_chance_alone() -> None:
    """As MNIST's, which published numbers depend on."""
    classes = torch.randint(10, (6_000,), generator=torch.Generator().manual_seed(0))
    order = torch.randperm(6_000, generator=torch.Generator().manual_seed(3))
    assert torch.equal(split(classes, 500, seed=3)[1], order[:500].sort().values)


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_keeps_training_images(seed: int) -> None:
    classes = torch.tensor([0] * 40 + [1] * 3 + [2])
    train, val = split(classes, 22, seed)
    counts = torch.bincount(classes[train], minlength=3)
    assert len(val) == 22
    assert counts[1] >= 1
    assert counts[2] == 1


@pytest.mark.parametrize("per_class", [1, 10, 80])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_draw_has_exactly_so_many_of_each_class(per_class: int, seed: int) -> None:
    chosen = draw_labels(labels(), CLASSES, per_class, seed)
    assert torch.bincount(labels()[chosen]).tolist() == [per_class] * 3
    assert (chosen.diff() > 0).all()  # sorted, none twice


def test_a_draw_may_take_all() -> None:
    assert draw_labels(torch.arange(6) % 3, CLASSES, 2, seed=0).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_seed_alone_decides_the_draw() -> None:
    first, second = (draw_labels(labels(), CLASSES, 10, seed) for seed in (0, 1))
    torch.manual_seed(1234)
    assert torch.equal(first, draw_labels(labels(), CLASSES, 10, 0))
    assert not torch.equal(first, second)


def test_every_image_of_a_class_is_drawn_in_its_turn() -> None:
    few = labels(30)
    drawn = torch.cat([draw_labels(few, CLASSES, 3, seed) for seed in range(60)])
    assert set(drawn.tolist()) == set(range(30))


def test_published_draws_stay_what_they_were() -> None:
    """Results name their labels by this hash: another algorithm would make them another draw."""
    chosen = draw_labels(torch.arange(55_000) % 10, "0123456789", 10, seed=0)
    assert fingerprint(chosen) == "123ca1a800ef091be7adc56587faa92187dbacef520d1390fa7bca7d4de67b10"


def test_the_fingerprint_is_of_the_set() -> None:
    sha256_of_text_3_5_11 = "c71339193a635a93474492b70030eb696202a5c8ec63fdc26cae21f683d8b8db"
    assert fingerprint(torch.tensor([5, 3, 11])) == sha256_of_text_3_5_11
    assert fingerprint(torch.tensor([5, 3, 12])) != sha256_of_text_3_5_11


@pytest.mark.parametrize(
    ("given", "name", "count"),
    [([0, 0, 1, 2, 2], "bee", 1), ([0, 0, 1, 1], "cat", 0), ([], "ant", 0)],
)
def test_too_few_images_of_a_class(given: list[int], name: str, count: int) -> None:
    with pytest.raises(
        SimclrError, match=rf"labels\.per_class=2: class '{name}' has only {count} "
    ):
        draw_labels(torch.tensor(given, dtype=torch.int64), CLASSES, 2, seed=0)
