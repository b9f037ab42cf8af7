"""Files that somebody made to do harm, by kind of file and of attack: one message, and no harm."""

import io
import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from simclr.config.schema import EncoderConfig
from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm
from simclr.models.classifier import Classifier, extract_features
from simclr.models.encoders import build_encoder
from simclr.models.weights import load_classifier, load_encoder, save_classifier, save_encoder
from simclr.predict import main as predict_main
from simclr.training.callbacks.checkpoints import AtomicCheckpointIO, read_checkpoint, sealed

CONFIG = EncoderConfig(channels=[4, 6, 8])
Described = dict[str, Any]
Tensors = dict[str, Tensor]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A whole encoder and a whole classifier."""
    torch.manual_seed(0)
    encoder = build_encoder(CONFIG, 1)
    norm = FeatureNorm.of(encoder(torch.rand(8, 1, 12, 12)).detach())
    classifier = Classifier(encoder, 2, norm).eval()
    save_encoder(tmp_path / "encoder.safetensors", encoder, 1)
    shape, classes = (1, 12, 12), ("ant", "bee")
    save_classifier(tmp_path / "classifier.safetensors", classifier, shape, classes)
    return tmp_path


def load(path: Path) -> None:
    if path.name.startswith("encoder"):
        load_encoder(path)
    else:
        load_classifier(path)


def rewrite(
    path: Path,
    describe: Callable[[Described], Any] = lambda described: None,
    change: Callable[[Tensors], Any] = lambda tensors: None,
) -> None:
    """Change a file's metadata and tensors, and write it again."""
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["simclr"])
    describe(described)
    change(tensors)
    save_file(tensors, path, {"simclr": json.dumps(described)})


def encoder_says(**said: Any) -> Callable[[Described], Any]:
    return lambda described: described["encoder"].update(said)


def says(**said: Any) -> Callable[[Described], Any]:
    return lambda described: described.update(said)


OF_ENCODERS: dict[str, Callable[[Described], Any]] = {
    "a thousand million layers": encoder_says(convs_per_stage=10**9),
    "no layers": encoder_says(convs_per_stage=0),
    "layers in words": encoder_says(convs_per_stage="two"),
    "wide layers": encoder_says(channels=[4, 10**6, 8]),
    "negative widths": encoder_says(channels=[4, -6, 8]),
    "as many stages as fit": encoder_says(channels=[8] * 10**5),
    "no list of widths": encoder_says(channels=7),
    "many channels": says(in_channels=10**9),
    "channels that are true": says(in_channels=True),
    "channels that are null": says(in_channels=None),
    "a name that is a list": encoder_says(name=["cnn"]),
    "another name": encoder_says(name="gnn"),
    "another network": encoder_says(name="resnet18"),
    "a model of a hub": encoder_says(name="timm", model="hf-hub:name/model"),
    "a model in a folder": encoder_says(name="timm", model="local-dir:/tmp"),
    "a model with a slash": encoder_says(name="timm", model="name/model"),
    "weights from elsewhere": encoder_says(weights="/etc/passwd"),
    "keys that nothing knows": encoder_says(surprise=1),
    "no description": says(encoder=[1, 2]),
}
OF_CLASSIFIERS: dict[str, Callable[[Described], Any]] = {
    "huge images": says(shape=[1, 100_000, 100_000]),
    "negative images": says(shape=[1, -28, 28]),
    "empty images": says(shape=[1, 0, 0]),
    "images in words": says(shape=["a", 1, 1]),
    "colour for a grey encoder": says(shape=[3, 12, 12]),
    "images smaller than the layers": says(shape=[1, 1, 1]),
    "no shape": says(shape=None),
    "one name": says(classes="ab"),
    "the same name twice": says(classes=["ant", "ant"]),
    "too many names": says(classes=["ant", "bee", "cat"]),
    "no names": says(classes=None),
    "names that are lists": says(classes=[["ant"], ["bee"]]),
    "names that are null": says(classes=[None, "bee"]),
    "a lone surrogate": says(classes=["\ud800", "bee"]),
}
KINDS = ("encoder", "classifier")
METADATA = [
    *((kind, name, attack) for kind in KINDS for name, attack in OF_ENCODERS.items()),
    *(("classifier", name, attack) for name, attack in OF_CLASSIFIERS.items()),
]


@pytest.mark.parametrize(
    ("kind", "attack"),
    [(kind, attack) for kind, _, attack in METADATA],
    ids=[f"{kind}: {name}" for kind, name, _ in METADATA],
)
def test_metadata_are_checked_before_anything_is_built(
    files: Path, kind: str, attack: Callable[[Described], Any]
) -> None:
    path = files / f"{kind}.safetensors"
    rewrite(path, attack)
    with pytest.raises(SimclrError, match=f"{kind}.safetensors: holds no {kind}") as refused:
        load(path)
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"in_channels": %s}' % ("1" * 5_000), "[1]", "null", '"x"', "{"]
)
def test_metadata_are_json_of_a_sensible_size(files: Path, kind: str, text: str) -> None:
    path = files / f"{kind}.safetensors"
    save_file(load_file(path), path, {"simclr": text})
    with pytest.raises(SimclrError, match="not a readable safetensors file") as refused:
        load(path)
    assert len(str(refused.value)) < 1_000


