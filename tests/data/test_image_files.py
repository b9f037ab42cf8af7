"""Decoding: odd tags, deep images, large ones and broken ones."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simclr.data import image_files
from simclr.data.folder import read_folder
from simclr.data.image_files import read_image, read_images, value_range
from simclr.errors import SimclrError

SHAPE = (1, 4, 4)


def tiff(path: Path, value: float, mode: str = "F") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 4), value).save(path)
    return path


def exif_block(tag: int, kind: int, content: bytes) -> bytes:
    """EXIF with orientation 6 and one more tag of this type, whose content lies after the tags."""
    entries = {0x0112: struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)}
    entries[tag] = struct.pack(">HHII", tag, kind, 1, 8 + 2 + 24 + 4)
    listed = b"".join(entries[key] for key in sorted(entries))
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + listed + bytes(4) + content


ODD = {
    "XResolution of (-1, 0)": (0x011A, 10, struct.pack(">ii", -1, 0)),
    "XResolution as unsigned": (0x011A, 5, struct.pack(">II", 2**32 - 1, 0)),
    "YResolution as a signed one": (0x011B, 10, struct.pack(">ii", -1, 0)),
    "ResolutionUnit as a fraction": (0x0128, 10, struct.pack(">ii", -1, 0)),
    "Exif block outside the file": (0x8769, 4, struct.pack(">I", 2**31)),
    "GPS block that is a fraction": (0x8825, 10, struct.pack(">ii", -1, 0)),
    "an unknown type": (0x0132, 99, b"2020"),
    "cut content": (0x011A, 10, b""),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_tags_do_not_make_a_file_unreadable(tmp_path: Path, case: str) -> None:
    upright = np.zeros((16, 16), dtype=np.uint8)
    upright[:8] = 255
    path = tmp_path / "1.jpg"
    lying = Image.fromarray(np.rot90(upright).copy())
    lying.save(path, exif=exif_block(*ODD[case]), quality=100)
    read = read_image(path, (1, 16, 16))[0].int()
    assert (read - torch.from_numpy(upright).int()).abs().max() < 8


def test_a_block_that_is_no_exif_does_not_matter(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 77).save(tmp_path / "1.jpg", exif=b"Exif\0\0 no such thing")
    assert read_image(tmp_path / "1.jpg", SHAPE).unique().tolist() == [77]


@pytest.mark.parametrize(
    ("mode", "values", "expected", "white"),
    [
        ("F", (0, 1_000, 4_095), [0, 62, 255], 4_095),
        ("F", (0.0, 0.5, 1.02), [0, 128, 255], 1),
        ("F", (-1, 0, 1), [0, 128, 255], 1),
        ("F", (0, 0.01, 0.02), [0, 128, 255], 0.02),
        ("I", (0, 51, 255), [0, 51, 255], 255),
        ("I", (0, 500_000, 1_000_000), [0, 128, 255], 1_000_000),
    ],
)
def test_one_range_serves_all_deep_images(
    tmp_path: Path, mode: str, values: tuple[float, ...], expected: list[int], white: float
) -> None:
    for index, value in enumerate(values):
        tiff(tmp_path / "train" / "a" / f"{index}.tiff", value, mode)
    source = read_folder(tmp_path, 4, 1)
    assert source.train.images[:, 0, 0, 0].tolist() == expected
    assert f"{white:g} white" in source.remarks[0]


def test_images_of_8_and_16_bits_have_no_range_of_their_own(tmp_path: Path) -> None:
    paths = [tiff(tmp_path / f"{mode}.tiff", 200, mode) for mode in ("L", "I;16")]
    assert value_range(paths) is None
    assert read_image(paths[1], SHAPE).unique().tolist() == [1]


def test_a_value_that_is_no_number_is_black_and_counts_for_nothing(tmp_path: Path) -> None:
    pixels = np.array([[np.nan, 0.5], [1, np.inf]], dtype=np.float32)
    Image.fromarray(pixels).save(tmp_path / "1.tiff")
    assert value_range([tmp_path / "1.tiff"]) == (0, 1)
    assert read_image(tmp_path / "1.tiff", (1, 2, 2)).flatten().tolist() == [0, 128, 255, 255]


def test_transparency_of_16_bit_grey_is_white(tmp_path: Path) -> None:
    pixels = np.full((4, 4), 257 * 50, dtype=np.uint16)
    pixels[:2] = 257 * 10
    Image.fromarray(pixels).save(tmp_path / "1.png", transparency=257 * 10)
    assert read_image(tmp_path / "1.png", SHAPE)[0, :, 0].tolist() == [255, 255, 50, 50]


def test_the_limit_of_pixels_is_a_key(tmp_path: Path) -> None:
    tiff(tmp_path / "train" / "a" / "1.png", 7, "L")
    with pytest.raises(SimclrError, match=r"1\.png: .*4x4 pixels, more than data\.max_pixels=15"):
        read_folder(tmp_path, 4, 1, max_pixels=15)
    assert len(read_folder(tmp_path, 4, 1, max_pixels=16).train.labels) == 1


def test_processes_read_many_files_as_threads_read_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for number, path in enumerate(paths):
        Image.new("L", (4, 4), number).save(path)
    paths[2].write_bytes(b"no image")
    few, wrong_of_few = read_images(paths, (1, 4, 4))

    monkeypatch.setattr(image_files, "MANY", 7)
    monkeypatch.setattr(image_files, "CHUNK", 3)
    monkeypatch.delattr(image_files, "ThreadPoolExecutor")
    many, wrong_of_many = read_images(paths, (1, 4, 4))
    assert few[:, 0, 0, 0].tolist() == [0, 1, 0, 3, 4, 5, 6]
    assert many.equal(few)
    assert wrong_of_few == wrong_of_many
    assert [place for place, problem in enumerate(wrong_of_many) if problem] == [2]


def unlabelled(root: Path, whole: int, broken: int) -> None:
    for index in range(whole + broken):
        path = tiff(root / "unlabeled" / f"{index:02}.png", index, "L")
        if index >= whole:
            path.write_text("no image")
    tiff(root / "train" / "a" / "1.png", 200, "L")


def test_a_few_broken_unlabelled_images_are_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unlabelled(tmp_path, whole=18, broken=2)
    source = read_folder(tmp_path, 4, 1)
    assert source.unlabelled is not None
    assert source.unlabelled[:][:, 0, 0, 0].tolist() == list(range(18))
    assert source.left_out == {"broken": 2}
    assert "18.png: cannot be read" in caplog.text
    assert "19.png: cannot be read" in caplog.text


def test_many_broken_ones_are_refused_and_labelled_ones_always(tmp_path: Path) -> None:
    unlabelled(tmp_path / "many", whole=17, broken=3)
    with pytest.raises(SimclrError, match=r"17\.png: cannot be read"):
        read_folder(tmp_path / "many", 4, 1)
    unlabelled(tmp_path / "labelled", whole=20, broken=0)
    (tmp_path / "labelled" / "train" / "a" / "2.png").write_text("no image")
    with pytest.raises(SimclrError, match=r"2\.png: cannot be read"):
        read_folder(tmp_path / "labelled", 4, 1)


def test_streamed_images_go_on_without_a_broken_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unlabelled(tmp_path, whole=19, broken=1)
    files = read_folder(tmp_path, 4, 1, stream="always").unlabelled
    assert files is not None
    for _ in range(2):
        assert files[torch.tensor([3, 19, 5])][:, 0, 0, 0].tolist() == [3, 3, 5]
    assert caplog.text.count("19.png: cannot be read") == 1
