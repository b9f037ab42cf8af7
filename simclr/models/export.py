"""A classifier as one ONNX file, for use without this code."""

from pathlib import Path

import torch
from torch import Tensor, nn

from simclr.models.classifier import Classifier


class _FromBytes(nn.Module):
    """The classifier with its preprocessing inside: uint8 images in, logits out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images.float() / 255)
        return logits


def export_onnx(classifier: Classifier, shape: tuple[int, int, int], path: Path) -> None:
    """Write a file that maps `images` uint8 (B, C, H, W), any B, to `logits` (B, num_classes)."""
    model = _FromBytes(classifier.cpu()).eval()
    example = torch.zeros(2, *shape, dtype=torch.uint8)
    torch.onnx.export(
        model,
        (example,),
        path,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        external_data=False,
        verbose=False,
    )