def fill(part: str, number: float) -> Callable[[Tensors], Any]:
    """One number in the tensors whose name ends so."""

    def change(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            if name.endswith(part):
                tensor.view(-1)[0] = number

    return change


def to(dtype: torch.dtype) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.update(
        {name: tensor.to(dtype) for name, tensor in tensors.items() if name.endswith("weight")}
    )


NO_WEIGHTS: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "NaN": (fill("weight", torch.nan), "weight is not finite"),
    "infinite": (fill("weight", torch.inf), "weight is not finite"),
    "negative variance": (fill("running_var", -1.0), "running_var has negative variances"),
    **{
        str(dtype).removeprefix("torch."): (to(dtype), "weight is torch")
        for dtype in (torch.int8, torch.int64, torch.float64, torch.float16, torch.bool)
    },
    "unknown": (lambda tensors: tensors.update(surprise=torch.ones(1)), "surprise is not known"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("change", "message"), NO_WEIGHTS.values(), ids=NO_WEIGHTS.keys())
def test_tensors_that_no_training_leaves_are_named(
    files: Path, kind: str, change: Callable[[Tensors], Any], message: str
) -> None:
    path = files / f"{kind}.safetensors"
    rewrite(path, change=change)
    with pytest.raises(SimclrError, match=message):
        load(path)


def test_a_norm_that_divides_by_zero_is_named(files: Path) -> None:
    path = files / "classifier.safetensors"
    rewrite(path, change=fill("norm.sd", 0.0))
    with pytest.raises(SimclrError, match=r"norm\.sd is not positive"):
        load(path)


def test_no_score_is_computed_from_features_that_are_not_finite() -> None:
    encoder = build_encoder(CONFIG, 1)
    next(encoder.parameters()).data.fill_(torch.nan)
    with pytest.raises(SimclrError, match="representations are not finite"):
        extract_features(encoder, torch.zeros(2, 1, 12, 12, dtype=torch.uint8))


def test_reading_a_file_opens_no_connection(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: connect(None, address))  # type: ignore[arg-type]
    for model in ("hf-hub:name/model", "hf_hub:name/model", "name/model"):
        with pytest.raises(ValueError, match="timm itself has no model"):
            build_encoder(EncoderConfig(name="timm", model=model), 1)
    rewrite(files / "encoder.safetensors", OF_ENCODERS["a model of a hub"])
    with pytest.raises(SimclrError):
        load(files / "encoder.safetensors")
    assert asked == []


def test_control_characters_in_class_names_are_shown_escaped(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    path = files / "classifier.safetensors"
    rewrite(path, says(classes=["\x1b[2Jant\nimage.png: bee", "\x1b[2Jbee\nimage.png: ant"]))
    Image.new("L", (12, 12)).save(files / "image.png")
    assert predict_main([str(path), str(files / "image.png")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert r"\x1b[2J" in line
    assert "\x1b" not in line


def checkpoint() -> Described:
    """What a training goes on from, in small."""
    return {
        "state_dict": {"weight": torch.ones(2)},
        "optimizer_states": [{"state": {}}],
        "lr_schedulers": [],
        "loops": {"fit_loop": {}},
        "callbacks": {"Checkpoints": {"metrics": {}}},
        "config": {"seed": 0},
    }


def packed(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def without(part: str) -> Described:
    return {name: value for name, value in checkpoint().items() if name != part}


def bomb() -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50 * 2**20))
    return file.getvalue()


NO_CHECKPOINTS: dict[str, object] = {
    **{f"without {part}": without(part) for part in checkpoint()},
    "empty optimiser": checkpoint() | {"optimizer_states": []},
    "config is a list": checkpoint() | {"config": [1]},
    "loops are a list": checkpoint() | {"loops": [1]},
    "NaN weights": checkpoint() | {"state_dict": {"weight": torch.tensor([torch.nan])}},
    "weights in words": checkpoint() | {"state_dict": {"weight": "none"}},
    "a list": [1, 2],
    "code": checkpoint() | {"payload": Path("x").joinpath},
}


@pytest.mark.parametrize("content", NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS.keys())
def test_what_a_training_cannot_go_on_from_is_one_message(tmp_path: Path, content: object) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(sealed(packed(content)))
    with pytest.raises(SimclrError, match=r"last\.ckpt: damaged, or not a checkpoint"):
        read_checkpoint(path)


def test_a_checkpoint_that_unpacks_to_much_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(sealed(bomb()))
    with pytest.raises(SimclrError, match="it is compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["FIFO", "device", "loop"])
def test_what_is_no_file_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    match name:
        case "FIFO":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(path)
    with pytest.raises(SimclrError, match=name):
        read_checkpoint(path)


def test_every_bit_of_a_checkpoint_counts(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(), path)
    assert read_checkpoint(path)["config"] == {"seed": 0}
    whole = path.read_bytes()
    generator = random.Random(0)
    ends = range(8 * (len(whole) - 300), 8 * len(whole))  # the zip's end and the digest itself
    for bit in (*generator.sample(range(8 * len(whole)), 500), *generator.sample(ends, 500)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(SimclrError, match="damaged"):
            read_checkpoint(path)
    for length in (0, 1, 10, 71, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SimclrError, match="damaged"):
            read_checkpoint(path)
    assert torch.load(io.BytesIO(whole), weights_only=True).keys() == checkpoint().keys()
