"""Inputs that nobody thought of: what must hold for all of them, tried on a few random ones."""

import gzip
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from simclr.config.augment import AugmentConfig
from simclr.data.idx import read_idx
from simclr.data.labels import draw_labels, split
from simclr.errors import SimclrError
from simclr.losses.nt_xent import nt_xent
from simclr.views import build_views

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**31 - 1)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Label draws


@few
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    per_class=st.integers(1, 12),
    seed=seeds,
)
def test_a_draw_is_exactly_what_was_asked_for_or_refused(
    labels: list[int], per_class: int, seed: int
) -> None:
    known, classes = torch.tensor(labels), "abcdef"
    scarce = min(labels.count(number) for number in range(len(classes)))
    if scarce < per_class:
        with pytest.raises(SimclrError, match=f"labels.per_class={per_class}: class '[a-f]' has"):
            draw_labels(known, classes, per_class, seed)
        return
    drawn = draw_labels(known, classes, per_class, seed)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert known[drawn].bincount().tolist() == [per_class] * len(classes)
    assert torch.equal(drawn, draw_labels(known, classes, per_class, seed))


@few
@given(classes=st.integers(1, 6), each=st.integers(1, 9), seed=seeds, data=st.data())
def test_a_possible_draw_succeeds(classes: int, each: int, seed: int, data: Any) -> None:
    labels = torch.arange(classes).repeat(each)[
        torch.randperm(classes * each, generator=random(seed))
    ]
    per_class = data.draw(st.integers(1, each))
    drawn = draw_labels(labels, [str(name) for name in range(classes)], per_class, seed)
    assert labels[drawn].bincount().tolist() == [per_class] * classes


@few
@given(total=st.integers(1, 200), seed=seeds, data=st.data())
def test_a_split_has_every_image_once(total: int, seed: int, data: Any) -> None:
    val_images = data.draw(st.integers(0, total))
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=total, max_size=total)))
    train, val = split(labels, val_images, seed)
    assert len(val) == val_images
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(total))
    if len(labels.unique()) <= (total - val_images) // 2:
        assert {*labels[train].tolist()} == {*labels.tolist()}


# IDX files


def idx_like() -> st.SearchStrategy[bytes]:
    """Headers that claim anything, with little after them; and no headers at all."""
    sizes = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 4), max_size=5)
    headers = sizes.map(
        lambda dims: b"\0\0\x08" + bytes([len(dims)]) + b"".join(d.to_bytes(4, "big") for d in dims)
    )
    return st.tuples(headers | st.binary(max_size=8), st.binary(max_size=64)).map(b"".join)


@few
@given(content=idx_like(), pack=st.sampled_from([bytes, gzip.compress]), cut=st.integers(0, 12))
def test_any_bytes_are_read_right_or_refused(
    content: bytes, pack: Callable[[bytes], bytes], cut: int
) -> None:
    """And what a header claims is not allocated: it may say 2^31 images."""
    written = pack(content)
    written = written[: len(written) - cut]
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(written)
        tracemalloc.start()
        try:
            tensor = read_idx(path)
        except SimclrError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
        else:
            count = content[3]
            dims = [int.from_bytes(content[4 * i + 4 : 4 * i + 8], "big") for i in range(count)]
            assert list(tensor.shape) == dims
            assert tensor.numel() == math.prod(dims)
            assert tensor.flatten().numpy().tobytes() == content[4 + 4 * count :]
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 4 << 20


# Views


ranges = st.floats(0.1, 3).flatmap(lambda low: st.floats(low, 3).map(lambda high: [low, high]))
augmentations = st.builds(
    AugmentConfig,
    rotation=st.floats(0, 180),
    scale=ranges,
    aspect=st.floats(0, 2),
    shear=st.floats(0, 2),
    shift=st.floats(0, 1),
    elastic=st.floats(0, 100),
    elastic_grid=st.integers(2, 8),
    crop_area=st.none() | st.floats(0.01, 1).map(lambda low: [low, 1.0]),
    flip=st.floats(0, 1),
    thickness=st.floats(0, 1),
    stroke=st.floats(0, 1),
    stroke_length=st.floats(0, 40),
    stroke_width=st.floats(1, 40),
    erasing=st.integers(0, 40),
    gamma=st.floats(0, 3),
    blur=st.floats(0, 3),
    noise=st.floats(0, 1),
    brightness=st.floats(0, 1),
    contrast=st.floats(0, 1),
    saturation=st.floats(0, 1),
    hue=st.floats(0, 0.5),
    grey=st.floats(0, 1),
)


@few
@given(
    config=augmentations,
    shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), *[st.integers(1, 20)] * 2),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.float16]),
    seed=seeds,
)
def test_views_are_finite_and_in_range(
    config: AugmentConfig, shape: tuple[int, ...], dtype: torch.dtype, seed: int
) -> None:
    images = torch.rand(shape, generator=random(seed))
    images = images.mul(255).to(dtype) if dtype == torch.uint8 else images.to(dtype)
    for view in build_views(config).pair(images, random(seed)):
        assert view.shape == images.shape
        assert view.dtype == torch.float32
        assert bool(view.isfinite().all())
        assert 0 <= float(view.min()) <= float(view.max()) <= 1


# The loss


def plain(z0: Tensor, z1: Tensor, temperature: float) -> float:
    """NT-Xent as the paper's Algorithm 1 has it, in double precision."""
    z = torch.cat((z0, z1)).double()
    z = z / z.norm(dim=1, keepdim=True)
    total, count = 0.0, len(z)
    for i in range(count):
        scores = (z @ z[i] / temperature).tolist()
        others = [score for k, score in enumerate(scores) if k != i]
        largest = max(others)
        log_sum = largest + math.log(sum(math.exp(score - largest) for score in others))
        total += log_sum - scores[(i + count // 2) % count]
    return total / count


@few
@given(
    batch=st.integers(2, 9),
    dim=st.integers(1, 20),
    temperature=st.floats(0.01, 100),
    size=st.floats(1e-3, 1e3),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    seed=seeds,
)
def test_nt_xent_is_that_of_the_paper(
    batch: int, dim: int, temperature: float, size: float, dtype: torch.dtype, seed: int
) -> None:
    z = (size * torch.randn(2, batch, dim, generator=random(seed))).to(dtype)
    assume(bool((z.float().norm(dim=2) > 0).all()))
    z.requires_grad_()
    z0, z1 = z
    loss = nt_xent(z0, z1, temperature)
    expected = plain(z0.detach(), z1.detach(), temperature)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    loss.backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())
