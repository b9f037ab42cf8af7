"""The benchmarks measure, and their README says what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tables
from command_line import TINY

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.parent.name)
def test_documents_hold_the_raw_results(page: Path) -> None:
    assert tables.renewed(page) == page.read_text()
    assert "<!-- " in page.read_text()


def test_pretraining_is_measured_beside_the_bare_loop(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    options = ("--json", str(path), "--repeats", "2", "--only", "bare", "--only", "pretrain")
    command = [sys.executable, str(BENCHMARKS / "throughput.py"), *options]
    subprocess.run([*command, *TINY, "trainer.max_epochs=1000"], check=True, timeout=240)
    found = json.loads(path.read_text())
    assert found["versions"].keys() >= {"python", "torch", "lightning"}
    bare, pretrain = found["results"]
    assert (bare["name"], pretrain["name"]) == ("bare", "pretrain")
    assert bare["of_bare"]["median"] == 1
    for row in found["results"]:
        low, high = row["views_per_second"]["iqr"]
        assert 0 < low <= row["views_per_second"]["median"] <= high
        assert 0 < row["loss"] < 10
        assert row["mib"] > 100


def test_accuracy_is_measured_against_the_number_of_labels(
    pretrained: Path, tmp_path: Path
) -> None:
    path, figure = tmp_path / "found.json", tmp_path / "found.png"
    options = ("--json", str(path), "--figure", str(figure), "--draws", "3")
    command = [sys.executable, str(BENCHMARKS / "labels.py"), *options, str(pretrained)]
    subprocess.run([*command, *TINY], check=True, timeout=240)
    rows = json.loads(path.read_text())["results"]
    assert [row["per_class"] for row in rows] == [1, 2, 5, 10, None]
    assert [row["test"]["n"] for row in rows] == [3, 3, 3, 3, 1]
    assert rows[0]["test"]["mean"] < rows[-1]["test"]["mean"] <= 1
    assert figure.exists()
