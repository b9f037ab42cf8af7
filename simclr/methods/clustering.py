"""The second stage of pretraining: SimCLR and clustering (Ji et al. 2019, arXiv:1807.06653)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from simclr.config.schema import ClusteringConfig
from simclr.losses.mutual_information import information_loss
from simclr.methods.simclr import SimCLR


class Clustering(SimCLR):
    """SimCLR with linear heads that assign both views of an image to the same cluster.

    Each head maximises the mutual information between the clusters of the two views.

    Args:
        clustering: the number of clusters of each head, and the weight of their loss.
        arguments: of `SimCLR`.
    """

    curves = (*SimCLR.curves, "cluster_information")

    def __init__(self, *, clustering: ClusteringConfig, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.clustering_config = clustering
        self.cluster_heads = nn.Linear(self.encoder.dim, sum(clustering.heads))

    def training_step(self, views: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The loss, and the projections of both views (2B, D), which callbacks look at."""
        representations = self.encoder(torch.cat(views))
        loss, projections, metrics = self.contrast(representations)
        information = self.information(self.cluster_heads(representations))
        loss = loss - self.clustering_config.weight * information
        self.log_training(loss, metrics | {"cluster_information": information.detach()})
        return {"loss": loss, "projections": projections.detach()}

    def information(self, logits: Tensor) -> Tensor:
        """Mutual information in nats, mean over heads, of the logits (2B, K) of all heads."""
        heads = logits.split(self.clustering_config.heads, dim=1)
        padded = pad_sequence(
            [head.T for head in heads], batch_first=True, padding_value=-torch.inf
        )
        p0, p1 = padded.softmax(1, dtype=torch.float32).mT.chunk(2, dim=1)
        return -information_loss(p0, p1, gather=self.trainer.world_size > 1).mean()
