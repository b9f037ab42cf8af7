"""Every kind of file that a command reads, in every way damaged: one message, soon, and no harm."""

import gzip
import io
import json
import os
import random
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from command_line import TINY, configured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from simclr.config.schema import EncoderConfig
from simclr.data.folder import read_folder
from simclr.data.idx import read_idx, write_idx
from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm
from simclr.models.classifier import Classifier
from simclr.models.encoders import build_encoder
from simclr.models.weights import load_classifier, load_encoder, save_classifier, save_encoder
from simclr.predict import main as predict_main
from simclr.reports.gather import main as gather_main
from simclr.run import run
from simclr.training.callbacks.checkpoints import AtomicCheckpointIO, read_checkpoint
from simclr.training.ledger import Ledger
from simclr.verify import main as verify_main

SECONDS, BYTES = 10.0, 2**30  # of one attack, at most
CONFIG = EncoderConfig(channels=[4, 6, 8])


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bounds on time and memory, and a listener's place: nothing may be asked of the network."""
    asked: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - begun < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES
    assert asked == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    encoder = build_encoder(CONFIG, 1)
    norm = FeatureNorm.of(encoder(torch.rand(8, 1, 12, 12)).detach())
    save_encoder(folder / "encoder.safetensors", encoder, 1)
    save_classifier(
        folder / "classifier.safetensors",
        Classifier(encoder, 2, norm).eval(),
        (1, 12, 12),
        ("ant", "bee"),
    )
    state = {"state_dict": {"weight": torch.ones(2)}, "optimizer_states": [{"state": {}}]}
    state |= {"lr_schedulers": [], "loops": {"a": {}}, "callbacks": {"b": {}}, "config": {}}
    AtomicCheckpointIO().save_checkpoint(state, folder / "last.ckpt")
    result = {
        **{"task": "pretrain", "seed": 0, "metrics": {"val_accuracy": 0.5}, "n_test": 0},
        "labels": {"per_class": 1, "seed": 0, "sha256": ""},
        "timing": {"fit_seconds": 1.0, "views_per_second": 1.0},
        "config": {"task": "pretrain"},
    }
    (folder / "results.json").write_text(json.dumps(result))
    (folder / "finished.jsonl").write_text(f"\n{json.dumps({'seed': 0})}\n{json.dumps(result)}")
    names = "method,pretrain_seed,label_seed,test_accuracy,val_accuracy,seconds,labels_sha256"
    (folder / "results.csv").write_text(f"{names}\nlinear_eval,0,0,0.5,0.5,1.0,x\n")
    write_idx(folder / "images.idx", torch.zeros(40, 4, 4, dtype=torch.uint8))
    write_idx(folder / "images.gz", torch.zeros(40, 4, 4, dtype=torch.uint8))
    Image.effect_noise((30, 30), 50).save(folder / "image.png")
    return folder


def as_run(path: Path, task: str = "pretrain") -> Path:
    """A folder in which the file is what a run wrote."""
    folder = path.parent / "run"
    folder.mkdir(exist_ok=True)
    if task == "benchmark":
        content = json.loads((path.parent / "whole.json").read_text()) | {"task": task}
        (folder / "results.json").write_text(json.dumps(content))
    path.rename(folder / path.name)
    return folder


def read_ledger(path: Path) -> None:
    Ledger(as_run(path), configured(*TINY), {}).find("pretrain", 0, 0)


def gather(path: Path) -> None:
    task = "benchmark" if path.suffix == ".csv" else "pretrain"
    gather_main([str(as_run(path, task))])


def verify(path: Path) -> None:
    verify_main([str(as_run(path))])


def begin_again(path: Path) -> None:
    folder = as_run(path)
    run(configured(*TINY, "task=pretrain", f"output_dir={folder}", "checkpoint=auto"))


def classify(path: Path) -> None:
    predict_main([str(path.parent / "classifier.whole"), str(path)])


