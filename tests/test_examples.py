"""Examples: run to the end on synthetic digits, and show something."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--data", "synthetic", "--images", "600", "--epochs", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["first_look.py", *settings])
    runpy.run_path(str(EXAMPLES / "first_look.py"))
    said = re.search(
        r"([\d.]+)% of 2000 test images right, with 100 labels", capsys.readouterr().out
    )
    assert said
    assert float(said[1]) > 20
    figures = {path.name for path in tmp_path.iterdir()}
    assert figures == {"views.png", "neighbours.png", "embedding.png", "confusion.png"}
    with Image.open(tmp_path / "neighbours.png") as picture:
        assert min(picture.size) > 300
