"""The projection head g(.) of Chen et al. 2020, section 2.1."""

from itertools import pairwise

from torch import nn

from simclr.config.schema import HeadConfig


def build_head(config: HeadConfig, in_dim: int) -> nn.Sequential:
    """An MLP from representations (B, in_dim) to projections (B, config.dim).

    Every hidden layer is followed by batch norm and ReLU; no hidden layers make it linear.
    """
    widths = [in_dim, *config.hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], config.dim))
