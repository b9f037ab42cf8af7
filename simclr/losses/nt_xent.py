"""NT-Xent, the contrastive loss of SimCLR, in memory that grows with the batch and not its square.

The similarity matrix is symmetric: only its upper triangle is computed, in blocks of rows, and an
embedding's gradient in both of its roles, anchor and column, is one product, ``(P + P^T) u``. It is
computed along with the loss, so nothing of the matrix waits for the backward pass. Across
processes the same product needs, besides everyone's embeddings, only everyone's denominators.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

_BLOCK_ROWS = 512  # more spare less of the lower triangle, fewer make thin matrix products
_BLOCK_BYTES = 32 * 2**20  # more, and the C library hands each block's pages back to the system
_KEPT_BYTES = 256 * 2**20  # a triangle up to this size is kept for the gradient, not recomputed


def nt_xent(
    z0: Tensor,
    z1: Tensor,
    temperature: float = 0.5,
    *,
    decoupled: bool = False,
    block_rows: int | None = None,
    gather: bool = False,
) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al. 2020, eq. 1 and Algorithm 1).

    Each of the 2B embeddings is an anchor, the other view of the same image its positive, and the
    remaining 2B - 2 embeddings its negatives. Computed in float32 under any autocast; float64
    stays float64. One pair alone has no negatives: loss and gradient are 0.

    Derivatives of any order with respect to the embeddings are right. With ``create_graph=True``
    the gradient is computed by autograd from the whole similarity matrix, in memory that grows
    with the square of the batch. ``torch.func`` and forward-mode derivatives raise RuntimeError.

    Args:
        z0: Embeddings of the first views, shape (B, D), not normalised.
        z1: Embeddings of the second views, shape (B, D); row i belongs to row i of ``z0``.
        temperature: Divisor of the cosine similarities, a constant.
        decoupled: Leave the positive out of the denominator (DCL, Yeh et al. 2022, eq. 6).
        block_rows: Rows of the similarity matrix held at once. By default up to 512 in at most
            32 MiB; and all are kept for the gradient where half the matrix fits in 256 MiB.
        gather: Take negatives from every process of ``torch.distributed``, where it is
            initialised; all call with the same B. The loss is the mean over this process's 2B
            anchors. The gradient is that of the sum of all processes' losses, so that averaging
            the processes' parameter gradients, as DDP does, is exact for the global batch.

    Returns:
        The mean loss over the 2B anchors, a scalar.

    Raises:
        ValueError: The views are not floating point of one shape (B, D) with B >= 1, or
            ``temperature`` or ``block_rows`` is out of range, or ``temperature`` is a tensor
            that expects a gradient.
        RuntimeError: A second derivative is asked for where embeddings were gathered from several
            processes.
    """
    return _nt_xent(z0, z1, temperature, decoupled, block_rows, gather, accuracy=False)[0]


def nt_xent_with_accuracy(
    z0: Tensor,
    z1: Tensor,
    temperature: float = 0.5,
    *,
    decoupled: bool = False,
    block_rows: int | None = None,
    gather: bool = False,
) -> tuple[Tensor, Tensor]:
    """`nt_xent` and the contrastive accuracy from the same similarities.

    Returns:
        The loss, and the fraction of the 2B anchors to which the positive is nearer than every
        negative (a tie is a miss, so collapsed embeddings score 0): two scalars, the second
        detached.
    """
    return _nt_xent(z0, z1, temperature, decoupled, block_rows, gather, accuracy=True)


