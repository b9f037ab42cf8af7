"""The statistics of batch norm, measured on whole images."""

import torch
from torch.optim.swa_utils import update_bn

from simclr.data.batches import EVAL_BATCH
from simclr.data.images import Images
from simclr.models.encoders import Encoder

SAMPLE = 10_000  # images tell mean and variance to one per cent


def measure_batch_norm(encoder: Encoder, images: Images) -> None:
    """Replace batch norm's statistics, which come from views, by those of whole images.

    Li et al. 2017, "Revisiting batch normalization for practical domain adaptation": here views
    are the source and whole images the target. An encoder without batch norm stays as it is.

    Args:
        encoder: changed in place; its weights, mode and device stay.
        images: uint8 (N, C, H, W), unlabelled; at most `SAMPLE` are used, evenly spaced.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    device = next(encoder.parameters()).device
    batches = order.tensor_split(-(-len(order) // EVAL_BATCH))
    update_bn((images[batch].to(device).float().div_(255) for batch in batches), encoder)
