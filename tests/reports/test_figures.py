"""Figures: there, of a useful size, and showing what they are given."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from simclr.evaluation.calibration import reliability
from simclr.reports import figures
from simclr.reports.results import Probed, Row, summary_of

CLASSES = tuple("0123456789")
NONE = torch.zeros(3, 9, dtype=torch.bool)
ODD = (
    "$5_to_$10",
    "$10_to_$20",
    "_hidden",
    "two\nlines",
    "\udcff",
    "a rather long name of a class",
)


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
        lambda: figures.neighbours_figure(torch.rand(3, 9, 1, 12, 10), torch.ones(3, 9, 3), NONE),
        lambda: figures.neighbours_figure(torch.rand(3, 9, 1, 12, 10), torch.zeros(3, 9, 3), NONE),
    ),
    "mistakes": (
        lambda: figures.mistakes_figure(*classified(wrong=3), CLASSES),
        lambda: figures.mistakes_figure(*classified(wrong=60), CLASSES),
    ),
    "reliability": (
        lambda: figures.reliability_figure(*reliability(*classified(wrong=3)[:0:-1])),
        lambda: figures.reliability_figure(*reliability(*classified(wrong=60)[:0:-1])),
    ),
    "history": (
        lambda: figures.history_figure([Probed(1.0, 0.5), Probed(2.0, 0.9)], reference=True),
        lambda: figures.history_figure([Probed(1.0, 0.5), Probed(2.0, 0.8)], reference=True),
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
    assert (np.asarray(shown[0].images[0].get_array()) == images[20].permute(1, 2, 0).numpy()).all()
    assert shown[0].get_title().startswith("1, not 0")
    nothing = figures.mistakes_figure(images, labels, torch.eye(10)[labels], CLASSES)
    assert not any(axis.images for axis in nothing.axes)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.confusion_figure(torch.eye(6).long() + 1, ODD),
        lambda: figures.embedding_figure(embedding()[0][:12], torch.arange(12) % 6, ODD),
        lambda: figures.mistakes_figure(
            torch.zeros(6, 1, 9, 9, dtype=torch.uint8), torch.arange(6), torch.eye(6).flip(0), ODD
        ),
    ],
)
def test_class_names_are_drawn_as_they_are(draw: Draw, tmp_path: Path) -> None:
    """As text in the file, where the escaped and shortened ones are found, too."""
    figure = draw()
    figure.savefig(tmp_path / "figure.png")
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    for name in ("$5_to_$10", "_hidden", r"two\nlines", r"\udcff", "a rather long"):
        assert name in drawn


@pytest.mark.parametrize("count", [1, 2, 6, 40])
@pytest.mark.parametrize("spread", [0.0, 1e-7, 1.0])
@pytest.mark.parametrize("dim", [1, 8])
def test_any_number_of_any_images_has_a_map(count: int, spread: float, dim: int) -> None:
    """Equal ones ended the process with a segmentation fault."""
    features = 3 + spread * torch.randn(count, dim, generator=generator())
    places = figures.map_of(features)
    assert places.shape == (count, 2)
    assert places.isfinite().all()
    if spread == 0:
        assert (places == places[0]).all()


def test_equal_images_are_in_one_place_among_others() -> None:
    features = torch.randn(30, 4, generator=generator()).repeat(2, 1)
    places = figures.map_of(features)
    assert torch.equal(places[:30], places[30:])
    assert len(places.unique(dim=0)) == 30


def test_features_that_are_no_numbers_have_no_map() -> None:
    with pytest.raises(ValueError, match="not finite"):
        figures.map_of(torch.full((12, 3), torch.nan))


def test_of_many_classes_the_most_confused_are_shown(tmp_path: Path) -> None:
    counts = torch.eye(1_000).long() * 50
    counts[torch.arange(500, 515), torch.arange(700, 715)] = 9  # thirty classes, in fifteen pairs
    counts[0, 1] = 1
    figure = figures.confusion_figure(counts, [f"class {index}" for index in range(1_000)])
    figure.savefig(tmp_path / "confusion.png")
    assert max(decode(tmp_path / "confusion.png").shape) < 3_000
    (axis,) = figure.axes
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown == [f"class {index}" for index in (*range(500, 515), *range(700, 715))]
    assert "the 30 most confused of 1000 classes" in axis.get_title()
    assert [text.get_text() for text in axis.texts].count("9") == 15


def test_of_many_classes_the_most_frequent_have_a_name_on_the_map(tmp_path: Path) -> None:
    labels = torch.cat((torch.arange(100), torch.arange(50, 80)))
    features = torch.randn(130, 4, generator=generator())
    figure = figures.embedding_figure(features, labels, [f"class {index}" for index in range(100)])
    figure.savefig(tmp_path / "embedding.png")
    assert max(decode(tmp_path / "embedding.png").shape) < 3_000
    legend = figure.axes[0].get_legend()
    assert legend is not None
    names = [text.get_text().lstrip("\u2060") for text in legend.get_texts()]
    assert names == ["70 others", *(f"class {index}" for index in range(50, 80))]


def test_no_two_classes_on_the_map_have_colour_and_mark_in_common() -> None:
    places = range(figures.MOST_CLASSES)
    pairs = {(figures.COLOURS[i % 8], figures.MARKERS[i % len(figures.MARKERS)]) for i in places}
    assert len(figures.COLOURS) == 8
    assert len(pairs) == figures.MOST_CLASSES


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_channels_and_shape_are_drawn(channels: int, tmp_path: Path) -> None:
    originals = torch.rand(10, channels, 400, 4, generator=generator())
    images, labels, logits = classified(wrong=3)
    for figure in (
        figures.views_figure(originals, [originals] * 8),
        figures.mistakes_figure(images.expand(-1, channels, -1, -1), labels, logits, CLASSES),
    ):
        figure.savefig(tmp_path / "figure.png")
        assert max(decode(tmp_path / "figure.png").shape) < 3_000


def test_close_methods_have_an_axis_that_tells_them_apart() -> None:
    means = {"linear_eval": 0.989, "label_spread": 0.992, "self_train": 0.993, "pixels": 0.7}
    made = [
        Row(method, seed, draw, mean + 0.0003 * seed + 0.0001 * draw, None, 1.0, "")
        for method, mean in means.items()
        for seed in range(3)
        for draw in range(4)
    ]
    figure = figures.accuracy_figure(made, reference=True)
    _, zoomed = figure.axes
    assert [label.get_text() for label in zoomed.get_yticklabels()] == list(means)[:3]
    low, high = zoomed.get_xlim()
    assert 98.5 < low < high < 99.8
    bars = [one for one in zoomed.containers if isinstance(one, ErrorbarContainer)]
    for bar, method in zip(bars, means, strict=False):
        (segment,) = bar[2][0].get_segments()
        expected = summary_of([row for row in made if row.method == method]).ci95
        assert segment[:, 0] / 100 == pytest.approx(expected)


def test_methods_of_like_accuracy_need_no_second_axis() -> None:
    assert len(figures.accuracy_figure(rows(draws=2), reference=False).axes) == 1


def test_the_second_stage_is_marked() -> None:
    history = [Probed(1, 0.5, "pretraining"), Probed(2, 0.7, "pretraining")]
    (axis,) = figures.history_figure([*history, Probed(3, 0.8, "clustering")], False).axes
    assert [text.get_text().strip() for text in axis.texts] == ["clustering"]
    assert list(np.asarray(axis.lines[1].get_xdata())) == [2, 2]
    (axis,) = figures.history_figure(history, False).axes
    assert not axis.texts
