"""Results that come out again, and what is said about those that do not."""

import json
import shutil
from pathlib import Path

import pytest

from simclr.launch.environment import environment
from simclr.verify import main


@pytest.fixture
def copied(pretrained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pretrained, tmp_path / "copied"))


def test_a_result_comes_out_again(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(copied)]) == 0
    assert capsys.readouterr().out == "Same: metrics, label draws and weights, to the bit\n"


def test_what_differs_is_named_with_both_values(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "results.json"
    content = json.loads(path.read_text())
    loss, torch = content["metrics"]["loss"], content["versions"]["torch"]
    content["metrics"]["loss"] = 3.5
    content["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(content))
    (copied / "encoder.safetensors").write_bytes(b"others")
    assert main([str(copied)]) == 1
    said = capsys.readouterr().out
    assert f"\n  metrics.loss: 3.5 then, {loss} now\n" in said
    assert "\n  encoder.safetensors: sha256 " in said
    assert f"Other circumstances:\n  versions.torch: 1.0 then, {torch} now\n" in said


@pytest.mark.parametrize("content", [None, "[]", "{", '{"config": {"sead": 1}}'])
def test_no_result_no_verdict(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}: ")


def test_circumstances_are_recorded(pretrained: Path) -> None:
    content = json.loads((pretrained / "results.json").read_text())
    now = environment("cpu")
    assert {key: content[key] for key in now} == now
    assert now["machine"]["threads"] >= 1
    assert now["machine"]["device"] == "cpu"
    assert now["machine"]["processor"]
