"""Numbers over runs, the table people paste, and files that hold only what is true."""

import csv
import hashlib
import json
import math
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from simclr.reports.results import (
    Labels,
    Result,
    Row,
    Timing,
    by_method,
    git_state,
    table,
    write_benchmark,
    write_json,
    write_result,
)
from simclr.reports.tables import summarise

SHA = hashlib.sha256(b"3,5,11").hexdigest()
RESULT = Result(
    task="linear_eval",
    seed=3,
    metrics={"test_accuracy": 0.5},
    labels=Labels(10, 7, SHA),
    n_test=10_000,
    timing=Timing(1.5, 200.0),
)


def row(method: str, accuracy: float, draw: int = 0, val: float | None = 0.5) -> Row:
    return Row(method, 0, draw, accuracy, val, 2.0, SHA)


ROWS = [
    *(row("linear_eval", accuracy, draw) for draw, accuracy in enumerate((0.96, 0.97, 0.98))),
    row("supervised", 0.85, val=None),
]


def test_a_summary_of_known_numbers() -> None:
    """The t quantile for 4 degrees of freedom is 2.776 in every textbook."""
    summary = summarise([1, 2, 3, 4, 5])
    assert summary.mean == 3
    assert summary.sd == pytest.approx(1.58114, abs=1e-5)
    assert summary.n == 5
    half = 2.776 * 1.58114 / math.sqrt(5)
    assert summary.ci95 == pytest.approx((3 - half, 3 + half), abs=1e-3)


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.706), (10, 2.262), (31, 2.042)])
def test_intervals_use_students_t(n: int, quantile: float) -> None:
    summary = summarise([0.0, 1.0] * (n // 2) + [0.5] * (n % 2))
    assert summary.sd is not None
    assert summary.ci95 is not None
    half = (summary.ci95[1] - summary.ci95[0]) / 2
    assert half * math.sqrt(n) / summary.sd == pytest.approx(quantile, abs=1e-3)


def test_one_value_has_no_spread() -> None:
    summary = {"mean": 0.9, "sd": None, "n": 1, "ci95": None, "seeds": None}
    assert asdict(summarise([0.9])) == summary


def test_equal_values_have_none_either() -> None:
    summary = summarise([0.25, 0.25, 0.25])
    assert (summary.sd, summary.ci95) == (0, (0.25, 0.25))


def test_with_several_seeds_the_interval_is_over_their_means() -> None:
    """Draws that share an encoder are no evidence of their own: t(0.975, 2) = 4.303."""
    values, seeds = [1.0, 1.2, 2.0, 2.2, 3.0, 3.2], [0, 0, 1, 1, 2, 2]
    summary = summarise(values, seeds)
    half = 4.303 / math.sqrt(3)  # the seeds' means are 1.1, 2.1 and 3.1, their sd is 1
    assert summary.ci95 == pytest.approx((2.1 - half, 2.1 + half), abs=1e-3)
    assert summary.mean == pytest.approx(2.1)
    assert (summary.n, summary.seeds) == (6, 3)
    assert summary.sd == summarise(values).sd
    assert summarise([0.4, 0.6], [5, 5]).ci95 == summarise([0.4, 0.6]).ci95
    assert summarise([0.4, 0.6], [5, 6]).ci95 == summarise([0.4, 0.6]).ci95


@pytest.mark.parametrize("values", [[0.99, 0.9], [0.01, 0.2], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
def test_an_interval_of_shares_stays_within_0_and_1(values: list[float]) -> None:
    summary = summarise(values, share=True)
    assert summary.ci95 is not None
    low, high = summary.ci95
    assert 0 <= low <= summary.mean <= high <= 1


def test_an_interval_of_shares_is_symmetric_on_the_logit_scale() -> None:
    values = [0.97, 0.98, 0.99]
    plain, bent = summarise(values).ci95, summarise(values, share=True).ci95
    assert plain is not None
    assert bent is not None
    assert bent == pytest.approx(logit_interval(0.98, plain[1] - 0.98))


def logit_interval(mean: float, half: float) -> tuple[float, float]:
    centre, width = math.log(mean / (1 - mean)), half / (mean * (1 - mean))
    low, high = (1 / (1 + math.exp(-(centre + move))) for move in (-width, width))
    return low, high


def test_the_table_says_that_an_interval_is_over_seeds() -> None:
    rows = [
        Row("probe", seed, draw, 0.9 + seed / 50, None, 1.0, SHA)
        for seed in (0, 1)
        for draw in (0, 1)
    ]
    assert "| 4 (2 seeds) |" in table(rows)


def test_methods_keep_their_order_and_rows() -> None:
    methods = by_method([ROWS[3], *ROWS[:3]])
    assert list(methods) == ["supervised", "linear_eval"]
    assert methods["linear_eval"] == ROWS[:3]


def cells(line: str) -> list[str]:
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [cell.strip() for cell in line[2:-2].split(" | ")]


def test_the_table_is_markdown_that_reads_as_text() -> None:
    header, rule, *body = table(ROWS).splitlines()
    assert cells(header) == ["method", "test accuracy", "sd", "n", "95 % interval", "seconds"]
    assert all(set(cell) == {"-"} and len(cell) >= 3 for cell in cells(rule) if cell != "-")
    assert len({len(line) for line in (header, rule, *body)}) == 1
    bars = [index for index, character in enumerate(header) if character == "|"]
    for line in (rule, *body):
        assert [index for index, character in enumerate(line) if character == "|"] == bars
    assert cells(body[0]) == ["linear_eval", "97.00%", "1.00%", "3", "93.23% to 98.70%", "2.0"]
    assert cells(body[1]) == ["supervised", "85.00%", "", "1", "", "2.0"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "results.json", {"deep": [{"accuracy": number}]})
    assert list(tmp_path.iterdir()) == []


def test_a_file_written_before_survives_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"accuracy": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"accuracy": math.nan})
    assert json.loads(path.read_text()) == {"accuracy": 0.5}
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_says_how_it_came_about(tmp_path: Path) -> None:
    write_result(tmp_path, RESULT, {"seed": 3, "encoder": {"name": "cnn"}}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    content = json.loads((tmp_path / "results.json").read_text())
    assert content.items() >= asdict(RESULT).items()
    assert content["labels"] == {"per_class": 10, "seed": 7, "sha256": SHA}
    assert content["timing"] == {"fit_seconds": 1.5, "views_per_second": 200.0}
    assert content["config"] == {"seed": 3, "encoder": {"name": "cnn"}}
    assert {"python", "simclr", "torch", "lightning"} <= content["versions"].keys()
    assert "git" in content


def test_a_benchmark_leaves_every_row_and_its_summary(tmp_path: Path) -> None:
    write_benchmark(tmp_path, ROWS, "the text\n")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [line["method"] for line in rows] == ["linear_eval"] * 3 + ["supervised"]
    assert [float(line["test_accuracy"]) for line in rows] == [0.96, 0.97, 0.98, 0.85]
    assert [line["label_seed"] for line in rows] == ["0", "1", "2", "0"]
    assert [line["val_accuracy"] for line in rows] == ["0.5"] * 3 + [""]
    methods = json.loads((tmp_path / "summary.json").read_text())["methods"]
    assert methods["linear_eval"]["mean"] == pytest.approx(0.97)
    assert methods["linear_eval"]["sd"] == pytest.approx(0.01)
    assert methods["linear_eval"]["ci95"] == pytest.approx(logit_interval(0.97, 0.02484), abs=1e-4)
    assert methods["supervised"] == {"mean": 0.85, "sd": None, "n": 1, "ci95": None, "seeds": 1}
    assert (tmp_path / "README.md").read_text() == "the text\n"


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_state_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "first")
    monkeypatch.setattr("simclr.reports.results.__file__", str(tmp_path / "results.py"))
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "new").touch()
    assert git_state() == {"commit": commit, "dirty": True}


def test_no_state_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simclr.reports.results.__file__", str(tmp_path / "results.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    monkeypatch.setenv("PATH", "")
    assert git_state() is None
