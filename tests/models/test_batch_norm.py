"""Batch norm's statistics: those of the images, whatever was seen before."""

import pytest
import torch
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig
from simclr.models.batch_norm import SAMPLE, measure_batch_norm
from simclr.models.encoders import Encoder


def images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)


def encoder() -> Encoder:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 3, 4), nn.BatchNorm2d(3), nn.Flatten())
    made = Encoder(EncoderConfig(), backbone, 3)
    made(5 * torch.rand(8, 1, 4, 4))  # statistics of something else
    return made


@pytest.mark.parametrize("count", [7, 1_000])
def test_statistics_are_those_of_the_images(count: int) -> None:
    measured, seen = encoder(), images(count)
    measure_batch_norm(measured, seen)
    conv, norm, _ = measured.backbone.children()
    outputs = conv(seen.float() / 255).flatten(1)
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(norm.running_mean, outputs.mean(0))
    torch.testing.assert_close(norm.running_var, outputs.var(0), rtol=0.02, atol=0)


def test_weights_mode_and_images_stay() -> None:
    measured, untouched, seen = encoder().eval(), encoder(), images(20)
    measure_batch_norm(measured, seen)
    assert not any(module.training for module in measured.modules())
    for after, before in zip(measured.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(after, before)
    assert torch.equal(seen, images(20))


def test_no_image_is_left_alone_in_a_batch() -> None:
    """Which batch norm would refuse."""
    measure_batch_norm(encoder(), images(501))


def test_same_images_whenever_there_are_more_than_enough() -> None:
    first, second = encoder(), encoder()
    seen = images(SAMPLE + 10)
    measure_batch_norm(first, seen)
    torch.rand(3)
    measure_batch_norm(second, seen)
    for one, other in zip(first.buffers(), second.buffers(), strict=True):
        assert torch.equal(one, other)


def test_an_encoder_without_batch_norm_stays_as_it_is() -> None:
    plain = Encoder(EncoderConfig(), nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), 3)
    before = plain(torch.ones(2, 1, 4, 4))
    measure_batch_norm(plain, images(20))
    assert torch.equal(plain(torch.ones(2, 1, 4, 4)), before)
