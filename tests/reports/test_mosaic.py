"""Grids of images, and which images are neighbours."""

import pytest
import torch

from simclr.reports.mosaic import GREEN, GREY, RED, mosaic, neighbours, one_per_class


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_at_its_place(channels: int) -> None:
    images = torch.rand(2, 3, channels, 4, 5, generator=torch.Generator().manual_seed(0))
    picture = mosaic(images, enlarge=2)
    assert picture.shape == (3, 2 * (2 * 4 + 6), 3 * (2 * 5 + 6))
    for row in range(2):
        for column in range(3):
            y, x = row * 14 + 3, column * 16 + 3
            shown = picture[:, y : y + 8 : 2, x : x + 10 : 2]
            assert torch.equal(shown, images[row, column].expand(3, -1, -1))
    assert (picture[:, :3] == 1).all()  # white without frames


def test_frames_have_their_colours() -> None:
    frames = torch.tensor([[GREEN, RED]])
    picture = mosaic(torch.zeros(1, 2, 1, 4, 4), frames, enlarge=1)
    for x, colour in ((1, GREEN), (11, RED)):
        assert picture[:, 5, x].tolist() == pytest.approx(colour)


def test_neighbours_are_the_most_similar_images() -> None:
    """In the plane, by angle; lengths do not matter."""
    angles = torch.tensor([0.0, 3.0, 0.1, -0.3, 1.5])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[5.0]])
    features[2] *= 0.01
    labels = torch.tensor([7, 7, 7, 8, 8])
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    found, frames = neighbours(images, labels, features, torch.tensor([0, 4]), count=2)
    assert (found * 255).flatten(1).round().int().tolist() == [[0, 2, 3], [4, 2, 1]]
    assert torch.equal(frames, torch.tensor([[GREY, GREEN, RED], [GREY, RED, RED]]))


def test_one_image_of_each_class() -> None:
    assert one_per_class(torch.tensor([3, 1, 3, 0, 1])).tolist() == [3, 1, 0]
    assert one_per_class(torch.arange(20), most=4).tolist() == [0, 1, 2, 3]
