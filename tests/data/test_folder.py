"""Own images: every mode and size, the pools they belong to, and errors that name the file."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from simclr.data.folder import read_folder
from simclr.errors import SimclrError


def save(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("L", (8, 8), 100)).save(path, **options)
    return path


def grey(value: int) -> Image.Image:
    return Image.new("L", (6, 6), value)


def read_one(tmp_path: Path, name: str, image: Image.Image, **options: Any) -> torch.Tensor:
    save(tmp_path / "train" / "a" / name, image, **options)
    return read_folder(tmp_path, 4, channels=3).train.images[0]


def test_pools_classes_and_order(tmp_path: Path) -> None:
    save(tmp_path / "unlabeled" / "deep" / "er" / "1.png", grey(1))
    save(tmp_path / "unlabeled" / "2.bmp", grey(2))
    save(tmp_path / "train" / "dog" / "3.png", grey(3))
    save(tmp_path / "train" / "cat" / "4.PNG", grey(4))
    save(tmp_path / "train" / "cat" / "more" / "5.png", grey(5))
    save(tmp_path / "val" / "dog" / "6.png", grey(6))
    save(tmp_path / "test" / "dog" / "7.png", grey(7))
    save(tmp_path / "test" / "cat" / "8.png", grey(8))
    source = read_folder(tmp_path, 4, channels=1)
    assert source.classes == ("cat", "dog")
    assert source.unlabelled is not None
    assert source.val is not None
    assert source.test is not None
    assert source.unlabelled.shape == (2, 1, 4, 4)
    assert source.unlabelled[:][:, 0, 0, 0].tolist() == [2, 1]
    assert source.train.images[:, 0, 0, 0].tolist() == [4, 5, 3]
    assert source.train.labels.tolist() == [0, 0, 1]
    assert source.val.images[:, 0, 0, 0].tolist() == [6]
    assert source.val.labels.tolist() == [1]
    assert source.test.images[:, 0, 0, 0].tolist() == [8, 7]
    assert source.test.labels.tolist() == [0, 1]
    assert source.train.images.dtype == torch.uint8
    assert source.train.labels.dtype == torch.int64


def test_labelled_images_alone_are_enough(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "1.png")
    source = read_folder(tmp_path, 4, channels=1)
    assert source.train.labels.tolist() == [0]
    assert (source.test, source.val, source.unlabelled) == (None, None, None)


@pytest.mark.parametrize("stream", ["never", "always"])
def test_unlabelled_images_alone_are_enough(tmp_path: Path, stream: str) -> None:
    save(tmp_path / "unlabeled" / "1.png", grey(1))
    source = read_folder(tmp_path, 4, channels=1, stream=stream)
    assert source.unlabelled is not None
    assert source.unlabelled[:][:, 0, 0, 0].tolist() == [1]
    assert source.train.images.shape == (0, 1, 4, 4)
    assert source.classes == ()


def palette(transparent: bool = False) -> Image.Image:
    image = Image.new("P", (6, 6), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    if transparent:
        image.info["transparency"] = 1
    return image


MODES = {
    "1.png": (Image.new("1", (6, 6), 1), (255, 255, 255)),
    "L.png": (Image.new("L", (6, 6), 77), (77, 77, 77)),
    "LA.png": (Image.new("LA", (6, 6), (77, 255)), (77, 77, 77)),
    "P.png": (palette(), (10, 20, 30)),
    "clear P.gif": (palette(transparent=True), (255, 255, 255)),
    "RGB.png": (Image.new("RGB", (6, 6), (10, 20, 30)), (10, 20, 30)),
    "RGBA.png": (Image.new("RGBA", (6, 6), (10, 20, 30, 255)), (10, 20, 30)),
    "clear.png": (Image.new("RGBA", (6, 6), (10, 20, 30, 0)), (255, 255, 255)),
    "I16.png": (Image.new("I;16", (6, 6), 257 * 77), (77, 77, 77)),
    "I.tiff": (Image.new("I", (6, 6), 257 * 77), (77, 77, 77)),
    "F.tiff": (Image.new("F", (6, 6), 0.2), (51, 51, 51)),
    "F255.tiff": (Image.new("F", (6, 6), 51.2), (51, 51, 51)),
    "CMYK.tiff": (Image.new("CMYK", (6, 6), (0, 255, 255, 0)), (255, 0, 0)),
    "RGB.gif": (Image.new("RGB", (6, 6), (10, 20, 30)), (10, 20, 30)),
    "RGB.webp": (Image.new("RGB", (6, 6), (10, 20, 30)), (10, 20, 30)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_gives_its_colour(tmp_path: Path, name: str) -> None:
    image, colour = MODES[name]
    options = {"lossless": True} if name.endswith("webp") else {}
    read = read_one(tmp_path, name, image, **options)
    assert torch.equal(read, torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4))


def test_colour_becomes_grey(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "1.png", Image.new("RGB", (6, 6), (255, 0, 0)))
    assert read_folder(tmp_path, 4, channels=1).train.images.flatten().tolist() == [76] * 16


def stripes(width: int, height: int) -> Image.Image:
    """Draw left to right a black, a grey and a white third."""
    row = np.repeat(np.array([0, 128, 255], dtype=np.uint8), width // 3)
    return Image.fromarray(np.tile(row, (height, 1)))


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(24, 8, [128] * 4), (48, 16, [128] * 4), (6, 2, [128] * 4), (24, 24, [0, 128, 128, 255])],
)
def test_shorter_side_is_scaled_and_the_centre_cut(
    tmp_path: Path, width: int, height: int, expected: list[int]
) -> None:
    save(tmp_path / "train" / "a" / "1.png", stripes(width, height))
    image = read_folder(tmp_path, 8, channels=1).train.images[0, 0]
    assert torch.equal(image, image[:1].expand(8, 8))
    away_from_edges = image[0, [1, 3, 4, 6]].int() - torch.tensor(expected)
    assert away_from_edges.abs().max() <= 16


def test_image_of_the_right_size_is_left_alone(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    save(tmp_path / "train" / "a" / "1.png", Image.fromarray(pixels))
    read = read_folder(tmp_path, 8, channels=1).train.images[0, 0]
    assert torch.equal(read, torch.from_numpy(pixels))


def test_camera_orientation_is_obeyed(tmp_path: Path) -> None:
    upright = np.zeros((16, 16, 3), dtype=np.uint8)
    upright[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    lying = Image.fromarray(np.rot90(upright).copy())
    save(tmp_path / "train" / "a" / "1.jpg", lying, exif=exif, quality=100)
    read = read_folder(tmp_path, 16, channels=3).train.images[0].int()
    assert (read - torch.from_numpy(upright).permute(2, 0, 1).int()).abs().max() < 8


def test_large_photograph_is_read_as_its_small_self(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 600, dtype=np.uint8), (400, 1))
    save(tmp_path / "train" / "a" / "1.jpg", Image.fromarray(ramp).convert("RGB"))
    image = read_folder(tmp_path, 10, channels=3).train.images[0, 0].float()
    middle = torch.linspace(255 / 6, 255 * 5 / 6, 11)
    assert (image - (middle[1:] + middle[:-1]) / 2).abs().max() < 3


def problems(root: Path) -> list[str]:
    with pytest.raises(SimclrError) as caught:
        read_folder(root, 4, channels=1)
    first, *others = str(caught.value).splitlines()
    assert first == f"data.root={root} cannot be used:"
    return [line.removeprefix(f"  {root}/") for line in others]


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "good.png")
    save(tmp_path / "train" / "astray.png")
    (tmp_path / "train" / "empty").mkdir()
    cut = save(tmp_path / "unlabeled" / "cut.jpg", Image.effect_noise((64, 64), 50))
    cut.write_bytes(cut.read_bytes()[:1000])
    save(tmp_path / "unlabeled" / "text.png").write_text("not an image")
    save(tmp_path / "unlabeled" / "void.gif").write_bytes(b"")
    save(tmp_path / "val" / "b" / "new class.png")
    (tmp_path / "test" / "a").mkdir(parents=True)
    found = problems(tmp_path)
    starts = [
        "train/astray.png: not in a class folder",
        "test: no images",
        "train/empty: no images",
        "val/b: no such class in train/",
        "unlabeled/cut.jpg: cannot be read: ",
        "unlabeled/text.png: cannot be read: ",
        "unlabeled/void.gif: cannot be read: ",
    ]
    assert all(line.startswith(start) for line, start in zip(found, starts, strict=True))


def test_only_so_many_problems_are_named(tmp_path: Path) -> None:
    for index in range(103):
        save(tmp_path / "train" / "a" / f"{index:03}.png").write_text("not an image")
    found = problems(tmp_path)
    named = [f"train/a/{index:03}.png:" for index in range(100)]
    assert [line[:16] for line in found[:100]] == named
    assert found[100:] == ["  and 3 more"]


def test_no_images_and_no_classes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert problems(tmp_path) == ["train: no images"]
    with pytest.raises(SimclrError, match=f"data.root={tmp_path}/absent: .* no folder train"):
        read_folder(tmp_path / "absent", 4, channels=1)


def test_hidden_files_are_passed_over_and_strays_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "train" / "a" / "1.png")
    save(tmp_path / "train" / ".checkpoints" / "1.png")
    save(tmp_path / "train" / "a" / "._1.png").write_text("a resource fork")
    (tmp_path / "train" / "a" / "notes.txt").touch()
    (tmp_path / "unlabelled").mkdir()
    source = read_folder(tmp_path, 4, channels=1)
    assert source.classes == ("a",)
    assert len(source.train.images) == 1
    messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(messages) == 2
    assert str(tmp_path / "unlabelled") in messages[0]
    assert str(tmp_path / "train" / "a" / "notes.txt") in messages[1]
