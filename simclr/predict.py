"""The command `python -m simclr.predict`: classify image files with a trained classifier."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from simclr.data.walk import image_paths
from simclr.errors import SimclrError
from simclr.files import printable, write_whole
from simclr.inference import Prediction, predict
from simclr.models.weights import load_classifier
from simclr.pipes import while_read


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if every file was read."""
    options = _parser().parse_args(arguments)
    try:
        if options.embeddings:
            _check_place(options.embeddings)
        classifier = load_classifier(options.classifier)
        paths = [path for given in options.images for path in _files(given)]
    except SimclrError as error:
        print(error, file=sys.stderr)
        return 1
    if torch.accelerator.is_available():
        classifier.to(torch.accelerator.current_accelerator())
    embeddings: list[Tensor] = []
    unread = 0

    def readable() -> Iterator[Prediction]:
        nonlocal unread
        for found in predict(classifier, paths):
            if isinstance(found, SimclrError):
                unread += 1
                print(printable(str(found)), file=sys.stderr)
                continue
            if options.embeddings:
                embeddings.append(found.embedding)
            yield found

    _WRITERS[options.format](readable(), sys.stdout)
    if options.embeddings:
        rows = torch.stack(embeddings) if embeddings else torch.empty(0, classifier.encoder.dim)
        try:
            _save(options.embeddings, rows)
        except OSError as error:
            reason = f"cannot be written: {error.strerror or error}"
            print(f"--embeddings {options.embeddings}: {reason}", file=sys.stderr)
            return 1
    return int(unread > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m simclr.predict", description="Classify images with a trained classifier."
    )
    parser.add_argument("classifier", type=Path, help="classifier.safetensors of a run")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="a file, or a folder of files"
    )
    parser.add_argument(
        "--format",
        choices=_WRITERS,
        default="text",
        help="text: best class and probability; csv: the same as a table; "
        "json: a list of objects, with the probability of every class",
    )
    parser.add_argument(
        "--embeddings", type=Path, metavar="OUT.npy", help="save representations, float32 (N, D)"
    )
    return parser


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise SimclrError(f"--embeddings {path}: no such folder")
    if path.exists() and not path.is_file():
        raise SimclrError(f"--embeddings {path}: no ordinary file")


def _save(path: Path, rows: Tensor) -> None:
    """Write a .npy file of exactly this name, whole or not at all."""
    content = BytesIO()
    np.save(content, rows.numpy())
    write_whole(path, content.getvalue())


def _files(given: Path) -> list[Path]:
    if not given.exists():
        raise SimclrError(f"{given}: no such file or folder")
    if not given.is_dir():
        return [given]
    if not (found := image_paths(given)):
        raise SimclrError(f"{given}: no images in this folder")
    return found


def _write_text(predictions: Iterable[Prediction], out: TextIO) -> None:
    for one in predictions:
        name, probability = one.best
        print(printable(f"{one.path}: {name} ({probability:.1%})"), file=out)


def _write_csv(predictions: Iterable[Prediction], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("file", "class", "probability"))
    for one in predictions:
        name, probability = one.best
        writer.writerow((one.path, name, f"{probability:.6f}"))


def _write_json(predictions: Iterable[Prediction], out: TextIO) -> None:
    """One list, an entry at a time."""
    before = "[\n"
    for one in predictions:
        name, probability = one.best
        entry = {"file": str(one.path), "class": name, "probability": probability}
        out.write(before + json.dumps(entry | {"probabilities": one.probabilities}))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


_WRITERS = {"text": _write_text, "csv": _write_csv, "json": _write_json}


if __name__ == "__main__":
    raise SystemExit(while_read(main))
