"""The classifier: an encoder, and a linear layer on its representations."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.data.batches import EVAL_BATCH
from simclr.data.images import Images
from simclr.data.streaming import StreamedImages
from simclr.errors import SimclrError
from simclr.evaluation.probe import FeatureNorm, softmax_regression
from simclr.models.encoders import Encoder


class Classifier(nn.Module):
    """Encoder, an optional normalisation of its features, and a linear layer.

    Args:
        encoder: images to representations.
        num_classes: C.
        norm: applied to the representations; None leaves them as they are.
    """

    def __init__(self, encoder: Encoder, num_classes: int, norm: FeatureNorm | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = norm or nn.Identity()
        self.linear = nn.Linear(encoder.dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) in [0, 1] to logits (B, num_classes)."""
        return self.classify(self.encoder(images))

    def classify(self, features: Tensor) -> Tensor:
        """Representations (B, D) to logits (B, num_classes), in float32 under autocast, too.

        In bfloat16, dividing the weights by a temperature would change some predictions.
        """
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.linear(self.norm(features.float()))
        return logits

    def fit_linear(self, features: Tensor, labels: Tensor, l2: float) -> None:
        """Set the linear layer to the softmax regression on representations (B, D)."""
        weight, bias = softmax_regression(self.norm(features), labels, self.linear.out_features, l2)
        self.linear.load_state_dict({"weight": weight, "bias": bias})

    @torch.no_grad()
    def soften(self, temperature: float) -> None:
        """Divide all logits by a temperature, in the linear layer's weights and biases."""
        for parameter in self.linear.parameters():
            parameter.div_(temperature)


@torch.inference_mode()
def extract_features(encoder: Encoder, images: Images, batch_size: int = EVAL_BATCH) -> Tensor:
    """Representations of uint8 images (N, C, H, W) by the encoder in eval mode, float32 (N, D).

    The encoder's mode is restored afterwards; its weights and statistics are not touched.

    Raises:
        SimclrError: if one is not finite.
        ValueError: if the images are floating point.
    """
    if not isinstance(images, StreamedImages) and images.is_floating_point():
        raise ValueError(f"images must be uint8, of 0 to 255; got {images.dtype}")
    training = encoder.training
    encoder.eval()
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    batches = [
        encoder(batch.to(device).float().div_(255)).float() for batch in images.split(batch_size)
    ]
    encoder.train(training)
    features = torch.cat(batches)
    if not features.isfinite().all():
        raise SimclrError(
            "The encoder's representations are not finite, so nothing can be learnt from them; "
            "pretrain anew with a lower optimizer.lr, or choose another encoder.weights"
        )
    return features


def extract_layers(encoder: Encoder, images: Images) -> list[Tensor]:
    """The encoder's inner features, if it has a map of them, and its representations.

    Args:
        encoder: its mode, weights and statistics stay as they are.
        images: uint8 (N, C, H, W).

    Returns:
        Float32 (N, 9 * C') and (N, D): the inner feature map, averaged over a grid of 3x3, and what
        `extract_features` returns.
    """
    if encoder.inner is None:
        return [extract_features(encoder, images)]
    grids: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, features: object) -> None:
        if isinstance(features, Tensor) and features.ndim == 4:  # not a transformer's tokens
            grids.append(F.adaptive_avg_pool2d(features, 3).flatten(1).float())

    hook = encoder.backbone.get_submodule(encoder.inner).register_forward_hook(keep)
    try:
        representations = extract_features(encoder, images)
    finally:
        hook.remove()
    return [*([torch.cat(grids)] if grids else []), representations]
