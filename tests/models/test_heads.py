"""The projection head: its widths, and that it ends in a linear layer."""

import pytest
import torch
from torch import Tensor, nn

from simclr.config.schema import HeadConfig
from simclr.models.heads import build_head


def representations() -> Tensor:
    return torch.randn(64, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hidden", [[], [10], [10, 12]])
def test_widths(hidden: list[int]) -> None:
    head = build_head(HeadConfig(hidden=hidden, dim=5), 6)
    assert head(representations()).shape == (64, 5)
    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [*hidden, 5]


def test_without_hidden_layers_it_is_linear() -> None:
    torch.manual_seed(0)
    head = build_head(HeadConfig(hidden=[], dim=5), 6)
    x, y = representations().chunk(2)
    torch.testing.assert_close(head(x + y) + head(torch.zeros_like(x)), head(x) + head(y))


def test_hidden_layers_are_normalised_and_rectified_but_not_the_projection() -> None:
    torch.manual_seed(0)
    head = build_head(HeadConfig(hidden=[10], dim=5), 6)
    hidden = head[:-1](representations())
    assert hidden.min() == 0
    assert (hidden > 0).any()
    before_relu = head[:-2](representations())
    torch.testing.assert_close(before_relu.mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(before_relu.var(0, correction=0), torch.ones(10), atol=1e-3, rtol=0)
    assert (head(representations()) < 0).any()