def _nt_xent(
    z0: Tensor,
    z1: Tensor,
    temperature: float,
    decoupled: bool,
    block_rows: int | None,
    gather: bool,
    accuracy: bool,
) -> tuple[Tensor, Tensor]:
    if z0.shape != z1.shape or z0.ndim != 2 or len(z0) == 0:
        raise ValueError(
            "the two views need one shape (B, D) with B >= 1, "
            f"got {tuple(z0.shape)} and {tuple(z1.shape)}"
        )
    if not (z0.is_floating_point() and z1.is_floating_point()):
        raise ValueError(f"embeddings must be floating point, got {z0.dtype} and {z1.dtype}")
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        raise ValueError("temperature gets no gradient: pass a number, or temperature.detach()")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    if block_rows is not None and block_rows < 1:
        raise ValueError(f"block_rows must be at least 1, got {block_rows}")
    z = torch.cat((z0, z1))
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    smallest = torch.finfo(z.dtype).eps  # the cosines' rounding, divided by T, is no more than 1
    if temperature < smallest:
        raise ValueError(
            f"temperature must be at least {smallest:.1e} in {z.dtype}, got {temperature}"
        )
    with torch.autocast(z.device.type, enabled=False):
        result: tuple[Tensor, Tensor] = _NTXent.apply(
            z, temperature, decoupled, block_rows, gather, accuracy
        )
    return result


