"""A classifier as one ONNX file, for use without this code."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from simclr.models.classifier import Classifier

PREPARATION = (
    "grey (1 channel) or RGB (3); the shorter side scaled to the image size, bilinear, and the "
    "centre cut out; uint8 of 0 to 255, not normalised: the model divides by 255"
)


class _FromBytes(nn.Module):
    """The classifier with its preprocessing inside: uint8 images in, logits out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(images.float() / 255)
        return logits


def export_onnx(
    classifier: Classifier, shape: tuple[int, int, int], classes: Sequence[str], path: Path
) -> None:
    """Write a file that maps `images` uint8 (B, C, H, W), any B, to `logits` (B, num_classes).

    Its metadata say what a user has to know: `classes` (a JSON list, a name for each logit),
    `image_size` (height x width), `channels`, and `preparation` in words.

    Args:
        classifier: moved to the CPU.
        shape: (C, H, W) of its images.
        classes: a name for each logit.
        path: of the file.
    """
    import onnx

    module = _FromBytes(classifier.cpu()).eval()
    example = torch.zeros(2, *shape, dtype=torch.uint8)
    torch.onnx.export(
        module,
        (example,),
        path,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        external_data=False,
        verbose=False,
    )
    channels, height, width = shape
    model = onnx.load(path)
    metadata = {
        "classes": json.dumps(list(classes)),
        "image_size": f"{height}x{width}",
        "channels": str(channels),
        "preparation": PREPARATION,
    }
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
