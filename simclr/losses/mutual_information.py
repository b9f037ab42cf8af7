"""Invariant information clustering: two views of an image should fall into one cluster."""

import torch
import torch.distributed as dist
from torch import Tensor

_SUM_TOLERANCE = 0.01  # half precision rounds a sum of shares by less, logits miss it by more


def information_loss(p0: Tensor, p1: Tensor, *, gather: bool = False) -> Tensor:
    """Negative mutual information of the clusters of two views (Ji et al. 2019, eq. 3).

    With P the mean of ``p0_i p1_i^T`` over the batch, made symmetric, and c, c' the clusters of the
    two views under P, it is ``H(c, c') - H(c) - H(c')``, in nats: 0 if the views are independent,
    -ln K if they agree, and all assignments are certain and all clusters equally full.
    Computed in float32 under any autocast; float64 stays float64.

    Args:
        p0: Soft assignments of the first views, (..., B, K); each row sums to 1.
        p1: Those of the second views, (..., B, K); row i belongs to row i of ``p0``.
        gather: Average P over all processes of ``torch.distributed``, where it is initialised; all
            call with the same shape. The loss is that of the global batch, the gradient that of the
            sum of all processes' losses, so that averaging the processes' parameter gradients, as
            DDP does, is exact.

    Returns:
        The loss of each batch, (...).

    Raises:
        ValueError: The views are not floating point of one shape (..., B, K) with B >= 1, or
            rows are no shares: negative, or of a sum other than 1.
    """
    if p0.shape != p1.shape or p0.ndim < 2 or p0.shape[-2] == 0:
        raise ValueError(
            "the two views need one shape (..., B, K) with B >= 1, "
            f"got {tuple(p0.shape)} and {tuple(p1.shape)}"
        )
    if not (p0.is_floating_point() and p1.is_floating_point()):
        raise ValueError(f"assignments must be floating point, got {p0.dtype} and {p1.dtype}")
    for shares in (p0.detach(), p1.detach()):
        if bool(((shares < 0).any(-1) | ((shares.sum(-1) - 1).abs() > _SUM_TOLERANCE)).any()):
            raise ValueError(
                "each row of the assignments must be shares that sum to 1; of logits take softmax"
            )
    dtype = torch.promote_types(torch.promote_types(p0.dtype, p1.dtype), torch.float32)
    with torch.autocast(p0.device.type, enabled=False):
        joint = p0.to(dtype).mT @ p1.to(dtype)
        joint = (joint + joint.mT) / (2 * p0.shape[-2])
        if gather and dist.is_available() and dist.is_initialized():
            own = joint.detach()
            joint = joint + (_mean(own) - own)  # every process has the same gradient
        joint = joint.clamp(min=torch.finfo(dtype).tiny)  # the logarithm of 0 has no gradient
        marginal = joint.sum(-1)
        entropy, joint_entropy = torch.special.entr(marginal), torch.special.entr(joint)
        loss: Tensor = joint_entropy.sum((-2, -1)) - 2 * entropy.sum(-1)
        return loss


def _mean(own: Tensor) -> Tensor:
    total = own.clone()
    dist.all_reduce(total)
    return total.div_(dist.get_world_size())
