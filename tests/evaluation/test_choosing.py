import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from simclr.evaluation import choosing
from simclr.evaluation.choosing import choose_typical


def groups(sizes: tuple[int, ...], dim: int = 16, spread: float = 0.05) -> tuple[Tensor, Tensor]:
    """Unit features (N, D) around a random direction for each group, and their group."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(len(sizes), dim, generator=generator))
    member = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    noise = spread * torch.randn(len(member), dim, generator=generator)
    return F.normalize(centres[member] + noise), member


def test_every_group_gets_an_image_however_small_it_is() -> None:
    features, member = groups((200, 100, 50, 25, 12))
    assert sorted(member[choose_typical(features, 5, seed=0)].tolist()) == [0, 1, 2, 3, 4]


def test_the_largest_group_comes_first_and_any_beginning_covers_most() -> None:
    features, member = groups((200, 100, 50, 25, 12))
    chosen = choose_typical(features, 40, seed=0)
    assert member[chosen[0]] == 0
    assert set(member[chosen[:5]].tolist()) == {0, 1, 2, 3, 4}


def test_what_is_chosen_is_typical_and_no_outlier() -> None:
    features, _ = groups((200,))
    mean = F.normalize(features.mean(0), dim=0)
    (chosen,) = choose_typical(features, 1, seed=0)
    assert features[chosen] @ mean > (features @ mean).quantile(0.8)


def test_the_same_seed_chooses_the_same_images_and_another_does_not() -> None:
    features = F.normalize(torch.randn(500, 16, generator=torch.Generator().manual_seed(1)))
    chosen = choose_typical(features, 20, seed=3)
    assert chosen.equal(choose_typical(features, 20, seed=3))
    assert not chosen.equal(choose_typical(features, 20, seed=4))
    assert len(set(chosen.tolist())) == 20


def test_a_second_round_leaves_out_what_is_labelled_and_its_groups() -> None:
    features, member = groups((100, 100, 100, 100))
    labelled = torch.tensor([0, 1, 100])
    chosen = choose_typical(features, 2, seed=0, labelled=labelled)
    assert set(member[chosen].tolist()) == {2, 3}
    every = choose_typical(features, 1_000, seed=0, labelled=labelled)
    assert sorted([*every.tolist(), *labelled.tolist()]) == list(range(400))


def test_equal_images_are_chosen_once_each() -> None:
    features = F.normalize(torch.ones(6, 4))
    assert sorted(choose_typical(features, 4, seed=0).tolist()) == [0, 1, 2, 3]
    assert choose_typical(features, 0, seed=0).tolist() == []


def test_a_sample_finds_the_groups_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "SAMPLE", 100)
    monkeypatch.setattr(choosing, "MOST_MEMBERS", 30)
    features, member = groups((200, 100, 50, 50))
    chosen = choose_typical(features, 4, seed=0)
    assert sorted(member[chosen].tolist()) == [0, 1, 2, 3]
