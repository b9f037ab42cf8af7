"""Which images to label, chosen from their representations alone."""

import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

NEIGHBOURS = 20  # whose distance tells how typical an image is; as in TypiClust
MOST_MEMBERS = 10_000  # of a cluster that are compared with each other
FEW_CLUSTERS = 15  # where k-means can leave a class without one; then the best of STARTS is taken
STARTS = 10
MOST_AT_ONCE = 100_000  # images that k-means takes whole; of more it takes small batches
BATCH = 10_000
BLOCK_ROWS = 2_000  # of a distance matrix, held at once


def choose_typical(
    features: Tensor, budget: int, seed: int, labelled: Tensor | None = None
) -> Tensor:
    """The images to label, in the order in which to label them.

    K-means makes as many clusters as there will be labels. A cluster with a labelled image is
    covered; each other one, the largest first, gives its most typical image: the one nearest to
    its `NEIGHBOURS` nearest neighbours in the cluster (TypiClust; Hacohen et al. 2022, "Active
    learning on a budget", arXiv:2202.02794). The first n of the images are a good choice, too,
    for every n: each next one lowers most the distance of all cluster centres, weighted by the
    size of the clusters, to the nearest image that has a label by then.

    Args:
        features: float32 (N, D), normalised representations.
        budget: how many images to choose; all if there are fewer.
        seed: of k-means; the same seed gives the same images.
        labelled: int64 (M,), positions of images that have labels already.

    Returns:
        Int64 positions, (min(budget, N - M),), none of them in `labelled`.
    """
    have = torch.empty(0, dtype=torch.int64) if labelled is None else labelled
    budget = min(budget, len(features) - len(have))
    if budget < 1:
        return torch.empty(0, dtype=torch.int64)
    features = features.cpu()
    clusters, centres = _cluster(features, min(budget + len(have), len(features)), seed)
    sizes = torch.bincount(clusters, minlength=len(centres))
    free = torch.ones(len(features), dtype=torch.bool)
    free[have] = False
    taken = torch.bincount(clusters[have], minlength=len(centres))
    picked = []
    for _ in range(budget):
        cluster = _next_cluster(clusters[free], sizes, taken)
        members = ((clusters == cluster) & free).nonzero().flatten()
        picked.append(_most_typical(features, members))
        free[picked[-1]] = False
        taken[cluster] += 1
    chosen = torch.tensor(picked)
    return chosen[_order(features[chosen], features[have], centres, sizes)]


def _cluster(features: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The cluster of each image, int64 (N,), and the centres, (count, D)."""
    if len(features) <= MOST_AT_ONCE:
        starts = STARTS if count <= FEW_CLUSTERS else 1
        k_means = KMeans(count, n_init=starts, random_state=seed)
    else:
        k_means = MiniBatchKMeans(count, batch_size=BATCH, n_init=1, random_state=seed)
    with threadpool_limits(1):  # sums of several threads are rounded in any order
        clusters = k_means.fit_predict(features.numpy())
    return torch.from_numpy(clusters).long(), torch.from_numpy(k_means.cluster_centers_)


def _next_cluster(free: Tensor, sizes: Tensor, taken: Tensor) -> int:
    """The largest of the clusters with the fewest labels, among those of the `free` images."""
    left = torch.bincount(free, minlength=len(sizes)) > 0
    fewest = left & (taken == taken[left].min())
    return int(torch.where(fewest, sizes, -1).argmax())


def _most_typical(features: Tensor, members: Tensor) -> int:
    """The member whose neighbours are nearest; of a large cluster, every k-th is compared."""
    members = members[:: -(-len(members) // MOST_MEMBERS)]
    own = features[members]
    count = min(NEIGHBOURS + 1, len(members))  # itself among them, at no distance
    distances = [
        torch.cdist(rows, own).topk(count, largest=False) for rows in own.split(BLOCK_ROWS)
    ]
    mean = torch.cat([block.values.mean(1) for block in distances])
    return int(members[mean.argmin()])


def _order(chosen: Tensor, have: Tensor, centres: Tensor, sizes: Tensor) -> list[int]:
    """The order of the images with features `chosen`, after those with features `have`."""
    weights = sizes.float()
    to_chosen = torch.cdist(chosen, centres)
    nearest = torch.cat((torch.full((1, len(centres)), 2.0), torch.cdist(have, centres))).amin(0)
    order: list[int] = []
    left = list(range(len(chosen)))
    while left:
        costs = torch.minimum(to_chosen[left], nearest) @ weights
        order.append(left.pop(int(costs.argmin())))
        nearest = torch.minimum(nearest, to_chosen[order[-1]])
    return order
