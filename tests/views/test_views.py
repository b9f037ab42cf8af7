"""Views: what each transform does to pixels, and that nothing but its numbers decides it."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from simclr.checks import check
from simclr.config.augment import AugmentConfig, milder
from simclr.config.schema import Config
from simclr.errors import SimclrError
from simclr.views import (
    Blur,
    Colour,
    Erasing,
    ExtraStroke,
    Gamma,
    Geometry,
    Noise,
    Thickness,
    Transform,
    build_views,
)

PRESETS = Path(__file__).parents[2] / "conf" / "augment"

EVERY_TRANSFORM = [
    pytest.param(transform, id=type(transform).__name__)
    for transform in (
        Geometry(20, (0.7, 1.2), 0.2, 0.2, 0.1, elastic=1.5, crop_area=(0.3, 1.0), flip=0.5),
        Thickness(1.0),
        ExtraStroke(1.0, 10, 2.5),
        Erasing(6),
        Gamma(0.6),
        Blur(1.5),
        Noise(0.3),
        Colour(0.4, 0.4, 0.4, 0.1, 0.2),
    )
]


def preset(name: str) -> AugmentConfig:
    merged = OmegaConf.merge(
        OmegaConf.structured(AugmentConfig), OmegaConf.load(PRESETS / f"{name}.yaml")
    )
    return cast(AugmentConfig, OmegaConf.to_object(merged))


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def neutral(transform: Transform, rows: int, images: Tensor) -> Tensor:
    """Numbers in the middle of every symmetric range: zero rotation, shift, gamma, and so on."""
    channels, height, width = images.shape[1:]
    return torch.full((rows, transform.numbers((channels, height, width))), 0.5)


def view(transform: Transform, images: Tensor, seed: int = 0, views: int = 1) -> Tensor:
    channels, height, width = images.shape[1:]
    size = (views * len(images), transform.numbers((channels, height, width)))
    return transform(images, torch.rand(size, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("transform", EVERY_TRANSFORM)
class TestEveryTransform:
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 24), (4, 9, 5)])
    def test_keeps_shape_type_and_range(
        self, transform: Transform, shape: tuple[int, int, int]
    ) -> None:
        edge_cases = torch.stack([torch.zeros(shape), torch.ones(shape)])
        images = torch.cat([edge_cases, random_images(6, *shape)])
        views = view(transform, images, views=8)
        assert views.shape == (64, *shape)
        assert views.dtype == torch.float32
        assert views.min() >= 0  # false for NaN too
        assert views.max() <= 1

    @pytest.mark.parametrize("extreme", [0.0, 1 - 2**-24])
    def test_extreme_numbers_stay_in_range(self, transform: Transform, extreme: float) -> None:
        images = random_images(2, 3, 12, 12)
        views = transform(images, torch.full((2, transform.numbers((3, 12, 12))), extreme))
        assert views.min() >= 0
        assert views.max() <= 1

    def test_changes_each_image_its_own_way(self, transform: Transform) -> None:
        views = view(transform, random_images(1, 3, 20, 20).expand(8, -1, -1, -1))
        differences = torch.pdist(views.flatten(1))
        assert differences.min() > 0

    def test_a_view_depends_on_its_own_image_and_numbers_only(self, transform: Transform) -> None:
        images = random_images(4, 3, 20, 20)
        u = torch.rand(8, transform.numbers((3, 20, 20)))
        together = transform(images, u)
        for row in range(8):
            alone = transform(images[row % 4 : row % 4 + 1], u[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)

    def test_leaves_its_input_alone(self, transform: Transform) -> None:
        images = random_images(4, 3, 20, 20)
        u = torch.rand(4, transform.numbers((3, 20, 20)))
        images_before, u_before = images.clone(), u.clone()
        transform(images, u)
        assert torch.equal(images, images_before)
        assert torch.equal(u, u_before)


class TestGeometry:
    @pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 13, 20)])
    def test_zero_ranges_are_the_identity(self, shape: tuple[int, ...]) -> None:
        images = random_images(*shape)
        torch.testing.assert_close(view(Geometry(), images), images, atol=1e-5, rtol=0)

    @pytest.mark.parametrize(("u", "quarters"), [(1.0, 1), (0.0, -1)])
    def test_a_quarter_turn(self, u: float, quarters: int) -> None:
        images = random_images(2, 1, 11, 11)
        geometry = Geometry(rotation=90)
        numbers = neutral(geometry, 2, images)
        numbers[:, 0] = u
        expected = torch.rot90(images, quarters, dims=(2, 3))
        torch.testing.assert_close(geometry(images, numbers), expected, atol=1e-5, rtol=0)

    def test_rotations_are_symmetric_and_within_their_range(self) -> None:
        images = torch.zeros(1, 1, 41, 41)
        images[0, 0, 20, 30:36] = 1  # to the right of the centre
        x, y = centroids(view(Geometry(rotation=20), images, views=2000)).squeeze(1).unbind(1)
        degrees = torch.atan2(20 - y, x - 20).rad2deg()
        assert degrees.abs().max() < 21
        assert degrees.max() > 18
        assert degrees.min() < -18
        assert degrees.mean().abs() < 1

    def test_a_shift_moves_by_that_fraction_of_each_side(self) -> None:
        images = random_images(1, 2, 10, 20)
        geometry = Geometry(shift=0.1)
        numbers = neutral(geometry, 1, images)
        numbers[:, 4], numbers[:, 5] = 1.0, 0.0  # 2 pixels to the right, 1 up
        moved = geometry(images, numbers)
        torch.testing.assert_close(moved[..., :9, 2:], images[..., 1:, :18], atol=1e-5, rtol=0)
        assert moved[..., 9, :].abs().max() < 1e-5
        assert moved[..., :2].abs().max() < 1e-5

    def test_scale_and_aspect_resize_around_the_centre(self) -> None:
        images = torch.zeros(1, 1, 40, 40)
        images[..., 10:30, 10:30] = 1
        aspect = 2 * math.log(1.25)
        geometry = Geometry(scale=(0.5, 1.2), aspect=aspect)
        numbers = neutral(geometry, 1, images)
        numbers[:, 1], numbers[:, 2] = 1.0, 1.0  # 1.2 * 1.25 wide, 1.2 / 1.25 high
        resized = geometry(images, numbers)[0, 0]
        assert resized[20].sum() == pytest.approx(20 * 1.2 * 1.25, abs=0.1)
        assert resized[:, 20].sum() == pytest.approx(20 * 1.2 / 1.25, abs=0.1)
        torch.testing.assert_close(resized, resized.flip(0, 1), atol=1e-4, rtol=0)

    def test_shear_moves_rows_sideways(self) -> None:
        images = torch.zeros(1, 1, 21, 21)
        images[..., 10] = 1
        geometry = Geometry(shear=0.5)
        numbers = neutral(geometry, 1, images)
        numbers[:, 3] = 1.0
        columns = geometry(images, numbers)[0, 0].argmax(dim=1)
        assert columns[::2].tolist() == list(range(5, 16))

    def test_elastic_displacements_have_the_given_size(self) -> None:
        ramp = (torch.arange(28.0) / 27).expand(1, 1, 28, 28)
        views = view(Geometry(elastic=1.5, elastic_grid=4), ramp, views=4000)
        # Control points lie at 0, 9, 18 and 27; those at 9 and 18 never leave the ramp.
        displaced = (views[:, 0, 9:19:9, 9:19:9] - ramp[0, 0, 9:19:9, 9:19:9]) * 27
        assert displaced.std() == pytest.approx(1.5, rel=0.05)
        assert displaced.mean().abs() < 0.05

    def test_elastic_displacements_are_smooth(self) -> None:
        ramp = (torch.arange(64.0) / 63).expand(1, 1, 64, 64)
        views = view(Geometry(elastic=1.0), ramp, views=100)[..., 8:-8, 8:-8] * 63
        bends = views.diff(n=2, dim=-1)
        assert bends.abs().max() < 0.2
        assert bends.abs().max() > 1e-3

    def test_a_crop_shows_a_window_of_the_image_in_full_size(self) -> None:
        height, width = 30, 40
        y = (torch.arange(height) + 0.5) / height
        x = (torch.arange(width) + 0.5) / width
        images = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]
        views = view(Geometry(crop_area=(0.2, 0.6)), images, views=500)
        # One pixel in the middle of the view spans this share of the image.
        across = (views[:, 0, 15, 22] - views[:, 0, 15, 18]) * width / 4
        down = (views[:, 1, 17, 20] - views[:, 1, 13, 20]) * height / 4
        area, aspect = across * down, across * width / (down * height)
        assert area.min() == pytest.approx(0.2, abs=0.02)
        assert area.max() == pytest.approx(0.6, abs=0.02)
        assert aspect.min() == pytest.approx(3 / 4, abs=0.02)
        assert aspect.max() == pytest.approx(4 / 3, abs=0.02)
        assert views[:, 0].min() < 0.02  # windows reach every side of the image
        assert views[:, 0].max() > 0.98

    def test_a_box_that_does_not_fit_is_drawn_again(self) -> None:
        """So the mean kept area is that of torchvision, 0.55, and not that of boxes cut to fit."""
        x = ((torch.arange(28) + 0.5) / 28).expand(28, 28)
        views = view(Geometry(crop_area=(0.2, 1.0)), torch.stack([x, x.T])[None], views=4000)
        across = (views[:, 0, 14, 16] - views[:, 0, 14, 12]) * 7
        down = (views[:, 1, 16, 14] - views[:, 1, 12, 14]) * 7
        assert (across * down).mean() == pytest.approx(0.55, abs=0.012)

    def test_crops_of_a_white_image_are_white(self) -> None:
        views = view(Geometry(crop_area=(0.2, 1.0), flip=0.5), torch.ones(1, 1, 28, 20), views=200)
        torch.testing.assert_close(views, torch.ones_like(views))

    def test_flip_mirrors_the_given_share_of_views(self) -> None:
        images = random_images(1, 1, 8, 8)
        views = view(Geometry(flip=0.25), images, views=1000)
        mirrored = (views - images.flip(3)).flatten(1).abs().amax(dim=1) < 1e-5
        unchanged = (views - images).flatten(1).abs().amax(dim=1) < 1e-5
        assert (mirrored ^ unchanged).all()
        assert mirrored.float().mean() == pytest.approx(0.25, abs=0.05)


class TestThickness:
    images = random_images(4, 2, 9, 14)

    def test_full_strength_is_dilation_and_erosion(self) -> None:
        dilated = F.max_pool2d(self.images, 3, stride=1, padding=1)
        eroded = -F.max_pool2d(-self.images, 3, stride=1, padding=1)
        assert torch.equal(Thickness(1.0)(self.images, torch.ones(4, 1)), dilated)
        assert torch.equal(Thickness(1.0)(self.images, torch.zeros(4, 1)), eroded)

    def test_half_strength_is_half_the_change(self) -> None:
        full = Thickness(1.0)(self.images, torch.ones(4, 1))
        half = Thickness(0.5)(self.images, torch.ones(4, 1))
        torch.testing.assert_close(half, (self.images + full) / 2)

    def test_dilation_never_darkens_and_erosion_never_brightens(self) -> None:
        u = torch.rand(400, 1, generator=torch.Generator().manual_seed(0))
        change = Thickness(0.7)(self.images, u) - self.images.repeat(100, 1, 1, 1)
        assert change[u[:, 0] > 0.5].min() >= 0
        assert change[u[:, 0] < 0.5].max() <= 0
        assert change.abs().flatten(1).amax(dim=1).min() > 0

    def test_the_middle_is_the_identity(self) -> None:
        assert torch.equal(Thickness(1.0)(self.images, torch.full((4, 1), 0.5)), self.images)


class TestExtraStroke:
    def test_a_stroke_lies_where_the_numbers_say(self) -> None:
        upright = torch.tensor([[0.0, 0.75, 0.25, 0.5, 0.8, 1.0]])
        drawn = ExtraStroke(1.0, 10, 3)(torch.zeros(1, 2, 16, 24), upright)[0]
        assert torch.equal(drawn[0], drawn[1])
        # 8 long, 3 wide, around x = 11.5 + 24 / 8, y = 7.5 - 16 / 8.
        rows, columns = torch.arange(16.0), torch.arange(24.0)
        across = (2 - (columns - 14.5).abs()).clamp(0, 1)
        torch.testing.assert_close(drawn[0, 2:10], across.expand(8, 24), atol=1e-5, rtol=0)
        along = (2 - ((rows - 5.5).abs() - 4).clamp(min=0).hypot(torch.tensor(0.5))).clamp(0, 1)
        torch.testing.assert_close(drawn[0, :, 14], along, atol=1e-5, rtol=0)

    def test_it_is_drawn_on_the_given_share_of_views_and_darkens_nothing(self) -> None:
        images = random_images(1, 1, 20, 20) / 2
        change = (view(ExtraStroke(0.3, 10, 2.5), images, views=2000) - images).flatten(1)
        assert change.min() == 0
        assert (change.amax(dim=1) > 0).float().mean() == pytest.approx(0.3, abs=0.03)

    def test_centres_fill_the_middle_half(self) -> None:
        dots = view(ExtraStroke(1.0, 0.01, 2), torch.zeros(1, 1, 20, 40), views=2000)
        x, y = centroids(dots).squeeze(1).unbind(1)
        for position, side in ((x, 40), (y, 20)):
            share = (position + 0.5) / side
            assert share.min() == pytest.approx(0.25, abs=0.02)
            assert share.max() == pytest.approx(0.75, abs=0.02)
            assert share.mean() == pytest.approx(0.5, abs=0.02)

    def test_lengths_directions_and_widths_are_uniform(self) -> None:
        drawn = view(ExtraStroke(1.0, 20, 5), torch.zeros(1, 1, 64, 64), views=4000)[:, 0]
        # A stroke of length L and width w covers w L + pi w^2 / 4 pixels.
        area, expected = drawn.sum(dim=(1, 2)), 3 * 10 + math.pi / 4 * (9 + 16 / 12)
        assert area.mean() == pytest.approx(expected, rel=0.05)
        wide, high = (drawn > 0.5).any(dim=1).sum(dim=1), (drawn > 0.5).any(dim=2).sum(dim=1)
        assert (wide - high).float().mean() == pytest.approx(0, abs=0.5)
        assert 20 < torch.maximum(wide, high).max() <= 26


class TestErasing:
    def test_erases_one_rectangle_up_to_the_given_size(self) -> None:
        erased = view(Erasing(5), torch.ones(1, 2, 12, 9), views=2000) == 0
        assert torch.equal(erased[:, 0], erased[:, 1])
        heights = erased[:, 0].any(dim=2).sum(dim=1)
        widths = erased[:, 0].any(dim=1).sum(dim=1)
        assert torch.equal(heights * widths, erased[:, 0].sum(dim=(1, 2)))
        assert set(heights.tolist()) == set(widths.tolist()) == {1, 2, 3, 4, 5}
        assert erased[:, 0].any(dim=0).all()  # any pixel may be hit

    def test_keeps_the_other_pixels(self) -> None:
        images = random_images(1, 1, 12, 12) + 0.01
        views = view(Erasing(5), images, views=50)
        assert torch.equal(views, torch.where(views == 0, 0.0, images))

    def test_is_bounded_by_a_small_image(self) -> None:
        erased = view(Erasing(100), torch.ones(1, 1, 4, 6), views=1000) == 0
        heights = erased[:, 0].any(dim=2).sum(dim=1)
        assert heights.float().mean() == pytest.approx(2.5, abs=0.2)  # 1 to 4, equally often
        assert erased.flatten(1).sum(dim=1).max() == 24


class TestPhotometric:
    def test_gamma_is_a_power(self) -> None:
        images = random_images(2, 1, 8, 8)
        images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
        stronger = Gamma(0.5)(images, torch.ones(2, 1))
        torch.testing.assert_close(stronger, images ** math.exp(0.5))
        torch.testing.assert_close(Gamma(0.5)(images, torch.full((2, 1), 0.5)), images)

    def test_blur_spreads_a_point_as_a_gaussian(self) -> None:
        images = torch.zeros(1, 1, 25, 31)
        images[..., 12, 15] = 1
        blurred = Blur(2.0)(images, torch.ones(1, 1))[0, 0]
        position = torch.arange(31.0)
        profile = blurred.sum(dim=0)
        assert blurred.sum() == pytest.approx(1, abs=1e-4)
        assert (profile * (position - 15) ** 2).sum().sqrt() == pytest.approx(2, abs=0.01)
        torch.testing.assert_close(blurred[:, 3:28], blurred[:, 3:28].T)

    def test_blur_keeps_a_plain_image_and_width_zero_keeps_any(self) -> None:
        plain = torch.full((1, 3, 9, 12), 0.7)
        torch.testing.assert_close(Blur(3.0)(plain, torch.ones(1, 1)), plain)
        images = random_images(1, 3, 9, 12)
        assert torch.equal(Blur(3.0)(images, torch.zeros(1, 1)), images)

    def test_noise_is_gaussian_with_up_to_the_given_sd(self) -> None:
        images = torch.full((1, 1, 40, 40), 0.5)
        numbers = torch.rand(20, 1 + 1600, generator=torch.Generator().manual_seed(0))
        numbers[:, 0] = 1.0
        noise = Noise(0.1)(images, numbers) - 0.5
        assert noise.std() == pytest.approx(0.1, rel=0.02)
        assert noise.mean().abs() < 0.002
        assert (noise.abs() < 0.1).float().mean() == pytest.approx(0.683, abs=0.01)
        numbers[:, 0] = 0.0
        assert torch.equal(Noise(0.1)(images, numbers), images.expand(20, -1, -1, -1))

    @pytest.mark.parametrize(
        ("colour", "number", "expected"),
        [
            (Colour(brightness=0.5), 0, lambda x, luma: 1.5 * x),
            (Colour(contrast=0.5), 1, lambda x, luma: 1.5 * x - 0.5 * luma.mean()),
            (Colour(saturation=0.5), 2, lambda x, luma: 1.5 * x - 0.5 * luma),
            (Colour(saturation=0.5, grey=1.0), 2, lambda x, luma: luma.expand_as(x)),
        ],
    )
    def test_colour_follows_its_definition(
        self, colour: Colour, number: int, expected: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        images = 0.3 + 0.2 * random_images(1, 3, 6, 7)
        numbers = neutral(colour, 1, images)
        numbers[:, number] = 1.0
        luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
        torch.testing.assert_close(colour(images, numbers), expected(images, luma))

    def test_hue_turns_the_colour_wheel_and_keeps_luma(self) -> None:
        images = 0.4 + 0.1 * random_images(1, 3, 6, 7)
        colour = Colour(hue=0.5)
        numbers = neutral(colour, 1, images)
        torch.testing.assert_close(colour(images, numbers), images)
        numbers[:, 3] = 1.0  # half a turn: every colour becomes its complement
        luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
        complement = 2 * luma - images
        torch.testing.assert_close(colour(images, numbers), complement, atol=2e-3, rtol=0)

    def test_grey_drops_colour_with_the_given_probability(self) -> None:
        views = view(Colour(grey=0.2), random_images(1, 3, 6, 6), views=2000)
        is_grey = views.std(dim=1).flatten(1).amax(dim=1) < 1e-5
        assert is_grey.float().mean() == pytest.approx(0.2, abs=0.03)

    def test_one_channel_has_no_saturation_hue_or_grey(self) -> None:
        images = random_images(1, 1, 6, 6)
        views = view(Colour(saturation=0.5, hue=0.5, grey=0.5), images, views=20)
        torch.testing.assert_close(views, images.expand_as(views))


class TestViews:
    def test_one_generator_state_gives_one_pair(self) -> None:
        views = build_views(preset("digits"))
        images = random_images(4, 1, 28, 28)
        first, second = views.pair(images, torch.Generator().manual_seed(1))
        again, _ = views.pair(images, torch.Generator().manual_seed(1))
        other, _ = views.pair(images, torch.Generator().manual_seed(2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(first, second)

    def test_a_slice_of_a_global_batch_gets_its_own_part_of_the_views(self) -> None:
        views = build_views(preset("digits"))
        images = random_images(6, 1, 28, 28)
        u = views.draw(12, (1, 28, 28), torch.Generator().manual_seed(0))
        whole = views(images, u).view(2, 6, 1, 28, 28)
        part = views(images[2:4], u.view(2, 6, -1)[:, 2:4].flatten(0, 1))
        torch.testing.assert_close(whole[:, 2:4].flatten(0, 1), part, atol=1e-5, rtol=0)

    def test_bytes_and_floats_give_the_same_views(self) -> None:
        views = build_views(preset("digits"))
        images = (random_images(3, 1, 28, 28) * 255).byte()
        u = views.draw(6, (1, 28, 28))
        torch.testing.assert_close(views(images, u), views(images / 255, u))

    def test_low_precision_rounds_the_same_views(self) -> None:
        views = build_views(preset("digits"))
        images = random_images(3, 1, 28, 28)
        u = views.draw(6, (1, 28, 28))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = views(images, u, torch.bfloat16)
        assert low.dtype == torch.bfloat16
        assert torch.equal(low, views(images, u).bfloat16())

    def test_numbers_that_do_not_fit_are_refused(self) -> None:
        views = build_views(preset("digits"))
        images = random_images(4, 1, 28, 28)
        u = views.draw(8, (1, 28, 28))
        with pytest.raises(ValueError, match=r"\(7, 18\) do not fit"):
            views(images, u[:7])
        with pytest.raises(ValueError, match=r"\(8, 17\) do not fit"):
            views(images, u[:, 1:])

    def test_views_track_no_gradient(self) -> None:
        images = random_images(2, 1, 8, 8).requires_grad_()
        first, _ = build_views(preset("digits")).pair(images)
        assert not first.requires_grad

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("name", ["digits", "photos"])
    def test_a_cpu_generator_gives_the_same_views_on_a_gpu(self, name: str) -> None:
        views = build_views(preset(name))
        images = random_images(4, 3, 28, 28)
        here, _ = views.pair(images, torch.Generator().manual_seed(0))
        there, _ = views.pair(images.cuda(), torch.Generator().manual_seed(0))
        assert there.is_cuda
        torch.testing.assert_close(here, there.cpu(), atol=1e-3, rtol=0)


class TestPresets:
    @pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 20)])
    def test_each_preset_is_valid_and_makes_images(
        self, path: Path, shape: tuple[int, int, int]
    ) -> None:
        config = preset(path.stem)
        check(Config(augment=config))
        first, second = build_views(config).pair(random_images(5, *shape))
        assert first.shape == second.shape == (5, *shape)
        assert min(first.min(), second.min()) >= 0
        assert max(first.max(), second.max()) <= 1

    def test_none_returns_the_images(self) -> None:
        images = random_images(3, 1, 28, 28)
        for result in build_views(preset("none")).pair(images):
            assert torch.equal(result, images)

    @pytest.mark.parametrize(
        ("setting", "transforms"),
        [
            ({}, ()),
            ({"elastic_grid": 7}, ()),
            ({"elastic": 1.5, "elastic_grid": 7}, (Geometry(elastic=1.5, elastic_grid=7),)),
            ({"rotation": 20.0, "flip": 0.5}, (Geometry(rotation=20.0, flip=0.5),)),
            ({"scale": [0.7, 1.2]}, (Geometry(scale=(0.7, 1.2)),)),
            ({"crop_area": [0.2, 1.0]}, (Geometry(crop_area=(0.2, 1.0)),)),
            ({"aspect": 0.1, "shear": 0.2, "shift": 0.3}, (Geometry(0, (1, 1), 0.1, 0.2, 0.3),)),
            ({"thickness": 0.5, "erasing": 3}, (Thickness(0.5), Erasing(3))),
            ({"stroke": 0.3, "stroke_length": 9.0}, (ExtraStroke(0.3, 9.0, 2.5),)),
            ({"stroke": 0.3, "stroke_length": 0.0}, ()),
            (
                {"flip": 0.5, "stroke": 0.1, "thickness": 0.5},
                (Thickness(0.5), ExtraStroke(0.1, 10, 2.5), Geometry(flip=0.5)),
            ),
            ({"gamma": 0.5, "blur": 0.6, "noise": 0.7}, (Gamma(0.5), Blur(0.6), Noise(0.7))),
            ({"brightness": 0.1, "contrast": 0.2}, (Colour(brightness=0.1, contrast=0.2),)),
            ({"saturation": 0.1, "hue": 0.2, "grey": 0.3}, (Colour(0, 0, 0.1, 0.2, 0.3),)),
        ],
    )
    def test_only_what_is_set_is_done(
        self, setting: dict[str, object], transforms: tuple[Transform, ...]
    ) -> None:
        config = AugmentConfig()
        for name, value in setting.items():
            setattr(config, name, value)
        assert build_views(config).transforms == transforms

    @pytest.mark.parametrize(
        ("name", "mirrored"), [("digits", 0.0), ("affine", 0.0), ("crops", 0.5)]
    )
    def test_only_crops_mirror(self, name: str, mirrored: float) -> None:
        marks = torch.zeros(1, 3, 28, 28)  # one mark per channel, going round clockwise
        for channel, (row, column) in enumerate([(9, 14), (17, 18), (17, 10)]):
            marks[0, channel, row - 1 : row + 2, column - 1 : column + 2] = 1
        views = build_views(preset(name))
        made = views(marks, views.draw(1000, (3, 28, 28), torch.Generator().manual_seed(0)))
        seen = made[(made.sum(dim=(2, 3)) > 1).all(dim=1)]
        first, second, third = centroids(seen).unbind(1)
        (ax, ay), (bx, by) = (second - first).unbind(1), (third - first).unbind(1)
        share = (ax * by - ay * bx < 0).float().mean()
        assert len(seen) > 500
        assert share == pytest.approx(mirrored, abs=0.05 if mirrored else 0)


class TestMilder:
    @pytest.mark.parametrize("name", ["digits", "crops", "photos"])
    def test_full_strength_changes_nothing_and_none_leaves_the_image_alone(self, name: str) -> None:
        config = preset(name)
        assert milder(config, 1.0) == config
        unmoved = milder(replace(config, flip=0.0, grey=0.0, stroke=0.0), 0.0)
        images = random_images(3, 3, 28, 28)
        for result in build_views(unmoved).pair(images):
            torch.testing.assert_close(result, images)

    def test_half_strength_goes_half_as_far(self) -> None:
        config = AugmentConfig(rotation=20, scale=[0.6, 1.2], erasing=7, flip=0.5, thickness=0.8)
        expected = AugmentConfig(rotation=10, scale=[0.8, 1.1], erasing=4, flip=0.5, thickness=0.4)
        assert milder(config, 0.5) == expected
        assert milder(preset("crops"), 0.5).crop_area == [0.6, 1.0]

    def test_a_stroke_stays_as_it_is(self) -> None:
        config = AugmentConfig(stroke=0.3, stroke_length=10)
        assert milder(config, 0.5) == config


def centroids(images: Tensor) -> Tensor:
    """Mean position (x, y) of the brightness of each channel: (N, C, 2)."""
    height, width = images.shape[2:]
    mass = images.sum(dim=(2, 3))
    x = (images.sum(dim=2) * torch.arange(width)).sum(dim=2) / mass
    y = (images.sum(dim=3) * torch.arange(height)).sum(dim=2) / mass
    return torch.stack([x, y], dim=2)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"rotation": -5.0}, "augment.rotation=-5: must be between 0 and 180"),
        ({"thickness": 1.5}, "augment.thickness=1.5: must be between 0 and 1"),
        ({"stroke": 1.5}, "augment.stroke=1.5: must be between 0 and 1"),
        ({"stroke_length": -1.0}, "augment.stroke_length=-1: must be between 0 and 10000"),
        ({"stroke_width": 0.5}, "augment.stroke_width=0.5: must be between 1 and 10000"),
        ({"shift": math.nan}, "augment.shift=nan: must be between 0 and 1"),
        ({"elastic_grid": 1}, "augment.elastic_grid=1: must be between 2 and 64"),
        ({"scale": [1.2, 0.7]}, "augment.scale=[1.2, 0.7]: must be [min, max], 0 < min <= max"),
        ({"scale": [1.0]}, "augment.scale=[1.0]: must be [min, max], 0 < min <= max"),
        (
            {"crop_area": [0.2, 1.5]},
            "augment.crop_area=[0.2, 1.5]: must be null or [min, max], 0 < min <= max <= 1",
        ),
    ],
)
def test_a_wrong_setting_is_named(setting: dict[str, object], line: str) -> None:
    config = AugmentConfig()
    for name, value in setting.items():
        setattr(config, name, value)
    with pytest.raises(SimclrError, match=re.escape(line)):
        check(Config(augment=config))


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SimclrError, match="3 problems"):
        check(Config(augment=AugmentConfig(rotation=181, flip=2, scale=[0, 1])))


@pytest.mark.parametrize(
    "images",
    [
        torch.full((2, 1, 8, 8), 200.0),
        torch.full((2, 1, 8, 8), -0.1),
        torch.full((2, 1, 8, 8), torch.nan),
        torch.full((2, 1, 8, 8), 200),
    ],
)
def test_images_of_another_range_are_refused(images: Tensor) -> None:
    """They would be cut off at 1 without a word."""
    with pytest.raises(ValueError, match="uint8"):
        build_views(AugmentConfig(shift=0.1)).pair(images)
