"""The third stage of pretraining: a larger encoder learns the clusters of a trained one."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simclr.methods.clustering import Clustering


class Student(Clustering):
    """The second stage's losses for a new encoder, with a teacher that says which cluster is which.

    The teacher sees whole images, the student their views. A larger network passes its teacher, as
    in Xie et al. 2020, "Self-training with noisy student", arXiv:1911.04252; here without a label.

    Args:
        teacher: float images (B, C, H, W) to the logits (B, K) of all cluster heads; frozen.
        arguments: of `Clustering`.
    """

    curves = (*Clustering.curves, "teacher_error")

    def __init__(self, *, teacher: nn.Module, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.teacher = teacher.requires_grad_(False).eval()

    def training_step(  # type: ignore[override]
        self, batch: tuple[Tensor, tuple[Tensor, Tensor]], batch_idx: int
    ) -> dict[str, Tensor]:
        """The loss, and the projections of both views (2B, D); `batch`: of `StudentDataModule`."""
        images, views = batch
        representations = self.encoder(torch.cat(views))
        loss, projections, metrics = self.contrast(representations)
        logits = self.cluster_heads(representations)
        information = self.information(logits)
        error = self.error(logits, self.teacher(images))
        loss = loss + self.clustering_config.weight * (error - information)
        metrics |= {"cluster_information": information.detach(), "teacher_error": error.detach()}
        self.log_training(loss, metrics)
        return {"loss": loss, "projections": projections.detach()}

    def error(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Cross-entropy in nats of the student's clusters, mean over views and heads.

        Args:
            logits: (2B, K) of all heads, the views of image i in rows i and B + i.
            taught: the teacher's (B, K).
        """
        heads = self.clustering_config.heads
        errors = [
            F.cross_entropy(own.float(), shares.softmax(1, dtype=torch.float32).repeat(2, 1))
            for own, shares in zip(logits.split(heads, 1), taught.split(heads, 1), strict=True)
        ]
        return torch.stack(errors).mean()