def as_labelled(path: Path) -> None:
    folder = path.parent / "own" / "train" / "a"
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    read_folder(path.parent / "own", 8, 1)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "checkpoint": ("last.ckpt", read_checkpoint),
    "encoder": ("encoder.safetensors", load_encoder),
    "classifier": ("classifier.safetensors", load_classifier),
    "results, in a table": ("results.json", gather),
    "results, verified": ("results.json", verify),
    "results, begun again": ("results.json", begin_again),
    "csv": ("results.csv", gather),
    "ledger": ("finished.jsonl", read_ledger),
    "IDX": ("images.idx", read_idx),
    "IDX, packed": ("images.gz", read_idx),
    "image to classify": ("image.png", classify),
    "labelled image": ("image.png", as_labelled),
}


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def attack(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return attack


def flipped(content: bytes, seed: int, count: int = 8) -> bytes:
    damaged, generator = bytearray(content), random.Random(seed)
    for _ in range(count):
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def bomb(path: Path) -> None:
    """Much in little, in the archive of the file's kind."""
    zeros = bytes(2**20)
    if path.suffix == ".gz":
        header = struct.pack(">4B3I", 0, 0, 8, 3, 10_000, 1_000, 1_000)
        content = gzip.compress(header + zeros)
    else:
        file = io.BytesIO()
        with ZipFile(file, "w", ZIP_DEFLATED) as archive, archive.open("a/data.pkl", "w") as entry:
            for _ in range(64):
                entry.write(zeros)
        content = file.getvalue()
    path.write_bytes(content)


def placed(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def attack(path: Path) -> None:
        path.unlink()
        make(path)

    return attack


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": rewritten(lambda content: b""),
    "cut": rewritten(lambda content: content[: len(content) // 2]),
    "the last byte cut": rewritten(lambda content: content[:-1]),
    "twice": rewritten(lambda content: content * 2),
    "text": rewritten(lambda content: b"no such thing"),
    "zeros": rewritten(lambda content: bytes(len(content))),
    "nested": rewritten(lambda content: b"[" * 100_000),
    "nested objects": rewritten(lambda content: b'{"config":' * 50_000),
    "huge numbers": rewritten(lambda content: content.replace(b"0", b"9" * 5_000)),
    "not finite": rewritten(
        lambda content: content.replace(b"0.5", b"NaN").replace(b"0", b"1e999")
    ),
    "wrong types": rewritten(lambda content: content.replace(b"0", b"[1]").replace(b"1.0", b"{}")),
    "a list": rewritten(lambda content: b"[1, 2]\n[3]"),
    "null": rewritten(lambda content: b"null"),
    "control characters": rewritten(lambda content: content.replace(b"e", b"\x1b[2J\r\n\0")),
    "no UTF-8": rewritten(lambda content: content.replace(b"e", b"\xff\xfe")),
    "a FIFO": placed(os.mkfifo),
    "a device": placed(lambda path: path.symlink_to("/dev/zero")),
    "a link loop": placed(lambda path: path.symlink_to(path)),
    "a folder": placed(Path.mkdir),
    "a bomb": bomb,
}


def attacked(folder: Path, whole: Path, kind: str, damage: Callable[[Path], None]) -> None:
    """Read a damaged copy: what it holds is used, or one error that a user can read is raised."""
    name, read = READERS[kind]
    path = folder / name
    path.write_bytes((whole / name).read_bytes())
    (folder / "whole.json").write_bytes((whole / "results.json").read_bytes())
    (folder / "classifier.whole").write_bytes((whole / "classifier.safetensors").read_bytes())
    damage(path)
    said = what_is_said(lambda: read(path))
    assert len(said) < 3_000
    assert "\x1b" not in said


def what_is_said(read: Callable[[], object]) -> str:
    """The message of an error that a user can read; nothing if there is none."""
    try:
        read()
    except SimclrError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", READERS)
def test_every_file_with_every_damage(
    kind: str, damage: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attacked(tmp_path, whole, kind, DAMAGES[damage])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("kind", READERS)
def test_bits_flipped_at_random(
    kind: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        attacked(folder, whole, kind, rewritten(lambda content, s=seed: flipped(content, s)))  # type: ignore[misc]
    assert "Traceback" not in capsys.readouterr().err


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=9),
    lambda some: (
        st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=5), some, max_size=4)
    ),
    max_leaves=6,
)
few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@few
@given(key=st.sampled_from(["in_channels", "shape", "classes", "encoder"]), value=anything)
def test_metadata_may_say_anything(key: str, value: Any, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    said = {"encoder": {"name": "cnn", "channels": [4, 6, 8]}, "in_channels": 1}
    said |= {"shape": [1, 12, 12], "classes": ["ant", "bee"], key: value}
    metadata = {"simclr": json.dumps(said)}
    save_file(load_file(whole / "classifier.safetensors"), path, metadata)
    assert len(what_is_said(lambda: load_classifier(path))) < 3_000


@few
@given(
    key=st.sampled_from(["task", "seed", "metrics", "labels", "timing", "config", "n_test"]),
    value=anything,
)
def test_results_may_say_anything(key: str, value: Any, whole: Path, tmp_path: Path) -> None:
    content = json.loads((whole / "results.json").read_text()) | {key: value}
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    gather(path)
    path.write_text(json.dumps(content))
    assert len(what_is_said(lambda: begin_again(path))) < 3_000
