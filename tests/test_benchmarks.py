"""The benchmarks measure, and their README says what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import paired
import pytest
import seconds
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


def test_gains_are_paired_by_seed(tmp_path: Path) -> None:
    def run(name: str, *scores: tuple[str, int, int, float]) -> Path:
        (tmp_path / name).mkdir()
        rows = [",".join(map(str, row)) for row in scores]
        header = "method,pretrain_seed,label_seed,test_accuracy"
        (tmp_path / name / "results.csv").write_text("\n".join([header, *rows]))
        return tmp_path / name

    base = run("base", ("a", 0, 0, 0.5), ("a", 0, 1, 0.6), ("a", 1, 0, 0.9), ("b", 0, 0, 0.1))
    better = run("better", ("a", 0, 0, 0.6), ("a", 0, 1, 0.9), ("a", 1, 0, 0.9))
    means, summary = paired.gains(better, base)["a"]
    assert means == pytest.approx([0.2, 0])
    assert summary.mean == pytest.approx(0.1)
    assert summary.n == 2
    assert paired.gains(better, base).keys() == {"a"}
    with pytest.raises(ValueError, match="different seeds or label draws"):
        paired.gains(better, run("fewer", ("a", 0, 0, 0.5)))


def test_runs_of_a_sweep_are_compared_by_length(tmp_path: Path) -> None:
    runs = [(1700, 50.0, 0.987), (425, 20.0, 0.98), (425, 22.0, 0.986), (425, 30.0, 0.984)]
    for job, (steps, took, accuracy) in enumerate(runs):
        (tmp_path / str(job)).mkdir()
        run = {
            "config": {"trainer": {"steps": steps}},
            "metrics": {"pretrain_seconds": took, "val_accuracy": accuracy},
        }
        (tmp_path / str(job) / "results.json").write_text(json.dumps(run))
    short, long = seconds.table(seconds.lengths(tmp_path)).splitlines()[2:]
    assert short.startswith("| `trainer.steps=425` | 22.0 ")
    assert short.endswith("| 98.40% (98.00% to 98.60%) | 1 of 3 |")
    assert long.startswith("| `trainer.steps=1700` | 50.0 ")
    assert long.endswith("| 98.70% (98.70% to 98.70%) | 1 of 1 |")
