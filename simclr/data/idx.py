"""IDX, the file format of MNIST, for uint8: raw or gzip-compressed."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from simclr.errors import SimclrError

GZIP_MAGIC = b"\x1f\x8b"
UINT8 = 0x08
CHUNK = 1 << 20
LARGE, RATIO = 1 << 29, 100  # unpacked bytes, and as a multiple of the packed, that no images have


def read_idx(path: Path) -> Tensor:
    """Read a uint8 IDX file of any number of dimensions; content, not name, tells gzip from raw.

    Memory stays below what the file really holds, whatever its header claims.

    Raises:
        SimclrError: if the file cannot be read, or is not exactly what its header says.
    """
    if not path.is_file():
        raise SimclrError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if not compressed:
                return _parse(file, path)
            with gzip.GzipFile(fileobj=file) as stream:
                return _parse(stream, path, largest=max(LARGE, RATIO * path.stat().st_size))
    except (OSError, EOFError, zlib.error) as error:
        raise SimclrError(f"{path}: cannot be read: {error}") from error


def write_idx(path: Path, tensor: Tensor) -> None:
    """Write a uint8 tensor of 1 to 255 dimensions as IDX, gzip-compressed if the name ends in .gz.

    Raises:
        ValueError: if the tensor is not uint8.
    """
    if tensor.dtype != torch.uint8:
        raise ValueError(f"IDX files hold uint8 here, got {tensor.dtype}")
    header = bytes([0, 0, UINT8, tensor.ndim]) + struct.pack(f">{tensor.ndim}I", *tensor.shape)
    content = header + tensor.flatten().numpy(force=True).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _parse(stream: BinaryIO | gzip.GzipFile, path: Path, largest: float = math.inf) -> Tensor:
    shape = _parse_header(stream, path)
    size = math.prod(shape)
    described = f"its header says {'x'.join(map(str, shape))} bytes"
    if size > largest:
        raise SimclrError(f"{path}: {described}, more than {RATIO} times what it packs them into")
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(CHUNK, size - len(content)))):
        content += chunk
    if len(content) < size:
        raise SimclrError(f"{path}: truncated: {described}, but only {len(content)} follow")
    if stream.read(1):
        raise SimclrError(f"{path}: too long: {described}, but more follow")
    try:
        if size == 0:
            return torch.empty(shape, dtype=torch.uint8)
        return torch.frombuffer(content, dtype=torch.uint8).reshape(shape)
    except RuntimeError as error:
        raise SimclrError(f"{path}: {described}: {error}") from error


def _parse_header(stream: BinaryIO | gzip.GzipFile, path: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise SimclrError(f"{path}: truncated: {len(magic)} bytes, too few for an IDX header")
    if magic[:3] != bytes([0, 0, UINT8]) or magic[3] == 0:
        raise SimclrError(
            f"{path}: not an IDX file of uint8: starts with {magic.hex(' ')}, "
            "expected 00 00 08 and the number of dimensions"
        )
    dims = stream.read(4 * magic[3])
    if len(dims) < 4 * magic[3]:
        raise SimclrError(f"{path}: truncated inside the header, which has {magic[3]} dimensions")
    return struct.unpack(f">{magic[3]}I", dims)
