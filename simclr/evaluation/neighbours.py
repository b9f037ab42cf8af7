"""The graph of nearest neighbours among features: exact for few, approximate for many."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array, diags_array
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

EXACT_UP_TO = 10_000  # features: so few are all compared with each other
PROBES = 6  # clusters that a feature is compared with, on average
SAMPLE = 20_000  # features that k-means looks at
BLOCK_ROWS = 2_000  # of a similarity matrix, held at once


def neighbour_graph(features: Tensor, k: int) -> csr_array:
    """Symmetrically normalised affinities between each feature and its k nearest by cosine.

    A neighbour weighs max(cosine, 0)^3, as in Iscen et al. 2019, "Label propagation for deep
    semi-supervised learning", arXiv:1904.04717.

    Args:
        features: (N, D).
        k: neighbours of each, itself excluded; all others if there are fewer.

    Returns:
        Float32 (N, N): D^-1/2 (A + A^T) D^-1/2 with the degrees D of A + A^T.
    """
    count = len(features)
    cosines, neighbours = nearest(F.normalize(features), min(k, count - 1))
    affinities = cosines.clamp(min=0).pow(3).flatten().numpy()
    places = (neighbours.flatten().numpy(), np.arange(count + 1) * neighbours.shape[1])
    one_way = csr_array((affinities, *places), shape=(count, count))
    both_ways = one_way + one_way.T
    degrees = both_ways.sum(axis=1)
    scale = diags_array(1 / np.sqrt(degrees.clip(min=np.finfo(degrees.dtype).tiny)))
    return scale @ both_ways @ scale


def nearest(units: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest others of each of N unit vectors by cosine, and their positions.

    Up to `EXACT_UP_TO` vectors, all are compared. Of more, each is compared with those in some
    clusters of k-means only (an inverted file; Sivic and Zisserman 2003, "Video Google"), so that
    the time grows with N^1.5 instead of N^2.

    Args:
        units: float32 (N, D), on the CPU.
        k: less than N.

    Returns:
        Cosines, float32 (N, k), the largest first, and positions, int64 (N, k). A cosine of -2
        stands where fewer than k others were compared.
    """
    cosines = torch.full((len(units), k), -2.0)
    neighbours = torch.zeros(len(units), k, dtype=torch.int64)
    for members, compared in _comparisons(units):
        others = units[members]
        for rows in compared.split(BLOCK_ROWS):
            block = units[rows] @ others.T
            block.masked_fill_(rows[:, None] == members, -2)  # itself
            found = block.topk(min(k, len(members)))
            merged = torch.cat((cosines[rows], found.values), dim=1)
            positions = torch.cat((neighbours[rows], members[found.indices]), dim=1)
            cosines[rows], best = merged.topk(k)
            neighbours[rows] = positions.gather(1, best)
    return cosines, neighbours


def _comparisons(units: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Positions of the members of a cluster, and of all vectors to compare with them.

    A vector is compared with a cluster if the distance to its centre is at most so many times
    that to the nearest centre. A vector between clusters, whose neighbours may be in any of them,
    is so compared with more of them than one in the middle of its own.
    """
    count = len(units)
    if count <= EXACT_UP_TO:
        everything = torch.arange(count)
        yield everything, everything
        return
    sample = units[:: -(-count // SAMPLE)]
    k_means = KMeans(round(count**0.5 / 2), init="random", n_init=1, max_iter=10, random_state=0)
    with threadpool_limits(1):  # sums of several threads are rounded in any order
        centres = torch.from_numpy(k_means.fit(sample.numpy()).cluster_centers_)
    ratios, _ = _ratios(sample, centres)
    most = ratios.flatten().kthvalue(PROBES * len(sample)).values
    clusters, near = [], []
    for part in units.split(SAMPLE):
        ratios, nearest_cluster = _ratios(part, centres)
        clusters.append(nearest_cluster)
        near.append(ratios <= most)
    own, compared = torch.cat(clusters), torch.cat(near)
    for cluster, column in enumerate(compared.T):
        yield (own == cluster).nonzero().flatten(), column.nonzero().flatten()


def _ratios(units: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The distance to each centre over that to the nearest one, (N, C), and which that is, (N,)."""
    distances = torch.cdist(units, centres)
    least, cluster = distances.min(dim=1, keepdim=True)
    return distances / least.clamp(min=1e-6), cluster.flatten()
