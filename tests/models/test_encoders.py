"""Encoders: any image size, one or three channels, and the width they promise."""

import pytest
import torch
from torch import Tensor, nn

from simclr.config.schema import EncoderConfig
from simclr.models.classifier import extract_features, extract_layers
from simclr.models.encoders import Encoder, WholeGrid, build_encoder

CONFIGS = {
    "cnn": EncoderConfig(channels=[16, 32, 64, 128], convs_per_stage=1),
    "two stages": EncoderConfig(channels=[8, 24], convs_per_stage=1),
    "deeper": EncoderConfig(channels=[8, 16, 32], convs_per_stage=2),
    "resnet18": EncoderConfig(name="resnet18"),
    "timm": EncoderConfig(name="timm", model="mobilenetv3_small_050"),
}
INNER = {"cnn": 64, "two stages": 8, "deeper": 16, "resnet18": 256, "timm": 24}
DIMS = {"cnn": 128, "two stages": 24, "deeper": 32, "resnet18": 512, "timm": 1024}


def build(name: str, in_channels: int = 1) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(CONFIGS[name], in_channels)


def images(channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, channels, height, width, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(28, 28), (32, 32), (17, 23)])
@pytest.mark.parametrize("name", CONFIGS)
def test_images_of_any_size_become_representations(
    name: str, size: tuple[int, int], channels: int
) -> None:
    encoder = build(name, channels)
    representations = encoder(images(channels, *size))
    assert encoder.dim == DIMS[name]
    assert representations.shape == (3, DIMS[name])
    assert representations.isfinite().all()
    assert (representations.std(0) > 0).any()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_weight_gets_a_gradient(name: str) -> None:
    encoder = build(name)
    encoder(images(1, 28, 28)).square().sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_inner_features_are_what_the_last_stage_sees(name: str, channels: int) -> None:
    encoder = build(name, channels).eval()
    pixels = (images(channels, 28, 28) * 255).byte()
    inner, representations = extract_layers(encoder, pixels)
    assert inner.shape == (3, 9 * INNER[name])
    assert inner.isfinite().all()
    assert torch.equal(representations, extract_features(encoder, pixels))
    if isinstance(encoder.backbone, nn.Sequential):
        last_stage = encoder.backbone[-2:]
        with torch.inference_mode():
            torch.testing.assert_close(
                last_stage(inner.view(3, INNER[name], 3, 3)), representations
            )


@pytest.mark.parametrize("inner", [None, "0"])
def test_a_network_without_a_map_of_inner_features(inner: str | None) -> None:
    encoder = Encoder(EncoderConfig(), nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), 3, inner)
    (representations,) = extract_layers(encoder, torch.ones(5, 1, 4, 4, dtype=torch.uint8))
    assert representations.shape == (5, 3)


def test_a_part_that_timm_names_and_the_network_lacks() -> None:
    """It does not take the images of these tests, but others might."""
    assert build_encoder(EncoderConfig(name="timm", model="twins_svt_small"), 1).inner is None


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_of_the_whole_grid_is_the_general_one(
    memory_format: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    whole = WholeGrid(5, 7, 3, bias=False).to(memory_format=memory_format)
    grid = torch.randn(4, 5, 3, 3).contiguous(memory_format=memory_format)
    general = nn.functional.conv2d(grid, whole.weight).flatten(1)
    torch.testing.assert_close(whole(grid), general)


def test_resnet18_keeps_small_images_whole_up_to_its_second_stage() -> None:
    encoder = build("resnet18", 3)
    sizes = {}
    for stage in ("layer1", "layer2", "layer4"):
        encoder.backbone.get_submodule(stage).register_forward_hook(
            lambda module, inputs, output, stage=stage: sizes.update({stage: output.shape[2:]})
        )
    encoder(images(3, 32, 32))
    assert sizes == {"layer1": (32, 32), "layer2": (16, 16), "layer4": (4, 4)}


def test_more_convolutions_per_stage() -> None:
    def convolutions(encoder: Encoder) -> int:
        return sum(isinstance(module, nn.Conv2d) for module in encoder.modules())

    assert convolutions(build("deeper")) == 1 + 2 + 1
    assert convolutions(build("cnn")) == 1 + 2 + 1


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="no encoder named 'vgg'"):
        build_encoder(EncoderConfig(name="vgg"), 1)


def test_a_transformer_of_timm_takes_images_that_its_patches_divide() -> None:
    encoder = build_encoder(EncoderConfig(name="timm", model="vit_tiny_patch16_224"), 3)
    assert encoder(torch.zeros(2, 3, 32, 48)).shape == (2, encoder.dim)
