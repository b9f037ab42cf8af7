"""Finished runs as one table: `python -m simclr.results FOLDER...`."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from simclr.config.schema import Config, DataConfig, LabelsConfig, LossConfig
from simclr.reports.gather import main
from simclr.reports.results import Labels, Result, Row, Timing, write_benchmark, write_result

SHA = "0" * 64


@dataclass(frozen=True)
class Printed:
    """What the command left."""

    status: int
    out: str
    err: str


def run(folder: Path, config: Config, task: str = "pretrain", **metrics: float) -> Path:
    """A finished run, made by hand."""
    folder.mkdir(parents=True)
    content = {
        "task": task,
        "metrics": metrics,
        "timing": {"fit_seconds": 2.0, "views_per_second": 100.0},
        "config": asdict(config) | {"output_dir": str(folder)},
    }
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def benchmark(folder: Path, config: Config, rows: list[Row]) -> Path:
    """A finished benchmark with these rows, written as the benchmark does."""
    folder.mkdir(parents=True)
    labels, timing = Labels(10, 0, SHA), Timing(2.0, 100.0)
    result = Result("benchmark", config.seed, {"test_accuracy": 0.5}, labels, 10, timing)
    write_benchmark(folder, rows, "")
    write_result(folder, result, asdict(config), {})
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three seeds at two temperatures; the second temperature is better."""
    scores = {0.2: (0.90, 0.91, 0.92), 0.5: (0.95, 0.96, 0.97)}
    for temperature, accuracies in scores.items():
        for seed, accuracy in enumerate(accuracies):
            config = Config(seed=seed, loss=LossConfig(temperature=temperature))
            run(tmp_path / "sweep" / f"{temperature}-{seed}", config, val_accuracy=accuracy)
    return tmp_path / "sweep"


