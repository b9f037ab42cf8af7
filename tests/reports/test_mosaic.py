"""Grids of images, and which images are neighbours."""

import pytest
import torch

from simclr.reports.mosaic import (
    BLUE,
    GREY,
    LARGEST,
    ORANGE,
    mosaic,
    neighbours,
    one_per_class,
    shown_name,
    thumbnails,
)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_at_its_place(channels: int) -> None:
    images = torch.rand(2, 3, channels, 4, 5, generator=torch.Generator().manual_seed(0))
    picture = mosaic(images)
    assert picture.shape == (3, 2 * (3 * 4 + 6), 3 * (3 * 5 + 6))
    for row in range(2):
        for column in range(3):
            y, x = row * 18 + 3, column * 21 + 3
            shown = picture[:, y : y + 12 : 3, x : x + 15 : 3]
            assert torch.equal(shown, images[row, column].expand(3, -1, -1))
    assert (picture[:, :3] == 1).all()  # white without frames


def test_frames_have_their_colours() -> None:
    frames = torch.tensor([[BLUE, ORANGE]])
    picture = mosaic(torch.zeros(1, 2, 1, 4, 4), frames, torch.tensor([[False, True]]))
    whole, broken = picture[:, 1, 1:17], picture[:, 1, 19:35]
    assert torch.equal(whole, torch.tensor(BLUE)[:, None].expand(3, 16))
    colours = {tuple(colour) for colour in broken.T.tolist()}
    assert colours == {(1.0, 1.0, 1.0), tuple(torch.tensor(ORANGE).tolist())}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(300, 8), (9, 500), (1, 1)])
def test_images_of_any_shape_make_pictures_of_bounded_size(
    channels: int, height: int, width: int
) -> None:
    images = torch.rand(2, 3, channels, height, width, generator=torch.Generator().manual_seed(0))
    _, high, wide = mosaic(images).shape
    assert high <= 2 * (LARGEST + 6)
    assert wide <= 3 * (LARGEST + 6)
    small = thumbnails((images[0] * 255).byte())
    assert small.shape[-1] == small.shape[-2] <= 64
    assert small.shape[:2] == (3, 3)
    assert 0 <= small.min() <= small.max() <= 1


def test_thumbnails_are_the_images_with_white_beside_them() -> None:
    images = torch.arange(8, dtype=torch.uint8).view(1, 1, 4, 2)
    (made,) = thumbnails(images)
    assert torch.equal(made[:, :, 1:3], images[0].expand(3, -1, -1) / 255)
    assert (made[:, :, [0, 3]] == 1).all()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("$5_to_$10", "$5_to_$10"),
        ("a\tb\nc", r"a\tb\nc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\udcff", r"\udcff"),
        ("é", "é"),
        ("x" * 30, "x" * 23 + "…"),
    ],
)
def test_names_are_shown_in_one_line(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_neighbours_are_the_most_similar_images() -> None:
    """In the plane, by angle; lengths do not matter."""
    angles = torch.tensor([0.0, 3.0, 0.1, -0.3, 1.5])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[5.0]])
    features[2] *= 0.01
    labels = torch.tensor([7, 7, 7, 8, 8])
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    found, frames, dashed = neighbours(images, labels, features, torch.tensor([0, 4]), count=2)
    assert (found * 255).flatten(1).round().int().tolist() == [[0, 2, 3], [4, 2, 1]]
    assert torch.equal(frames, torch.tensor([[GREY, BLUE, ORANGE], [GREY, ORANGE, ORANGE]]))
    assert dashed.tolist() == [[False, False, True], [False, True, True]]


def test_one_image_of_each_class() -> None:
    assert one_per_class(torch.tensor([3, 1, 3, 0, 1])).tolist() == [3, 1, 0]
    assert one_per_class(torch.arange(20), most=4).tolist() == [0, 1, 2, 3]
