"""The third stage of pretraining: a larger encoder learns the clusters of a trained one."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.methods.encoder_training import EncoderTraining


class Student(EncoderTraining):
    """From views, predict the clusters that the second stage's encoder sees in whole images.

    A larger network passes its teacher, as in Xie et al. 2020, "Self-training with noisy student",
    arXiv:1911.04252; here without a label.

    Args:
        heads: number of clusters of each head.
        arguments: of `EncoderTraining`.
    """

    def __init__(self, *, heads: list[int], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.heads = heads
        self.cluster_heads = nn.Linear(self.encoder.dim, sum(heads))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy in nats, mean over views and heads.

        Args:
            batch: views (B, C, H, W), and the clusters' shares (B, K) of all heads.
            batch_idx: not used.
        """
        views, shares = batch
        logits = self.cluster_heads(self.encoder(views)).split(self.heads, 1)
        errors = [
            F.cross_entropy(own.float(), taught.float())
            for own, taught in zip(logits, shares.split(self.heads, 1), strict=True)
        ]
        loss = torch.stack(errors).mean()
        self.log_training(loss, {})
        return loss
