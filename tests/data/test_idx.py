"""IDX files: what is written is read back; anything else is one clear error."""

import gzip
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch

from simclr.data.idx import read_idx, write_idx
from simclr.errors import SimclrError


def random_tensor(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("shape", [(7,), (3, 5, 4), (2, 3, 5, 4), (0, 28, 28), (1,) * 70])
def test_reads_what_was_written(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    tensor = random_tensor(*shape)
    write_idx(tmp_path / name, tensor)
    assert torch.equal(read_idx(tmp_path / name), tensor)


def test_layout_is_the_published_one(tmp_path: Path) -> None:
    write_idx(tmp_path / "images", torch.tensor([[1, 2, 3], [4, 5, 255]], dtype=torch.uint8).T)
    content = (tmp_path / "images").read_bytes()
    assert content == bytes.fromhex("00000802 00000003 00000002 01 04 02 05 03 ff")


def test_content_tells_gzip_from_raw(tmp_path: Path) -> None:
    tensor = random_tensor(4, 4)
    write_idx(tmp_path / "raw", tensor)
    (tmp_path / "raw").rename(tmp_path / "raw.gz")
    write_idx(tmp_path / "packed.gz", tensor)
    (tmp_path / "packed.gz").rename(tmp_path / "packed")
    assert torch.equal(read_idx(tmp_path / "raw.gz"), tensor)
    assert torch.equal(read_idx(tmp_path / "packed"), tensor)


def test_result_can_be_changed_in_place(tmp_path: Path) -> None:
    write_idx(tmp_path / "images", torch.zeros(4, dtype=torch.uint8))
    assert read_idx(tmp_path / "images").add_(1).tolist() == [1, 1, 1, 1]


def header(*dims: int, dtype: int = 8) -> bytes:
    return bytes([0, 0, dtype, len(dims)]) + struct.pack(f">{len(dims)}I", *dims)


BAD = {
    "empty": (b"", "0 bytes"),
    "text": (b"hello world", "68 65 6c 6c"),
    "float32": (header(1, dtype=13) + bytes(4), "00 00 0d 01"),
    "no dimensions": (b"\0\0\x08\0\x07", "number of dimensions"),
    "cut header": (header(2, 2, 2)[:9], "truncated inside the header"),
    "cut data": (header(2, 3) + bytes(5), "says 2x3 bytes, but only 5 follow"),
    "surplus": (header(2, 3) + bytes(7), "too long: its header says 2x3 bytes"),
    "billions of images": (header(2**31, 28, 28) + bytes(9), "2147483648x28x28"),
    "nothing in too many places": (header(0, *[2**32 - 1] * 3), "overflow"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize("case", BAD)
def test_says_what_is_wrong(tmp_path: Path, case: str, pack: type[bytes]) -> None:
    content, expected = BAD[case]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(pack(content))
    with pytest.raises(SimclrError, match=f"^{path}: .*{expected}"):
        read_idx(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(SimclrError, match=f"^{path}: no such file"):
            read_idx(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    write_idx(path, random_tensor(64, 8, 8))
    good = path.read_bytes()
    for damaged in (good[:-20], good[:-6] + b"\0" + good[-5:], good[:30] + b"\xff" * 8 + good[38:]):
        path.write_bytes(damaged)
        with pytest.raises(SimclrError, match=f"^{path}: "):
            read_idx(path)


def test_small_claim_over_a_gzip_bomb_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(1000) + bytes(100 << 20), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(SimclrError, match="too long"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_random_damage_gives_the_right_answer_or_an_error(tmp_path: Path) -> None:
    dice = random.Random(0)
    tensor = random_tensor(3, 4, 5)
    names = ("fuzz", "fuzz.gz")
    for name in names:
        write_idx(tmp_path / name, tensor)
    whole = [(tmp_path / name).read_bytes() for name in names]
    path = tmp_path / "damaged"
    errors: list[str] = []
    for _ in range(600):
        content = bytearray(dice.choice(whole))
        match dice.randrange(3):
            case 0:
                del content[dice.randrange(len(content)) :]
            case 1:
                content += dice.randbytes(dice.randint(1, 9))
            case 2:
                content = bytearray(b"\0\0\x08" + dice.randbytes(dice.randrange(40)))
        path.write_bytes(content)
        try:
            read = read_idx(path)
        except SimclrError as error:
            errors.append(str(error))
        else:
            raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else bytes(content)
            assert raw == header(*read.shape) + read.numpy().tobytes()
    assert len(errors) > 500
    assert all(str(path) in message for message in errors)


def test_every_changed_header_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "images"
    write_idx(path, random_tensor(3, 4, 5))
    good = path.read_bytes()
    for position in range(16):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(SimclrError, match=f"^{path}: "):
            read_idx(path)


def test_only_uint8_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float32"):
        write_idx(tmp_path / "images", torch.zeros(3))
