"""Label propagation over the graph of nearest neighbours among features."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array
from torch import Tensor

TOLERANCE = 1e-12  # of the residual, relative; at small alpha distant nodes have tiny values
MAX_STEPS = 10_000


def spread_labels(
    graph: csr_array, indices: Tensor, labels: Tensor, num_classes: int, alpha: float
) -> Tensor:
    """Propagate labels over a graph.

    Every class gets the same total, as if all classes were equally frequent (class mass
    normalisation; Zhu et al. 2003, "Semi-supervised learning using Gaussian fields and harmonic
    functions").

    Args:
        graph: S, from `neighbour_graph`.
        indices: int64 (M,), the nodes that have labels.
        labels: int64 (M,), theirs.
        num_classes: C.
        alpha: share that a node takes from its neighbours.

    Returns:
        Float32 (N, C), shares of the classes, which sum to 1; equal ones where no label arrived.
    """
    given = torch.zeros(graph.shape[0], num_classes)
    given[indices, labels] = 1
    settled = spread(graph, given, alpha)
    tiny = torch.finfo(torch.float32).tiny  # no class without labels has more
    shares = (settled / settled.sum(0).clamp(min=tiny)).clamp(min=tiny)
    return (shares / shares.sum(1, keepdim=True)).float()


def spread(graph: csr_array, given: Tensor, alpha: float, tolerance: float = TOLERANCE) -> Tensor:
    """Spread numbers over a graph to the fixed point: (I - alpha S) Z = (1 - alpha) Y.

    The limit of Z <- alpha S Z + (1 - alpha) Y (Zhou et al. 2004, "Learning with local and global
    consistency"), but for the factor 1 - alpha, solved by conjugate gradients, which need far fewer
    steps than that iteration.

    Args:
        graph: S, from `neighbour_graph`.
        given: Y, (N, C).
        alpha: share that a node takes from its neighbours.
        tolerance: of the residual, relative.

    Returns:
        Float64 (N, C): Z / (1 - alpha).
    """
    system = (eye_array(graph.shape[0]) - alpha * graph.astype(np.float64)).tocsr()
    return torch.from_numpy(_solve(system, given.double().numpy(), tolerance))


def _solve(system: csr_array, right: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Conjugate gradients for all columns of the right side (N, C) at once."""
    tiny = np.finfo(np.float64).tiny  # a column that is solved already divides by no less
    solution, residual, direction = np.zeros_like(right), right.copy(), right.copy()
    squared = (residual**2).sum(axis=0)
    enough = tolerance**2 * squared
    for _ in range(MAX_STEPS):
        if (squared <= enough).all():
            break
        image = system @ direction
        step = squared / (direction * image).sum(axis=0).clip(min=tiny)
        solution += step * direction
        residual -= step * image
        before, squared = squared, (residual**2).sum(axis=0)
        direction = residual + squared / before.clip(min=tiny) * direction
    return solution
