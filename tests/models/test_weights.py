"""Weights in files: the same after a round trip, described, and refused when they do not fit."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig
from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm
from simclr.models.classifier import Classifier
from simclr.models.encoders import Encoder, build_encoder
from simclr.models.weights import (
    load_classifier,
    load_encoder,
    load_weights,
    save_classifier,
    save_encoder,
)

CONFIG = EncoderConfig(channels=[8, 16, 24], convs_per_stage=2)


def images(channels: int = 1) -> Tensor:
    return torch.rand(6, channels, 20, 20, generator=torch.Generator().manual_seed(0))


def encoder(seed: int = 0, config: EncoderConfig = CONFIG, in_channels: int = 1) -> Encoder:
    """With BN statistics that are not those of a fresh network."""
    torch.manual_seed(seed)
    made = build_encoder(config, in_channels)
    made(images(in_channels))
    return made


def classifier(norm: bool = True) -> Classifier:
    body = encoder()
    features = body(images()).detach()
    return Classifier(body, 3, FeatureNorm.of(features) if norm else None).eval()


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "encoder.safetensors"


@pytest.mark.parametrize(
    ("config", "in_channels"), [(CONFIG, 1), (CONFIG, 3), (EncoderConfig(name="resnet18"), 1)]
)
def test_an_encoder_comes_back_the_same(
    path: Path, config: EncoderConfig, in_channels: int
) -> None:
    saved = encoder(config=config, in_channels=in_channels).eval()
    save_encoder(path, saved, in_channels)
    loaded = load_encoder(path)
    assert same(saved, loaded)
    assert not loaded.training
    assert torch.equal(loaded(images(in_channels)), saved(images(in_channels)))


def test_an_encoder_takes_weights_of_another(path: Path) -> None:
    saved, other = encoder(0), encoder(1)
    save_encoder(path, saved, 1)
    assert not same(saved, other)
    load_weights(other, path)
    assert same(saved, other)


@pytest.mark.parametrize("norm", [True, False])
def test_a_classifier_comes_back_the_same(path: Path, norm: bool) -> None:
    saved = classifier(norm)
    save_classifier(path, saved, (1, 20, 20), ("ant", "bee", "cat"))
    loaded = load_classifier(path)
    assert same(saved, loaded)
    assert not loaded.training
    assert torch.equal(loaded(images()), saved(images()))


def metadata(path: Path) -> Any:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["simclr"])


def test_a_file_describes_what_it_holds(path: Path) -> None:
    described = {"name": "cnn", "channels": [8, 16, 24], "convs_per_stage": 2}
    saved = encoder(config=replace(CONFIG, weights="somewhere/else.safetensors"))
    save_encoder(path, saved, 1)
    assert metadata(path) == {"encoder": described, "in_channels": 1}
    save_classifier(path, Classifier(saved, 3), (1, 20, 20), ("ant", "bee", "cat"))
    assert metadata(path) == {
        "encoder": described,
        "in_channels": 1,
        "shape": [1, 20, 20],
        "classes": ["ant", "bee", "cat"],
    }


def test_the_same_weights_are_the_same_file(path: Path, tmp_path: Path) -> None:
    save_encoder(path, encoder(), 1)
    save_encoder(tmp_path / "again.safetensors", encoder(), 1)
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert {file.suffix for file in tmp_path.iterdir()} == {".safetensors"}


def test_weights_that_do_not_fit_are_all_named(path: Path) -> None:
    save_encoder(path, encoder(), 1)
    other = encoder(config=EncoderConfig(channels=[8, 12, 24], convs_per_stage=1))
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(SimclrError, match=r"encoder\.weights=.*do not fit") as refused:
        load_weights(other, path)
    message = str(refused.value)
    own, given = before.keys(), encoder().state_dict().keys()
    assert "backbone.1.0.weight: (16, 8, 3, 3) in the file, (12, 8, 3, 3) needed" in message
    for name in given - own:
        assert f"{name}: only in the file" in message
    for name in own - given:
        assert f"{name}: only in the encoder" in message
    assert '"channels": [8, 16, 24]' in message
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_weights_for_another_number_of_channels(path: Path) -> None:
    save_encoder(path, encoder(), 1)
    with pytest.raises(SimclrError, match=r"\(8, 1, 5, 5\) in the file, \(8, 3, 5, 5\) needed"):
        load_weights(encoder(in_channels=3), path)


class Payload:
    """Unpickling it would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def everything_refuses(path: Path, match: str) -> None:
    for load in (load_encoder, load_classifier, lambda path: load_weights(encoder(), path)):
        with pytest.raises(SimclrError, match=match) as refused:
            load(path)
        assert str(path) in str(refused.value)


def test_a_missing_file(path: Path) -> None:
    everything_refuses(path, "no such file")
    with pytest.raises(SimclrError, match=r"^encoder\.weights="):
        load_weights(encoder(), path)


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 100, b"not weights at all" * 10])
def test_a_file_that_is_no_safetensors(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    everything_refuses(path, "not a readable safetensors file")


def test_a_truncated_file(path: Path) -> None:
    save_encoder(path, encoder(), 1)
    path.write_bytes(path.read_bytes()[:-100])
    everything_refuses(path, "not a readable safetensors file")


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_refused_and_nothing_in_it_runs(path: Path, tmp_path: Path, how: str) -> None:
    trace = tmp_path / "it ran"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Payload(trace)))
    else:
        torch.save({"state_dict": Payload(trace)}, path)
    everything_refuses(path, "not a readable safetensors file")
    assert not trace.exists()
    with path.open("rb") as file:  # it would have
        pickle.load(file) if how == "pickle" else torch.load(file, weights_only=False)
    assert trace.exists()


def test_tensors_that_nothing_describes(path: Path) -> None:
    save_file({name: t.contiguous() for name, t in encoder().state_dict().items()}, path)
    for load in (load_encoder, load_classifier):
        with pytest.raises(SimclrError, match=r"holds no (encoder|classifier) that this version"):
            load(path)
    other = encoder(1)
    load_weights(other, path)
    assert same(other, encoder())


def test_one_kind_of_file_is_not_the_other(path: Path, tmp_path: Path) -> None:
    save_encoder(path, encoder(), 1)
    with pytest.raises(SimclrError, match="holds no classifier"):
        load_classifier(path)
    save_classifier(path, classifier(), (1, 20, 20), ("ant", "bee", "cat"))
    with pytest.raises(SimclrError, match="holds no encoder"):
        load_encoder(path)
