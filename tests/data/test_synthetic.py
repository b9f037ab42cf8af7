"""Synthetic digits: reproducible, balanced, varied, and recognisable."""

import pytest
import torch
from torch import Tensor

from simclr.data.images import LabelledImages
from simclr.data.synthetic import FONTS, draw_digits, draw_source
from simclr.errors import SimclrError


def draw(count: int, image_size: int = 28, seed: int = 0) -> LabelledImages:
    return draw_digits(count, image_size, torch.Generator().manual_seed(seed))


def count_different(images: Tensor) -> int:
    return len(torch.unique(images, dim=0))


@pytest.mark.parametrize("image_size", [8, 28, 33])
def test_shapes_and_types(image_size: int) -> None:
    drawn = draw(30, image_size)
    assert drawn.images.shape == (30, 1, image_size, image_size)
    assert drawn.images.dtype == torch.uint8
    assert drawn.labels.shape == (30,)
    assert drawn.labels.dtype == torch.int64


def test_seed_decides() -> None:
    first, again, other = draw(1100), draw(1100), draw(1100, seed=1)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.labels, other.labels)


def test_global_random_state_is_neither_used_nor_changed() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(10).images
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(draw(10).images, first)


def test_classes_are_balanced_and_shuffled() -> None:
    labels = draw(104).labels
    assert set(torch.bincount(labels, minlength=10).tolist()) == {10, 11}
    assert not torch.equal(labels, torch.arange(104) % 10)


def test_white_digits_on_black_near_the_middle() -> None:
    images = draw(500).images[:, 0].float() / 255
    assert images.flatten(1).amax(1).min() > 0.5
    assert 0.05 < images.mean() < 0.3
    border = torch.cat([images[:, [0, -1]], images[:, :, [0, -1]].mT], 1)
    assert border.mean() < 0.05
    weight = images.mean((0, 2)) * torch.linspace(-1, 1, 28)
    assert abs(weight.sum() / images.mean((0, 2)).sum()) < 0.1


def nearest_class(train: LabelledImages, test: LabelledImages) -> Tensor:
    distances = torch.cdist(test.images.flatten(1).float(), train.images.flatten(1).float())
    return train.labels[distances.argmin(1)]


def test_digits_can_be_told_apart_though_every_image_differs() -> None:
    train, test = draw(1000), draw(200, seed=1)
    assert count_different(train.images) == len(train.images)
    accuracy = (nearest_class(train, test) == test.labels).float().mean()
    assert 0.8 < accuracy < 1


def test_every_font_has_every_digit() -> None:
    from simclr.data.synthetic import _glyphs

    glyphs = _glyphs(32)
    assert len(glyphs) == len(FONTS)
    for font in glyphs:
        assert count_different(font) == 10
        assert (font.flatten(1).amax(1) == 255).all()


def test_source_draws_its_parts_independently() -> None:
    source = draw_source(train_size=40, test_size=20, image_size=28, seed=3)
    assert source.classes == tuple("0123456789")
    assert torch.bincount(source.train.labels).tolist() == [4] * 10
    assert source.test is not None
    assert torch.bincount(source.test.labels).tolist() == [2] * 10
    assert count_different(torch.cat([source.train.images, source.test.images])) == 60
    longer = draw_source(train_size=40, test_size=50, image_size=28, seed=3)
    assert torch.equal(longer.train.images, source.train.images)


@pytest.mark.parametrize("sizes", [(9, 10, 28), (10, 9, 28), (10, 10, 7)])
def test_too_little_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(SimclrError, match=f"{sizes[0]} training and {sizes[1]} test"):
        draw_source(*sizes, seed=0)