@dataclass(frozen=True)
class Gathered:
    """Calls the command and keeps what it prints."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: Path | str) -> Printed:
        status = main([str(argument) for argument in arguments])
        return Printed(status, *self.capsys.readouterr())


@pytest.fixture
def gathered(capsys: pytest.CaptureFixture[str]) -> Gathered:
    return Gathered(capsys)


def lines(printed: Printed) -> list[list[str]]:
    """Rows of `--format csv`."""
    assert printed.status == 0
    return list(csv.reader(io.StringIO(printed.out)))


def test_a_sweep_is_grouped_by_what_differs_best_first(sweep: Path, gathered: Gathered) -> None:
    printed = gathered(sweep)
    assert (printed.status, printed.err) == (0, "")
    header, *rows = (re.split(r"  +", line) for line in printed.out.splitlines())
    assert header == ["method", "loss.temperature", "val accuracy", "sd", "n", "95 % interval"]
    assert rows == [
        ["pretrain", "0.5", "96.00%", "1.00%", "3", "92.63% to 97.86%"],
        ["pretrain", "0.2", "91.00%", "1.00%", "3", "88.19% to 93.19%"],
    ]


def test_markdown_has_the_same_cells(sweep: Path, gathered: Gathered) -> None:
    header, rule, *rows = gathered(sweep, "--format", "markdown").out.splitlines()
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert set(rule) == set("|- ")
    cells = [cell.strip() for cell in rows[0].strip("| ").split(" | ")]
    assert cells == ["pretrain", "0.5", "96.00%", "1.00%", "3", "92.63% to 97.86%"]


def test_csv_has_the_numbers_themselves(sweep: Path, gathered: Gathered) -> None:
    header, best, _ = lines(gathered(sweep, "--format", "csv"))
    keys = ["method", "loss.temperature"]
    assert header == [*keys, "val_accuracy", "sd", "n", "ci95_low", "ci95_high", "seeds"]
    assert best[:2] == ["pretrain", "0.5"]
    assert [float(cell) for cell in best[2:]] == pytest.approx(
        [0.96, 0.01, 3, 0.92630, 0.97860, 3], abs=1e-4
    )


def test_seeds_and_bookkeeping_are_averaged_over(tmp_path: Path, gathered: Gathered) -> None:
    run(tmp_path / "a", Config(), val_accuracy=0.4)
    other = Config(seed=1, labels=LabelsConfig(seed=2, draws=9), logger="csv", export="onnx")
    run(tmp_path / "b", other, val_accuracy=0.6)
    header, *rows = lines(gathered(tmp_path, "--format", "csv"))
    assert header[:2] == ["method", "val_accuracy"]
    assert [(row[1], row[3]) for row in rows] == [("0.5", "2")]


def test_a_single_run_has_no_spread(tmp_path: Path, gathered: Gathered) -> None:
    run(tmp_path / "a", Config(), val_accuracy=0.5)
    assert lines(gathered(tmp_path, "--format", "csv"))[1:] == [
        ["pretrain", "0.5", "", "1", "", "", "1"]
    ]
    assert "50.00%" in gathered(tmp_path).out


def test_a_benchmark_counts_each_of_its_classifiers(tmp_path: Path, gathered: Gathered) -> None:
    def row(method: str, seed: int, draw: int, accuracy: float) -> Row:
        return Row(method, seed, draw, accuracy, None, 3.0, SHA)

    for temperature, low in ((0.2, 0.8), (0.5, 0.9)):
        config = Config(task="benchmark", loss=LossConfig(temperature=temperature))
        places = [(seed, draw) for seed in (0, 1) for draw in (0, 1)]
        rows = [row("linear_eval", *place, low) for place in places]
        rows += [row("supervised", *place, low - 0.2) for place in places]
        benchmark(tmp_path / str(temperature), config, rows)
    run(tmp_path / "alone", Config(seed=7), "linear_eval", test_accuracy=0.9)
    header, *rest = lines(gathered(tmp_path, "--format", "csv"))
    assert header[:3] == ["method", "loss.temperature", "test_accuracy"]
    found = [(line[0], line[1], round(float(line[2]), 6), line[4]) for line in rest]
    assert found == [
        ("linear_eval", "0.5", 0.9, "5"),
        ("linear_eval", "0.2", 0.8, "4"),
        ("supervised", "0.5", 0.7, "4"),
        ("supervised", "0.2", 0.6, "4"),
    ]


def test_a_key_that_an_older_run_lacks_is_blank(tmp_path: Path, gathered: Gathered) -> None:
    run(tmp_path / "new", Config(), val_accuracy=0.9)
    path = run(tmp_path / "old", Config(seed=1), val_accuracy=0.8) / "results.json"
    content = json.loads(path.read_text())
    del content["config"]["loss"]["block_rows"]
    path.write_text(json.dumps(content))
    header, *rows = lines(gathered(tmp_path, "--format", "csv"))
    assert header[1] == "loss.block_rows"
    assert [row[1] for row in rows] == ["null", ""]


def test_test_accuracy_is_compared_where_there_is_any(tmp_path: Path, gathered: Gathered) -> None:
    run(tmp_path / "a", Config(), "linear_eval", test_accuracy=0.7, val_accuracy=0.1)
    run(tmp_path / "b", Config(), val_accuracy=0.9)
    printed = gathered(tmp_path, "--format", "csv")
    assert lines(printed) == [
        ["method", "test_accuracy", "sd", "n", "ci95_low", "ci95_high", "seeds"],
        ["linear_eval", "0.7", "", "1", "", "", "1"],
    ]
    assert printed.err.splitlines() == [f"{tmp_path / 'b'}: no test_accuracy"]


@pytest.mark.parametrize(
    ("metric", "order"),
    [("loss", ["0.2", "0.5"]), ("seconds_to_pass", ["0.2", "0.5"]), ("rank", ["0.5", "0.2"])],
)
def test_best_is_lowest_for_losses_and_seconds(
    tmp_path: Path, gathered: Gathered, metric: str, order: list[str]
) -> None:
    for temperature in (0.2, 0.5):
        config = Config(loss=LossConfig(temperature=temperature))
        run(tmp_path / str(temperature), config, "pretrain", **{metric: 10 * temperature})
    rows = lines(gathered(tmp_path, "--metric", metric, "--format", "csv"))[1:]
    assert [row[1] for row in rows] == order
    assert " 5 " in gathered(tmp_path, "--metric", metric).out  # a plain number, not per cent


def test_time_is_a_metric_too(sweep: Path, gathered: Gathered) -> None:
    header, row, _ = lines(gathered(sweep, "--metric", "fit_seconds", "--format", "csv"))
    assert header[2] == "fit_seconds"
    assert row[2:5] == ["2.0", "0.0", "3"]


def test_a_metric_that_no_run_has_is_refused_with_those_there_are(
    sweep: Path, gathered: Gathered
) -> None:
    printed = gathered(sweep, "--metric", "accuracy")
    assert (printed.status, printed.out) == (1, "")
    assert "--metric accuracy" in printed.err
    assert "fit_seconds, val_accuracy, views_per_second" in printed.err


@pytest.mark.parametrize("sign", [".hydra", "checkpoints"])
def test_a_run_without_result_is_named(sweep: Path, gathered: Gathered, sign: str) -> None:
    (sweep / "failed" / sign).mkdir(parents=True)
    (sweep / "notes").mkdir()
    printed = gathered(sweep)
    assert printed.status == 0
    assert len(printed.out.splitlines()) == 3
    (line,) = printed.err.splitlines()
    assert line.startswith(f"{sweep / 'failed'}: failed or unfinished")


def test_parts_of_a_run_are_no_runs(tmp_path: Path, gathered: Gathered) -> None:
    """A benchmark with several pretraining seeds keeps the checkpoints of each in a subfolder."""
    done = run(tmp_path / "done", Config(), val_accuracy=0.5)
    for part in (done / ".hydra", done / "seed_0" / "checkpoints", done / "seed_1" / "checkpoints"):
        part.mkdir(parents=True)
    assert gathered(tmp_path).err == ""
    for name in (".hydra", "seed_0/checkpoints"):
        (tmp_path / "failed" / name).mkdir(parents=True)
    (line,) = gathered(tmp_path).err.splitlines()
    assert line.startswith(f"{tmp_path / 'failed'}: ")


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"task": "pretrain", "metr',
        "[1, 2]",
        '{"accuracy": 1}',
        '{"task": "pretrain", "config": {}, "timing": {}, "metrics": {"val_accuracy": NaN}}',
        '{"task": "pretrain", "config": {}, "timing": {}, "metrics": {"val_accuracy": [1]}}',
        '{"task": "benchmark", "config": {}, "timing": {}, "metrics": {}}',
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(
    sweep: Path, gathered: Gathered, content: str | bytes
) -> None:
    before = gathered(sweep).out
    (sweep / "broken").mkdir()
    raw = content if isinstance(content, bytes) else content.encode()
    (sweep / "broken" / "results.json").write_bytes(raw)
    printed = gathered(sweep)
    assert (printed.status, printed.out) == (0, before)
    (line,) = printed.err.splitlines()
    assert line.startswith(f"{sweep / 'broken'}: cannot be read")


def test_a_table_cut_short_is_left_out(sweep: Path, gathered: Gathered) -> None:
    before = gathered(sweep).out
    row = Row("linear_eval", 0, 0, 0.99, None, 1.0, SHA)
    (benchmark(sweep / "cut", Config(), [row]) / "results.csv").write_text("method,pretr\nlinear")
    printed = gathered(sweep)
    assert (printed.status, printed.out) == (0, before)
    assert printed.err.startswith(f"{sweep / 'cut'}: cannot be read")


ATTACKS = {
    "an integer of 400 digits": '{"val_accuracy": %s}' % ("1" * 400),
    "a float whose square is none": '{"loss": 1e200}',
    "the largest float": '{"loss": 1e308}',
    "more than a float": '{"loss": 1e999}',
    "an accuracy of 7": '{"val_accuracy": 7}',
    "an accuracy below 0": '{"val_accuracy": -3}',
    "nested": "[" * 100_000,
}


@pytest.mark.parametrize("metrics", ATTACKS.values(), ids=ATTACKS.keys())
def test_numbers_out_of_range_hide_no_other_run(
    sweep: Path, gathered: Gathered, metrics: str
) -> None:
    before = gathered(sweep).out
    path = run(sweep / "bad", Config(), loss=1.0) / "results.json"
    path.write_text(path.read_text().replace('{"loss": 1.0}', metrics))
    printed = gathered(sweep)
    assert (printed.status, printed.out) == (0, before)
    (line,) = printed.err.splitlines()
    assert line.startswith(f"{sweep / 'bad'}: cannot be read")
    assert len(line) < 400


@pytest.mark.parametrize("name", ["results.json", "results.csv", "error.txt"])
@pytest.mark.parametrize("kind", ["FIFO", "device", "too large"])
def test_what_is_no_file_of_a_run_is_not_waited_for(
    sweep: Path, gathered: Gathered, name: str, kind: str
) -> None:
    before = gathered(sweep).out
    bad = benchmark(sweep / "bad", Config(), [Row("linear_eval", 0, 0, 0.99, None, 1.0, SHA)])
    if name == "error.txt":
        (bad / ".hydra").mkdir()
        (bad / "results.json").unlink()
    (bad / name).unlink(missing_ok=True)
    match kind:
        case "FIFO":
            os.mkfifo(bad / name)
        case "device":
            (bad / name).symlink_to("/dev/zero")
        case _:
            with (bad / name).open("wb") as file:
                file.truncate(2**40)  # without a byte on the disk
    printed = gathered(sweep)
    assert (printed.status, printed.out) == (0, before)
    assert str(bad) in printed.err


def test_a_cell_of_a_table_may_be_too_long(sweep: Path, gathered: Gathered) -> None:
    before = gathered(sweep).out
    row = Row("x" * 200_000, 0, 0, 0.99, None, 1.0, SHA)
    benchmark(sweep / "bad", Config(), [row])
    printed = gathered(sweep)
    assert (printed.status, printed.out) == (0, before)
    assert str(sweep / "bad") in printed.err


def test_control_characters_are_shown_escaped(sweep: Path, gathered: Gathered) -> None:
    evil = "\x1b[2J\x07\n"
    for place in ("bad", f"bad{evil}"):
        (sweep / place / ".hydra").mkdir(parents=True)
    (sweep / "bad" / "error.txt").write_text(f"train.py\nreason {evil}")
    run(sweep / "other", Config(data=DataConfig(name=evil)), val_accuracy=0.5)
    for style in ("text", "markdown"):
        printed = gathered(sweep, "--format", style)
        assert r"\x1b[2J" in printed.out
        assert r"\x1b[2J" in printed.err
        assert not {"\x1b", "\x07"} & {*printed.out, *printed.err}


def test_runs_of_several_commits_in_one_row_are_named(sweep: Path, gathered: Gathered) -> None:
    for place, commit, torch in (("0.5-0", "a" * 40, "2.10"), ("0.5-1", "b" * 40, "2.11")):
        path = sweep / place / "results.json"
        made_by = {"git": {"commit": commit, "dirty": False}, "versions": {"torch": torch}}
        path.write_text(json.dumps(json.loads(path.read_text()) | made_by))
    commits, versions = gathered(sweep).err.splitlines()
    row = "method=pretrain, loss.temperature=0.5: averages runs of several"
    assert commits == f"{row} commits: {'a' * 12}, {'b' * 12}"
    assert versions == f"{row} torch versions: 2.10, 2.11"


def test_draws_of_one_pretraining_are_not_independent(tmp_path: Path, gathered: Gathered) -> None:
    rows = [
        Row("linear_eval", seed, draw, 0.9 + seed / 50 + draw / 1000, None, 1.0, SHA)
        for seed in (0, 1, 2)
        for draw in range(10)
    ]
    benchmark(tmp_path / "a", Config(), rows)
    _, row = lines(gathered(tmp_path, "--format", "csv"))
    low, high = float(row[4]), float(row[5])
    assert row[3] == "30"
    assert row[6] == "3"
    assert high - low > 0.05  # 4.303 times the seeds' sd of 0.02, over the root of 3, both ways
    assert "30 (3 seeds)" in gathered(tmp_path).out


def test_nothing_to_gather_is_a_failure(tmp_path: Path, gathered: Gathered) -> None:
    (tmp_path / "failed" / ".hydra").mkdir(parents=True)
    printed = gathered(tmp_path, tmp_path / "missing")
    assert (printed.status, printed.out) == (1, "")
    failed, missing, nothing = printed.err.splitlines()
    assert failed.startswith(f"{tmp_path / 'failed'}: failed or unfinished")
    assert missing == f"{tmp_path / 'missing'}: no such folder"
    assert nothing.startswith("Nothing to compare")


def test_a_run_found_twice_counts_once(sweep: Path, gathered: Gathered) -> None:
    once = gathered(sweep)
    assert gathered(sweep, sweep / "0.5-0", sweep / ".." / "sweep") == once


def test_a_repeated_run_is_no_evidence(sweep: Path, gathered: Gathered) -> None:
    config = Config(seed=0, loss=LossConfig(temperature=0.5))
    again = run(sweep / "again", config, val_accuracy=0.98)
    printed = gathered(sweep / "0.5-0", again, "--format", "csv")
    assert lines(printed)[1:] == [["pretrain", "0.98", "", "1", "", "", "1"]]
    (line,) = printed.err.splitlines()
    assert str(sweep / "0.5-0") in line
    assert str(again) in line


def test_the_command_is_quick_because_it_imports_no_torch(sweep: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "simclr.results", str(sweep)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("method")
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "simclr.reports.gather" in imported
    assert not imported & {"torch", "lightning", "hydra", "matplotlib"}
