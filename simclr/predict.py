"""What a trained classifier says about image files: `python -m simclr.predict --help`."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from simclr.data.image_files import read_images
from simclr.data.walk import image_paths
from simclr.errors import SimclrError
from simclr.models.weights import TrainedClassifier, load_classifier
from simclr.pipes import while_read

BATCH = 256


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the classifier says about one image.

    Attributes:
        path: of the file.
        probabilities: of each class by its name, the most probable first.
        embedding: float32 (D,), the encoder's representation.
    """

    path: Path
    probabilities: dict[str, float]
    embedding: Tensor

    @property
    def best(self) -> tuple[str, float]:
        """The most probable class and its probability."""
        return next(iter(self.probabilities.items()))


def predict(
    classifier: TrainedClassifier, paths: Sequence[Path], batch_size: int = BATCH
) -> Iterator[Prediction | SimclrError]:
    """Classify image files of any size and mode, prepared as in training.

    Args:
        classifier: from `load_classifier`, on any device.
        paths: the files.
        batch_size: how many are in memory at once.

    Yields:
        For each file, in order, a prediction, or an error that says why it cannot be read.
    """
    device = classifier.linear.weight.device
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        images, problems = read_images(batch, classifier.shape)
        with torch.inference_mode():
            embeddings = classifier.encoder(images.to(device).float() / 255)
            shares = classifier.classify(embeddings).softmax(1).cpu()
        for path, problem, share, embedding in zip(
            batch, problems, shares, embeddings.cpu(), strict=True
        ):
            if problem is not None:
                yield SimclrError(problem)
                continue
            order = share.argsort(descending=True).tolist()
            probabilities = {classifier.classes[index]: float(share[index]) for index in order}
            yield Prediction(path, probabilities, embedding)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 if every file was read."""
    options = _parser().parse_args(arguments)
    try:
        if options.embeddings and not options.embeddings.parent.is_dir():
            raise SimclrError(f"--embeddings {options.embeddings}: no such folder")
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
                print(found, file=sys.stderr)
                continue
            if options.embeddings:
                embeddings.append(found.embedding)
            yield found

    _WRITERS[options.format](readable(), sys.stdout)
    if options.embeddings:
        rows = torch.stack(embeddings) if embeddings else torch.empty(0, classifier.encoder.dim)
        np.save(options.embeddings, rows.numpy())
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
        print(f"{one.path}: {name} ({probability:.1%})", file=out)


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
