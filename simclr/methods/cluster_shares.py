"""What a student learns: the clusters of all unlabelled images."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from simclr.errors import SimclrError
from simclr.evaluation.label_spreading import spread
from simclr.files import write_whole
from simclr.methods.base import Features, Job
from simclr.models.batch_norm import measure_batch_norm
from simclr.models.encoders import Encoder

CLUSTER_SHARES = "cluster_shares.safetensors"  # beside the checkpoints
TOLERANCE = 1e-3  # of the spread shares, relative; they are targets and no result


def cluster_shares(job: Job, encoder: Encoder, heads: nn.Linear) -> Tensor:
    """The clusters of all unlabelled images, spread over the graph of nearest neighbours.

    Neighbours outvote an image whose cluster is wrong, as labels do in `label_spread`, whose graph
    and alpha these are.

    Args:
        job: the job.
        encoder: of the second stage. Its batch norm gets the statistics of whole images.
        heads: its cluster heads.

    Returns:
        float16 (N, K): a row's numbers are shares of 1 for each head.
    """
    config = job.config
    measure_batch_norm(encoder, job.splits.unlabelled)
    features = Features(encoder, job)
    with torch.inference_mode():
        logits = heads(features.unlabelled).float().split(config.clustering.heads, 1)
    alpha = config.label_spread.alpha
    spread_out = [
        spread(features.graph, own.softmax(1).cpu(), alpha, TOLERANCE).clamp(min=0)
        for own in logits
    ]
    return torch.cat([own / own.sum(1, keepdim=True) for own in spread_out], 1).half()


def save_shares(folder: Path, shares: Tensor) -> None:
    """Write the shares beside the checkpoints, for a training that goes on."""
    folder.mkdir(exist_ok=True)
    write_whole(folder / CLUSTER_SHARES, save({"shares": shares}))


def load_shares(folder: Path, images: int, clusters: int) -> Tensor:
    """The shares that a stopped training of a student had.

    Raises:
        SimclrError: if they are missing or do not fit.
    """
    path = folder / CLUSTER_SHARES
    try:
        shares = load(path.read_bytes())["shares"]
    except (OSError, SafetensorError, KeyError) as error:
        raise SimclrError(
            f"checkpoint: {path} belongs to it, but cannot be read ({error}); "
            "put it beside the checkpoint"
        ) from error
    if shares.shape != (images, clusters) or not shares.isfinite().all():
        raise SimclrError(
            f"checkpoint: {path} does not hold finite shares of {clusters} clusters for each of "
            f"{images} images"
        )
    return shares
