"""Classification of image files with a trained classifier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from simclr.data.image_files import read_images
from simclr.errors import SimclrError
from simclr.models.weights import TrainedClassifier

BATCH = 256


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one image.

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
