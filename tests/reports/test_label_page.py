"""The page in which a person labels images, in a real browser where one is installed."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from browser import CHROMIUM, DRIVER, Browser, browser
from PIL import Image

from simclr.data.given_labels import read_labels
from simclr.reports.label_page import Shown, contact_sheet, label_page

HOSTILE = '</script><img src=x onerror="document.title=1">'

in_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


def images(count: int, side: int = 28, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, side, side), generator=generator).byte()


def write(
    folder: Path,
    items: Sequence[Shown],
    classes: Sequence[str] = (),
    before: dict[str, str] | None = None,
    side: int = 28,
) -> Path:
    path = folder / "label.html"
    page = label_page(images(len(items), side), items, classes, "file", before or {})
    path.write_text(page, encoding="utf-8")
    return path


def saved(window: Browser) -> dict[str, str]:
    """The labels that the page saves, as training reads them."""
    for old in window.downloads.glob("*"):
        old.unlink()
    window.click("#save")
    known: dict[str, int] = {}
    found = read_labels(
        window.saved("labels.csv"), "file", lambda name: known.setdefault(name, len(known))
    )
    names = [*known]
    return {names[place]: name for place, name in found.items()}


def test_nothing_of_a_name_ends_the_script_or_asks_the_network(tmp_path: Path) -> None:
    page = write(tmp_path, [Shown(HOSTILE, HOSTILE, HOSTILE)], [HOSTILE]).read_text()
    assert page.count("</script>") == 1
    assert "<img src=x" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(https?:)?//\w+\.", page)


def test_the_contact_sheet_has_rows_of_ten() -> None:
    sheet = Image.open(io.BytesIO(contact_sheet(images(23))))
    assert sheet.width > 10 * 28
    assert sheet.height > 3 * 28


@in_browser
def test_keys_label_and_a_reload_loses_nothing(window: Browser, tmp_path: Path) -> None:
    window.open(write(tmp_path, [Shown(f"{n}.png") for n in range(5)], [*"0123456789"]))
    window.press("7", "0", "3")
    window.reload()
    assert window.text("#progress") == "3 of 5 labelled"
    window.press("ArrowLeft", "4", "ArrowRight", "5")
    assert window.text("#progress") == "4 of 5 labelled"
    assert "1 skipped" in window.text("#name")
    assert saved(window) == {"0.png": "7", "1.png": "0", "2.png": "4", "4.png": "5"}


@in_browser
def test_classes_are_added_by_name_in_any_script_and_never_run(
    window: Browser, tmp_path: Path
) -> None:
    names = ["猫", "صورة", 'with, "commas"', HOSTILE, "q"]
    items = [Shown(f"{n}.png") for n in range(6)]
    window.open(write(tmp_path, items, side=200))
    for name in names:
        window.run(
            """
            document.querySelector("#new").value = arguments[0];
            document.querySelector("#add").requestSubmit();
            """,
            name,
        )
    window.press("q")
    assert saved(window) == {f"{n}.png": name for n, name in enumerate([*names, "q"])}
    assert window.run("return document.title") == "Label images"
    assert not window.run(
        'return document.querySelectorAll("#classes img, #classes script").length'
    )


@in_browser
def test_letters_typed_into_the_field_label_nothing(window: Browser, tmp_path: Path) -> None:
    window.open(write(tmp_path, [Shown("a.png"), Shown("b.png")]))
    window.press("c", "o", "w", "Enter")
    assert window.text("#progress") == "1 of 2 labelled"
    window.press("/", "o", "x", "Escape")
    assert saved(window) == {"a.png": "cow"}


@in_browser
@pytest.mark.parametrize("size", [(1440, 900), (400, 800)])
def test_sixty_classes_fit_the_width(
    size: tuple[int, int], window: Browser, tmp_path: Path
) -> None:
    classes = [f"class number {n}" for n in range(60)]
    window.open(write(tmp_path, [Shown("a.png")], classes, side=200))
    window.resize(*size)
    assert window.run("return document.documentElement.scrollWidth <= innerWidth")
    window.click("#classes button:nth-child(60)")
    assert saved(window) == {"a.png": "class number 59"}


@in_browser
def test_doubted_labels_stay_unless_a_person_changes_them(window: Browser, tmp_path: Path) -> None:
    items = [Shown("new.png"), Shown("x.png", "cat", "dog"), Shown("y.png", "dog", "cat")]
    before = {"x.png": "cat", "y.png": "dog", "z.png": "cat"}
    window.open(write(tmp_path, items, ["cat", "dog"], before))
    window.press("ArrowRight")
    assert "Labelled cat; the model would say dog" in window.text("#doubt")
    assert saved(window) == before
    window.press("2")
    assert saved(window) == before | {"x.png": "dog"}
