"""Figures: there, of a useful size, and showing what they are given."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from simclr.reports import figures
from simclr.reports.results import Row

CLASSES = tuple("0123456789")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rows(accuracy: float = 0.97, draws: int = 3) -> list[Row]:
    return [
        Row(method, 0, draw, accuracy + 0.005 * draw - drop, None, 1.0, "")
        for method, drop in (("linear_eval", 0.0), ("supervised", 0.1))
        for draw in range(draws)
    ]


def spread(offsets: list[float]) -> list[Row]:
    return [Row("linear_eval", 0, 0, 0.95 + 0.002 * offset, None, 1.0, "") for offset in offsets]


def views(channels: int = 1, brightness: float = 1.0) -> tuple[Tensor, list[Tensor]]:
    originals = torch.rand(5, channels, 12, 10, generator=generator())
    return originals, [brightness * originals] * 3


def confusion(mistakes: int = 3) -> Tensor:
    counts = torch.diag(torch.full((10,), 90))
    counts[7, 2] = mistakes
    return counts


def embedding(shift: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(40) % 10
    return torch.eye(10)[labels] + 0.1 * torch.randn(40, 10, generator=generator()), (
        labels + shift
    ) % 10


def classified(wrong: int) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.arange(100) % 10
    guesses = torch.where(torch.arange(100) < wrong, (labels + 1) % 10, labels)
    images = torch.randint(0, 255, (100, 1, 12, 10), dtype=torch.uint8, generator=generator())
    return images, labels, 3 * torch.eye(10)[guesses]


Draw = Callable[[], Figure]

PAIRS: dict[str, tuple[Draw, Draw]] = {  # two pictures that must differ
    "views": (
        lambda: figures.views_figure(*views()),
        lambda: figures.views_figure(*views(brightness=0.5)),
    ),
    "views in colour": (
        lambda: figures.views_figure(*views(3)),
        lambda: figures.views_figure(*views(3, brightness=0.5)),
    ),
    "accuracy": (
        lambda: figures.accuracy_figure(rows(), reference=True),
        lambda: figures.accuracy_figure(rows(0.96), reference=True),
    ),
    "accuracy of one draw": (
        lambda: figures.accuracy_figure(rows(draws=1), reference=True),
        lambda: figures.accuracy_figure(rows(draws=2), reference=True),
    ),
    "accuracy of each draw": (  # the same mean and the same standard deviation
        lambda: figures.accuracy_figure(spread([-3, -1, 1, 3]), reference=True),
        lambda: figures.accuracy_figure(spread([-(10**0.5), 0, 0, 10**0.5]), reference=True),
    ),
    "confusion": (
        lambda: figures.confusion_figure(confusion(), CLASSES),
        lambda: figures.confusion_figure(confusion(8), CLASSES),
    ),
    "embedding": (
        lambda: figures.embedding_figure(*embedding(), CLASSES),
        lambda: figures.embedding_figure(*embedding(1), CLASSES),
    ),
    "neighbours": (
        lambda: figures.neighbours_figure(torch.rand(3, 9, 1, 12, 10), torch.ones(3, 9, 3)),
        lambda: figures.neighbours_figure(torch.rand(3, 9, 1, 12, 10), torch.zeros(3, 9, 3)),
    ),
    "mistakes": (
        lambda: figures.mistakes_figure(*classified(wrong=3), CLASSES),
        lambda: figures.mistakes_figure(*classified(wrong=60), CLASSES),
    ),
    "history": (
        lambda: figures.history_figure([(1.0, 0.5), (2.0, 0.9)], reference=True),
        lambda: figures.history_figure([(1.0, 0.5), (2.0, 0.8)], reference=True),
    ),
}


def decode(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("name", PAIRS)
def test_a_figure_shows_what_it_is_given(name: str, tmp_path: Path) -> None:
    pixels = []
    for number, draw in enumerate(PAIRS[name]):
        path = tmp_path / f"{number}.png"
        draw().savefig(path)
        pixels.append(decode(path))
        height, width, _ = pixels[-1].shape
        assert min(height, width) > 300
        assert max(height, width) < 3_000
        assert (pixels[-1] < 128).any(), "nothing dark on it"
        assert 0.2 < (pixels[-1] > 250).mean() < 0.999 or "views" in name or name == "neighbours"
    first, second = pixels
    assert first.shape != second.shape or (first != second).any()


def test_the_confusion_it_is_given_stays_as_it_was() -> None:
    counts = confusion()
    figures.confusion_figure(counts, CLASSES)
    assert torch.equal(counts, confusion())


def test_the_most_certain_mistakes_come_first() -> None:
    images, labels, logits = classified(wrong=50)
    logits[20] *= 2
    figure = figures.mistakes_figure(images, labels, logits, CLASSES)
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 40
    assert (np.asarray(shown[0].images[0].get_array()) == images[20, 0].numpy()).all()
    assert shown[0].get_title().startswith("1, not 0")
    nothing = figures.mistakes_figure(images, labels, torch.eye(10)[labels], CLASSES)
    assert not any(axis.images for axis in nothing.axes)
