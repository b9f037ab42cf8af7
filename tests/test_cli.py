import csv
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import TINY, Ended, start, train, wait
from safetensors.torch import load_file

from simclr.errors import SimclrError

HINT = "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."
HEAVY = {"torch", "lightning", "torchvision", "numpy", "matplotlib"}
Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Call it with overrides of tiny settings, to run train.py in this process and `tmp_path`."""
    return lambda *arguments: train(*TINY, *arguments, folder=tmp_path)


MainJob = tuple[Path, "subprocess.Popen[str]"]


@pytest.fixture(scope="module", autouse=True)
def main_job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MainJob]:
    """A folder and the main job that writes to it, begun while the first tests go on."""
    folder = tmp_path_factory.mktemp("main")
    with start(*TINY, "output_dir=made", folder=folder) as process:
        yield folder / "made", process
        process.kill()


# Help


def test_help_names_tasks_groups_and_keys_without_importing_torch(tmp_path: Path) -> None:
    process = start("--help", folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    ended = wait(process)
    assert ended.status == 0
    lines = [line.split() for line in ended.out.splitlines()]
    first_words = [words[0].rstrip(":") for words in lines if words]
    tasks = "benchmark pretrain linear_eval finetune supervised label_spread self_train"
    for task in tasks.split():
        assert task in first_words
    groups = ("data", "augment", "encoder", "head", "optimizer", "trainer", "logger", "experiment")
    for group in groups:
        assert group in first_words
    keys = "seed labels.per_class labels.draws labels.seed trainer.max_epochs data.root"
    more = "data.batch_size loss.temperature encoder.weights checkpoint output_dir"
    for key in (keys + " " + more).split():
        assert key in first_words
    own_lines = [
        line for line in ended.out.splitlines() if not line.startswith("task:")
    ]  # by Hydra
    assert max(map(len, own_lines)) <= 100
    narrow = wait(start("--help", folder=tmp_path, COLUMNS="60"))
    folded = narrow.out.splitlines()
    (first,) = (at for at, line in enumerate(folded) if line.lstrip().startswith("random_encoder "))
    assert max(map(len, folded[first : first + 2])) <= 60
    assert folded[first + 1].startswith(" " * len("  random_encoder  "))
    assert "hydra" in imported(ended)
    assert not HEAVY & imported(ended)


def imported(ended: Ended) -> set[str]:
    """The modules that Python said it imported."""
    return {line.split("|")[-1].strip() for line in ended.err.splitlines()}


# What a run leaves


def test_two_runs_in_the_same_second_share_no_folder(run: Run, tmp_path: Path) -> None:
    """Their folders differ in more than the time."""
    for _ in range(2):
        assert run("task=supervised").status == 0
    folders = [path.parent for path in (tmp_path / "outputs").rglob("results.json")]
    names = [folder.relative_to(tmp_path).as_posix() for folder in folders]
    form = re.compile(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-(\w{6})")
    matches = [form.fullmatch(name) for name in names]
    assert len({match[1] for match in matches if match}) == 2


def test_a_sweep_leaves_a_complete_folder_for_each_job(tmp_path: Path) -> None:
    ended = train(
        "--multirun", *TINY, "task=pretrain", "seed=3,4", "output_dir=sweep", folder=tmp_path
    )
    assert ended.status == 0, ended.err
    found = {}
    for job in ("0", "1"):
        folder = tmp_path / "sweep" / job
        result = json.loads((folder / "results.json").read_text())
        found[job] = (result["seed"], result["config"]["seed"], result["config"]["output_dir"])
        assert (folder / "encoder.safetensors").exists()
        assert (folder / "checkpoints" / "last.ckpt").exists()
    assert found["0"][:2] == (3, 3)
    assert found["1"][:2] == (4, 4)
    assert Path(found["0"][2]).name == "0"
    assert Path(found["1"][2]).name == "1"


def test_the_main_job_leaves_its_files_and_shows_its_table(main_job: MainJob) -> None:
    folder, process = main_job
    ended = wait(process)
    assert ended.status == 0, ended.err
    for name in ("encoder.safetensors", "classifier.safetensors", "checkpoints/last.ckpt"):
        assert (folder / name).stat().st_size > 0
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"views.png", "accuracy.png", "confusion.png", "embedding.png"} <= figures
    for path in (folder / "figures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    result = json.loads((folder / "results.json").read_text())
    assert result["task"] == "benchmark"
    rows = list(csv.DictReader((folder / "results.csv").open()))
    assert len(rows) == 4 * 2
    methods = json.loads((folder / "summary.json").read_text())["methods"]
    assert methods.keys() == {"linear_eval", "finetune", "supervised", "random_encoder"}
    table = (folder / "README.md").read_text()
    assert table.strip() in ended.out
    for method in methods:
        assert re.search(rf"^\| {method} ", table, re.MULTILINE)
    assert "Results: made\n" in ended.out
    assert "Traceback" not in ended.err


# What goes wrong


def test_a_bad_configuration_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    arguments = ("loss.temperature=0", "output_dir=made")
    ended = wait(start(*arguments, folder=tmp_path, PYTHONPROFILEIMPORTTIME="1"))
    assert ended.status == 1
    said = [line for line in ended.err.splitlines() if not line.startswith("import time:")]
    assert said[1:] == [
        "The configuration has 1 problem:",
        "  loss.temperature=0: must be at least 0.01",
        "",
        HINT,
    ]
    assert not HEAVY & imported(ended)
    assert not (tmp_path / "made" / "results.json").exists()


def test_the_traceback_is_there_for_who_asks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SimclrError, match=r"loss.temperature=0: must be at least 0.01"):
        run("loss.temperature=0")


def test_every_tensor_that_does_not_fit_is_named(run: Run, pretrained: Path) -> None:
    weights = pretrained / "encoder.safetensors"
    ended = run("task=linear_eval", f"encoder.weights={weights}", "encoder.channels=[4,8,8,24]")
    assert ended.status == 1
    assert f"encoder.weights={weights}: these weights do not fit the encoder" in ended.err
    named = re.findall(r"^  (\S+): \((.*)\) in the file, \((.*)\) needed$", ended.err, re.MULTILINE)
    sizes = [(found, needed) for _, found, needed in named]
    assert sizes.count(("16, 8, 3, 3", "24, 8, 3, 3")) == 1
    assert sizes.count(("16,", "24,")) % 4 == 0  # batch norms: bias, mean, variance, weight
    in_file = load_file(weights)
    assert {name for name, _, _ in named} == {
        name for name, tensor in in_file.items() if 16 in tensor.shape
    }
    assert '"channels": [4, 8, 8, 16]' in ended.err
