"""Predictions for image files: the classifier's own, in every format, and files that are broken."""

import csv
import io
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simclr.config.schema import EncoderConfig
from simclr.data.image_files import read_images
from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm
from simclr.inference import Prediction, predict
from simclr.models.classifier import Classifier, extract_features
from simclr.models.encoders import build_encoder
from simclr.models.weights import load_classifier, save_classifier
from simclr.predict import main

CLASSES = ("ant", "bee", "cat")
SHAPE = (3, 20, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold classifier.safetensors and photos/, with images of several sizes and modes."""
    made = tmp_path_factory.mktemp("predict")
    noise = np.random.default_rng(0)
    for name, (height, width), mode in (
        ("a.png", (30, 40), "RGB"),
        ("b.jpg", (20, 24), "L"),
        ("deep/c.png", (50, 25), "RGBA"),
        ("deep/d.gif", (64, 64), "P"),
    ):
        path = made / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
    torch.manual_seed(0)
    config = EncoderConfig(channels=[8, 16], convs_per_stage=1)
    encoder = build_encoder(config, SHAPE[0])
    norm = FeatureNorm.of(extract_features(encoder, torch.randint(0, 255, (9, *SHAPE))))
    save_classifier(made / "classifier.safetensors", Classifier(encoder, 3, norm), SHAPE, CLASSES)
    return made


def photos(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "photos").rglob("*") if path.is_file())


def said(
    capsys: pytest.CaptureFixture[str], *arguments: Path | str, status: int = 0
) -> tuple[str, str]:
    assert main([str(argument) for argument in arguments]) == status
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_predictions_are_the_classifier_s_own(folder: Path, batch_size: int) -> None:
    classifier = load_classifier(folder / "classifier.safetensors")
    assert (classifier.shape, classifier.classes) == (SHAPE, CLASSES)
    images, _ = read_images(photos(folder), SHAPE)
    assert images.shape == (4, *SHAPE)
    expected = classifier(images / 255).softmax(1)
    found = list(predict(classifier, photos(folder), batch_size))
    for one, path, row, image in zip(found, photos(folder), expected, images, strict=True):
        assert isinstance(one, Prediction)
        assert one.path == path
        assert one.best[0] == CLASSES[row.argmax()]
        values = list(one.probabilities.values())
        assert values == sorted(values, reverse=True)
        for name, probability in one.probabilities.items():
            assert probability == pytest.approx(float(row[CLASSES.index(name)]), abs=1e-5)
        representation = extract_features(classifier.encoder, image[None])[0]
        torch.testing.assert_close(one.embedding, representation)


def test_the_formats_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = (folder / "classifier.safetensors", folder / "photos")
    text = said(capsys, *given)[0].splitlines()
    table = list(csv.DictReader(io.StringIO(said(capsys, *given, "--format", "csv")[0])))
    entries = json.loads(said(capsys, *given, "--format", "json")[0])
    assert [entry["file"] for entry in entries] == [str(path) for path in photos(folder)]
    for line, row, entry in zip(text, table, entries, strict=True):
        name, probability = entry["class"], entry["probability"]
        assert line == f"{entry['file']}: {name} ({probability:.1%})"
        assert (row["file"], row["class"]) == (entry["file"], name)
        assert float(row["probability"]) == pytest.approx(probability, abs=1e-6)
        assert entry["probabilities"].keys() == set(CLASSES)
        assert entry["probabilities"][name] == probability == max(entry["probabilities"].values())
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_broken_file_is_named_and_the_others_are_classified(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, embeddings = tmp_path / "broken.png", tmp_path / "out.npy"
    broken.write_text("no image")
    first, *_, last = photos(folder)
    classifier = folder / "classifier.safetensors"
    out, err = said(capsys, classifier, last, broken, first, "--embeddings", embeddings, status=1)
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(last), str(first)]
    assert err.startswith(f"{broken}: cannot be read: ")
    rows = np.load(embeddings)
    images, _ = read_images([last, first], SHAPE)
    expected = extract_features(load_classifier(classifier).encoder, images)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)
    out, _ = said(capsys, classifier, broken, "--format", "json", status=1)
    assert json.loads(out) == []


def test_representations_are_in_the_file_of_that_name_or_in_none(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (folder / "classifier.safetensors", photos(folder)[0], "--embeddings")
    said(capsys, *given, tmp_path / "emb.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["emb.bin"]
    whole = (tmp_path / "emb.bin").read_bytes()
    assert np.load(io.BytesIO(whole)).shape[0] == 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        _, err = said(capsys, *given, tmp_path / "emb.bin", status=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert err == f"--embeddings {tmp_path / 'emb.bin'}: cannot be written: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["emb.bin"]
    assert (tmp_path / "emb.bin").read_bytes() == whole
    os.mkfifo(tmp_path / "pipe")
    assert "no ordinary file" in said(capsys, *given, tmp_path / "pipe", status=1)[1]


def test_a_missing_package_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    config = EncoderConfig(name="timm", model="resnet10t")
    path = tmp_path / "classifier.safetensors"
    save_classifier(path, Classifier(build_encoder(config, 3), 3, None), SHAPE, CLASSES)
    monkeypatch.setitem(sys.modules, "timm", None)
    out, err = said(capsys, path, tmp_path, status=1)
    assert out == ""
    assert "it needs the package timm: pip install timm" in err


def test_what_cannot_work_is_said_in_a_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier, absent = folder / "classifier.safetensors", tmp_path / "absent.png"
    assert said(capsys, classifier, absent, status=1) == ("", f"{absent}: no such file or folder\n")
    assert said(capsys, classifier, tmp_path, status=1)[1] == (
        f"{tmp_path}: no images in this folder\n"
    )
    assert "no such file" in said(capsys, absent, folder, status=1)[1]
    assert "no such folder" in said(
        capsys, classifier, folder, "--embeddings", absent / "out.npy", status=1
    )[1]  # fmt: skip
    (error,) = predict(load_classifier(classifier), [absent])
    assert isinstance(error, SimclrError)


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(folder: Path) -> None:
    photo = str(folder / "photos" / "b.jpg")
    command = [sys.executable, "-m", "simclr.predict", str(folder / "classifier.safetensors")]
    command += [photo] * 3000  # more lines than a pipe holds
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(f"{photo}: ")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE


def test_neither_lightning_nor_hydra_is_needed(folder: Path) -> None:
    classifier = folder / "classifier.safetensors"
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['simclr.predict', {str(classifier)!r}, {str(folder / 'photos')!r}]\n"
        "try: runpy.run_module('simclr.predict', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 4
    imported = {name.split(".")[0] for name in ended.stderr.split()}
    assert "torch" in imported
    assert not imported & {"lightning", "pytorch_lightning", "hydra", "omegaconf", "torchmetrics"}
