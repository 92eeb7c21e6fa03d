"""Views: each image changed by its own numbers, in the range of pixels, as torchvision and the equations change it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from engine.core.errors import ConfigError
from engine.data.transforms.views import ASPECTS, LUMA, NUMBERS, Views

STILL = Views(crop_scale=(1.0,), mirror=False, jitter=(0.0,), grey_share=0.0, blur_share=0.0)
ALL = Views(crop_scale=(0.2,), mirror=True, jitter=(0.4,), grey_share=0.2, blur_share=0.5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(count: int = 64, channels: int = 3, side: int = 12) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(1), dtype=torch.float64)


def numbers(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    drawn = torch.rand(count, len(NUMBERS), generator=seeded(seed), dtype=torch.float64)
    return dict(zip(NUMBERS, drawn.unbind(1), strict=True))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 12), (3, 10, 16)])
def test_views_keep_shape_and_range_and_differ_between_images_and_draws(shape):
    same = torch.rand(1, *shape, generator=seeded(1)).expand(32, *shape)
    generator = seeded()
    first, second = ALL(same, generator), ALL(same, generator)
    assert first.shape == same.shape and first.dtype == same.dtype
    assert first.min() >= 0 and first.max() <= 1
    assert len({tuple(view.flatten().tolist()) for view in torch.cat([first, second])}) == 64
    assert torch.equal(ALL(same, seeded()), first)


def test_a_whole_image_is_cut_in_one_direction_alone():
    ramps = torch.linspace(0, 1, 16, dtype=torch.float64).expand(100, 1, 16, 16)
    wide = numbers(100)["aspect"] > 0.5  # a square image has no wider part of its area: that is cut to the width
    for images, is_whole in ((ramps, wide), (ramps.transpose(2, 3), ~wide)):
        views = STILL(images, seeded())
        assert torch.equal(torch.isclose(views, images).flatten(1).all(1), is_whole)


def test_a_crop_shows_the_pixels_of_a_box_of_the_image_and_no_border():
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64).expand(500, 1, 16, 16)  # brightness is the column
    views = dataclasses.replace(STILL, crop_scale=(0.2,))(ramp, seeded())
    steps = views.diff(dim=3)
    assert (steps >= -1e-12).all(), "not mirrored"
    shown = 15 * steps[:, 0, 0].median(dim=1)[0]  # the share of the width: a whole one has steps of 1 / 15
    area = 0.2 + 0.8 * numbers(500)["area"]
    widest = (area * ASPECTS[1]).sqrt().clamp(max=1)
    narrowest = (area * ASPECTS[0]).sqrt()
    assert (shown <= widest + 1e-6).all() and (shown >= narrowest - 1e-6).all()
    assert views[:, 0, 0, 0].min() < 0.05 and views[:, 0, 0, -1].max() > 0.95, "crops reach both sides"


def test_half_of_the_views_are_mirrored():
    ramp = torch.linspace(0, 1, 8).expand(2000, 1, 8, 8)
    views = dataclasses.replace(STILL, mirror=True)(ramp, seeded())
    is_mirrored = views[:, 0, 0, 0] > views[:, 0, 0, -1]
    assert torch.equal(is_mirrored, numbers(2000)["mirror"] < 0.5)
    assert 0.45 < is_mirrored.float().mean() < 0.55


def naive_colours(image, of, number, jitter, grey_share):
    """One image after another: brightness, contrast, saturation, hue, grey, without clipping between them."""
    x, luma = image.clone(), torch.tensor(LUMA, dtype=image.dtype)[:, None, None]
    if of["is_jittered"][number] < 0.8:
        factor = {name: 2 * of[name][number].item() - 1 for name in ("brightness", "contrast", "saturation", "hue")}
        x = x * (1 + jitter * factor["brightness"])
        mean = (x * luma).sum(0).mean()
        x = mean + (1 + jitter * factor["contrast"]) * (x - mean)
        grey = (x * luma).sum(0)
        x = grey + (1 + jitter / 2 * factor["saturation"]) * (x - grey)
        angle = torch.tensor(2 * torch.pi * jitter / 4 * factor["hue"])
        yiq = torch.tensor([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], dtype=image.dtype)
        y, i, q = torch.einsum("ij,jhw->ihw", yiq, x)
        turned = torch.stack([y, angle.cos() * i - angle.sin() * q, angle.sin() * i + angle.cos() * q])
        x = torch.einsum("ij,jhw->ihw", torch.linalg.inv(yiq), turned)
    if of["grey"][number] < grey_share:
        x = (x * luma).sum(0).expand(3, -1, -1)
    return x.clamp(0, 1)


def test_one_map_of_colours_is_what_the_changes_do_one_after_another():
    images, of = pixels(), numbers(64)
    found = dataclasses.replace(ALL, jitter=(0.4,), grey_share=0.3)._coloured(images, of)
    expected = torch.stack([naive_colours(image, of, number, 0.4, 0.3) for number, image in enumerate(images)])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_shares_of_grey_and_of_unchanged_colours_are_the_published_ones():
    images = pixels(2000, side=2)
    views = Views((1.0,), False, (0.4,), 0.2, 0.0)._coloured(images, numbers(2000))
    is_grey = (views.amax(1) - views.amin(1)).amax((1, 2)) < 1e-6
    is_unchanged = torch.isclose(views, images, atol=1e-9).flatten(1).all(1)
    assert 0.17 < is_grey.float().mean() < 0.23
    assert 0.13 < is_unchanged.float().mean() < 0.19, "a fifth is not jittered, and a fifth of that is grey"


def test_grey_images_change_brightness_and_contrast_alone():
    images, of = pixels(channels=1), numbers(64)
    found = ALL._coloured(images, of)
    for number, image in enumerate(images):
        brightness = contrast = 1.0
        if of["is_jittered"][number] < 0.8:
            brightness, contrast = (0.6 + 0.8 * of[name][number] for name in ("brightness", "contrast"))
        x = image * brightness
        torch.testing.assert_close(found[number], (x.mean() + contrast * (x - x.mean())).clamp(0, 1))


def test_blur_is_a_gaussian_kernel_of_three_pixels_on_some_images():
    images, of = pixels(), numbers(64)
    found = ALL._blurred(images, of)
    for number, image in enumerate(images):
        expected = image
        if of["is_blurred"][number] < 0.5:
            sigma = 0.1 + 1.9 * of["sigma"][number]
            kernel = torch.exp(-0.5 * (torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64) / sigma) ** 2)
            kernel = kernel / kernel.sum()
            padded = F.pad(image[None], (1, 1, 1, 1), mode="reflect")
            weights = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
            expected = F.conv2d(padded, weights, groups=3)[0]
        torch.testing.assert_close(found[number], expected)


def test_pixels_are_left_as_they_are():
    images = pixels()
    before = images.clone()
    ALL(images, seeded())
    assert torch.equal(images, before)


def test_of_several_strengths_each_view_draws_one():
    ramp = torch.linspace(0, 1, 16, dtype=torch.float64).expand(600, 1, 16, 16)
    views = dataclasses.replace(STILL, crop_scale=(0.25, 1.0))
    both = views(ramp, seeded())
    chosen = torch.rand(600, 4, generator=_after_numbers(600), dtype=torch.float64)[:, 0] < 0.5
    narrow = dataclasses.replace(STILL, crop_scale=(0.25,))(ramp, seeded())
    assert torch.equal(both[chosen], narrow[chosen]) and 0.4 < chosen.float().mean() < 0.6
    assert torch.equal(both[~chosen], STILL(ramp, seeded())[~chosen])


def _after_numbers(count: int) -> torch.Generator:
    generator = seeded()
    torch.rand(count, len(NUMBERS), generator=generator, dtype=torch.float64)
    return generator


def test_a_turn_of_the_hue_of_its_own_does_not_follow_the_jitter():
    images, of = pixels(), numbers(64)
    turned = dataclasses.replace(ALL, jitter=(0.0,), hue=(0.1,), grey_share=0.0)._coloured(images, of)
    naive = torch.stack([naive_colours(image, of | QUIET, number, 0.4, 0) for number, image in enumerate(images)])
    torch.testing.assert_close(turned, naive, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(turned, images)


QUIET = {name: torch.full((64,), 0.5, dtype=torch.float64) for name in ("brightness", "contrast", "saturation")}


@pytest.mark.parametrize("side", [3, 5, 7])
def test_a_wider_kernel_is_the_gaussian_of_its_side(side):
    images, of = pixels(8), numbers(8)
    found = dataclasses.replace(ALL, blur_share=1.0, blur_kernel=(side,))._blurred(images, of)
    for number, image in enumerate(images):
        places = torch.arange(side, dtype=torch.float64) - side // 2
        kernel = torch.exp(-0.5 * (places / (0.1 + 1.9 * of["sigma"][number])) ** 2)
        kernel = kernel / kernel.sum()
        padded = F.pad(image[None], (side // 2,) * 4, mode="reflect")
        expected = F.conv2d(padded, (kernel[:, None] * kernel).expand(3, 1, side, side), groups=3)[0]
        torch.testing.assert_close(found[number], expected)
    with pytest.raises(ConfigError, match="kernel of 31 pixels needs larger images than 12 x 12. Lower the teacher's"):
        dataclasses.replace(ALL, blur_share=1.0, blur_kernel=(31,))._blurred(images, of)
