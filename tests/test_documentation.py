"""Every command in README and docs works, on synthetic data and at a tiny size."""

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from command_line import TINY
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image

from simclr.config.schema import Config, register
from simclr.data.synthetic import draw_digits
from simclr.run import run

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
STARTS = ("python ", "make ", "pip ", "tensorboard ", "torchrun ", "srun ", ".venv/bin/")

NOT_RUN = {  # what a command contains: why not here
    "make ": "installs packages or runs this suite",
    ".venv/bin/pytest": "runs this suite",
    "pip install": "needs the network",
    "tensorboard ": "a server that does not end; test_tensorboard.py reads what it shows",
    "torchrun ": "several processes; test_many_processes.py starts them",
    "srun ": "needs a SLURM cluster",
    "trainer=ddp": "several processes; test_many_processes.py starts them",
    "trainer=gpu": "needs a GPU",
    "hydra/launcher=": "several processes; test_sweeps.py starts them",
    "benchmarks/": "takes minutes, and packages that only benchmarks need",
    "verify": "does a run again; test_verify.py does, too",
    "checkpoint=auto": "goes on with a stopped run; test_resume.py does",
    "optuna": "a search of twenty runs, with an optional package",
}

register()


@pytest.fixture(scope="module")
def workplace(
    tmp_path_factory: pytest.TempPathFactory, pretrained: Path, benchmarked: Path
) -> Path:
    """A folder with all that the commands name."""
    place = tmp_path_factory.mktemp("documentation")
    (place / "encoder.safetensors").symlink_to(pretrained / "encoder.safetensors")
    (place / "classifier.safetensors").symlink_to(benchmarked / "classifier.safetensors")
    for name in ("FOLDER", "outputs/run"):
        shutil.copytree(benchmarked, place / name)
    lines: list[str] = []
    digits = draw_digits(150, 28, torch.Generator().manual_seed(0))
    for label in range(10):
        of_class = digits.images[digits.labels == label][:4]
        parts = ("train", "unlabeled", "val", "test")
        for part, image in zip(parts, of_class, strict=True):
            for folder in (place / "PATH" / part / str(label), place / "IMAGES"):
                folder.mkdir(parents=True, exist_ok=True)
                name = f"{label}_{len(list(folder.iterdir()))}.png"
                Image.fromarray(image[0].numpy()).save(folder / name)
        lines.append(f"train/{label}/{label}_0.png,{label}")
    (place / "labels.csv").write_text("\n".join(["file,class", *lines]))
    return place


def blocks(language: str) -> Iterator[str]:
    for page in PAGES:
        yield from re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands() -> list[str]:
    """Those in blocks, joined where a line goes on, and those within text."""
    found = []
    for block in blocks("bash"):
        found += block.replace("\\\n", " ").splitlines()
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        found += [code for code in re.findall(r"`([^`\n]+)`", text) if code.startswith(STARTS)]
    words = (" ".join(shlex.split(line, comments=True)) for line in found)
    mentioned = r"python -m \S+"  # without its arguments
    return sorted({w for w in words if w.startswith(STARTS) and not re.fullmatch(mentioned, w)})


def reason_not_to(command: str) -> str | None:
    return next((why for part, why in NOT_RUN.items() if part in command), None)


def test_commands_are_found() -> None:
    found = commands()
    assert "python train.py task=supervised" in found
    assert sum(reason_not_to(command) is None for command in found) > 10


@pytest.mark.parametrize("command", [line for line in commands() if not reason_not_to(line)])
def test_command(command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    program, *arguments = shlex.split(command.replace("…", ""))[1:]
    match program, arguments:
        case "train.py", arguments:
            train(arguments, workplace)
        case "-m", [module, *rest]:
            monkeypatch.setattr(sys, "argv", [module, *rest])
            with pytest.raises(SystemExit) as end:
                runpy.run_module(module, run_name="__main__")
            assert end.value.code in (0, None)
        case script, rest:
            monkeypatch.setattr(sys, "argv", [script, *few(rest)])
            runpy.run_path(str(ROOT / script), run_name="__main__")


def few(arguments: list[str]) -> list[str]:
    """The arguments of an example, with fewer images."""
    pairs = pairwise(["", *arguments])
    return ["300" if before == "--images" else now for before, now in pairs]


def train(arguments: list[str], workplace: Path) -> None:
    """As train.py does, of a sweep the first job, and without Hydra's own start."""
    if {"--help", "--cfg"} & {*arguments}:
        return  # test_cli.py looks at them
    overrides = [
        override.replace("weights=PATH", "weights=encoder.safetensors").replace(".NAME", ".noise")
        for override in arguments
        if override not in ("-m", "--multirun")
    ]
    parsed = OverridesParser.create().parse_overrides(overrides)
    first = [
        f"{one.key_or_group}={next(iter(one.sweep_string_iterator()))}"
        if one.is_sweep_override()
        else str(one.input_line)
        for one in parsed
    ]
    own = "data=folder" in first
    if own and "encoder.weights=encoder.safetensors" in first:  # of grey digits, not of photos
        first = [key for key in first if key != "experiment=photos"] + ["data.channels=1"]
    tiny = [key for key in TINY if not (own and key.startswith("data.name"))]
    tiny += ["labels.draws=1", "labels.per_class=1", "finetune.max_epochs=2"]
    tiny += ["supervised.max_epochs=2", *(["data.batch_size=8", "data.image_size=32"] * own)]
    folder = workplace / "made" / str(len(list(workplace.glob("made/*"))))
    folder.mkdir(parents=True)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = OmegaConf.to_object(compose("config", [*first, *tiny, f"output_dir={folder}"]))
    assert isinstance(config, Config)
    run(config)
    assert (folder / "results.json").exists()


@pytest.mark.parametrize("block", [text for text in blocks("python") if not reason_not_to(text)])
def test_python(block: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    exec(compile(block.replace('"mnist"', '"synthetic"'), "README.md", "exec"), {})