class _NTXent(torch.autograd.Function):
    """Loss and accuracy of embeddings (2B, D) with the views of image i in rows i and B + i."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        temperature: float,
        decoupled: bool,
        block_rows: int | None,
        gather: bool,
        accuracy: bool,
    ) -> tuple[Tensor, Tensor]:
        n, half = len(z), len(z) // 2
        norm = torch.linalg.vector_norm(z, dim=1, keepdim=True)
        norm.masked_fill_(norm == 0, math.inf)  # no direction: similarities and gradient 0
        unit = z / norm
        columns = _own_first(unit) if gather else unit
        similarities = _Similarities(unit, columns, temperature, block_rows)
        positive, negatives, hits = similarities.reduce(accuracy)
        margin = negatives - positive
        if decoupled and len(columns) > 2:
            losses, attraction, denominator = margin, torch.ones_like(margin), negatives
        else:  # softplus(margin) = log(exp(positive) + exp(negatives)) - positive
            losses, attraction = F.softplus(margin), margin.sigmoid()
            denominator = negatives.logaddexp(positive)
        if ctx.needs_input_grad[0]:
            gradient = similarities.repulsion(_own_first(denominator) if gather else denominator)
            attraction = attraction + attraction.roll(half)
            gradient.addcmul_(attraction[:, None], unit.roll(half, 0), value=-1)
            radial = (gradient * unit).sum(1, keepdim=True)
            gradient.addcmul_(radial, unit, value=-1).div_(norm * (n * temperature))
            ctx.save_for_backward(z, gradient)
            ctx.options = temperature, decoupled
            ctx.gathered = len(columns) > n
        ctx.mark_non_differentiable(hits)
        return losses.mean(), hits

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        z, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient is differentiated itself
            if ctx.gathered:
                raise RuntimeError(
                    "nt_xent has no second derivatives across processes: use gather=False, or "
                    "create_graph=False"
                )
            loss = _differentiable(z, *ctx.options)
            (gradient,) = torch.autograd.grad(loss, z, create_graph=True)
        return gradient * grad_loss, None, None, None, None, None


def _differentiable(z: Tensor, temperature: float, decoupled: bool) -> Tensor:
    """The same loss from the whole similarity matrix, made of operations that autograd knows."""
    n, half = len(z), len(z) // 2
    nowhere = (z == 0).all(1, keepdim=True)  # no direction: similarities and derivatives 0
    unit = F.normalize(z.masked_fill(nowhere, 1), eps=0).masked_fill(nowhere, 0)
    own = torch.eye(n, dtype=torch.bool, device=z.device)
    logits = (unit @ unit.T / temperature).masked_fill(own, -math.inf)
    positives = own.roll(half, 0)
    if decoupled and n > 2:
        denominators = logits.masked_fill(positives, -math.inf).logsumexp(1)
    else:
        denominators = logits.logsumexp(1)
    return (denominators - logits[positives]).mean()


class _Similarities:
    """exp(u_i . v_k / T) of anchors u (n, D) and columns v (m, D), of which the first n are u.

    Computed in blocks of rows, zero where column k is no negative of anchor i. A block begins at
    the column of its own first row, since what lies left of there is known by symmetry. Where a
    tiny T could take exp out of its range, the blocks hold the logits instead.
    """

    def __init__(
        self, anchors: Tensor, columns: Tensor, temperature: float, block_rows: int | None
    ) -> None:
        n, row_bytes = len(anchors), len(columns) * anchors.element_size()
        rows = block_rows or min(_BLOCK_ROWS, max(1, _BLOCK_BYTES // row_bytes))
        self.spans = [(start, min(start + rows, n)) for start in range(0, n, rows)]
        self.keep = block_rows is None and n * row_bytes // 2 <= _KEPT_BYTES
        self.kept: list[Tensor] = []
        self.anchors, self.columns, self.scaled = anchors, columns, anchors / temperature
        self.positive = anchors.new_empty(n // 2)
        largest = 1 / temperature + math.log(len(columns))  # cosines are bounded by 1
        self.in_logs = largest > -math.log(torch.finfo(anchors.dtype).tiny)

    def reduce(self, accuracy: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Each anchor's positive logit and log-sum-exp over its negatives, (n,); the accuracy."""
        n = len(self.anchors)
        total, nearest = self.anchors.new_full((2, n), -math.inf if self.in_logs else 0.0)
        for start, stop, block in self._blocks():
            mirror = block[:, stop - start : n - start]
            if self.in_logs:
                total[start:stop] = total[start:stop].logaddexp(block.logsumexp(1))
                total[stop:] = total[stop:].logaddexp(mirror.logsumexp(0))
            else:
                total[start:stop] += block.sum(1)
                total[stop:] += mirror.sum(0)
            if accuracy:
                nearest[start:stop] = nearest[start:stop].maximum(block.amax(1))
                nearest[stop:] = nearest[stop:].maximum(mirror.amax(0))
        positive = self.positive.repeat(2)
        hits = (positive > nearest).to(total.dtype).mean()
        return (positive, total, hits) if self.in_logs else (positive.log(), total.log(), hits)

    def repulsion(self, denominator: Tensor) -> Tensor:
        """(P + P^T) v over the negatives, where P_ik = exp(logit_ik - denominator_i)."""
        n = len(self.anchors)
        result = torch.zeros_like(self.anchors)
        inverse = denominator.neg().exp_()
        for start, stop, block in self._blocks():
            if self.in_logs:
                column_role = (block - denominator[start:]).exp_()
                block.sub_(denominator[start:stop, None]).exp_().add_(column_role)
            else:
                block.mul_(inverse[start:stop, None] + inverse[start:])
            result[start:stop].addmm_(block, self.columns[start:])
            result[stop:].addmm_(block[:, stop - start : n - start].T, self.anchors[start:stop])
        return result

    def _blocks(self) -> Iterator[tuple[int, int, Tensor]]:
        half = len(self.positive)
        for index, (start, stop) in enumerate(self.spans):
            if index < len(self.kept):
                yield start, stop, self.kept[index]
                continue
            block = self.scaled[start:stop] @ self.columns[start:].T
            if not self.in_logs:
                block.exp_()
            own = block[:, : len(self.anchors) - start]
            pairs = own.diagonal(half)
            self.positive[start : start + len(pairs)] = pairs
            for offset in (0, half, -half):
                own.diagonal(offset).fill_(-math.inf if self.in_logs else 0.0)
            if self.keep:
                self.kept.append(block)
            yield start, stop, block


def _own_first(values: Tensor) -> Tensor:
    """Gather `values` (n, ...) from all processes into one tensor, this process's first."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values)
    rank = dist.get_rank()
    return torch.cat(parts[rank:] + parts[:rank])
