"""Predefined augmentations: the same fixed change for every image, which a file can keep."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from engine.core.errors import ConfigError
from engine.data.transforms import predefined as made
from engine.data.transforms.augment import color
from engine.data.transforms.optimal import optimal
from engine.data.transforms.predefined import NAMES, OPTIMAL, Predefined, augmented, optimal_ones, predefined, titles

OPTIONS = {"jitter": 0.4, "crop_scale": 0.5, "blur_kernel": 3, "blur_sigma": 1.0, "hue": 0.1, "seed": 0}
WAY = {"kernel": "linear", "gamma": 0.1, "ridge": 0.5, "preimage_ridge": 2.0}


def one(name: str, **changes) -> Predefined:
    return predefined((name,), **listed(OPTIONS | changes))[0]


def listed(options: dict) -> dict:
    """Each strength as a list of one."""
    return {name: value if name == "seed" else (value,) for name, value in options.items()}


def images(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("name", "turns"), [("rotate_90", 1), ("rotate_180", 2), ("rotate_270", 3)])
def test_rotations_are_quarter_turns_against_the_clock(name, turns):
    inputs = images(2, 3, 6, 6)
    assert np.array_equal(one(name)(inputs).numpy(), np.rot90(inputs.numpy(), turns, (2, 3)))


def test_a_flip_mirrors_left_and_right():
    inputs = images(2, 3, 4, 6)
    assert one("flip")(inputs)[0, 0, 0].tolist() == inputs[0, 0, 0].tolist()[::-1]


def test_a_crop_is_its_window_enlarged_by_hand():
    crop = Predefined("crop", (0.25, 1.0, 0.0))  # the lower left quarter
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    found = crop(ramp)
    assert found.shape == (1, 1, 8, 8)
    torch.testing.assert_close(found[0, 0, 3], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))
    torch.testing.assert_close(crop(ramp.mT)[0, 0, :, 3], torch.tensor([4, 4.25, 4.75, 5.25, 5.75, 6.25, 6.75, 7]))


def test_a_crop_of_the_whole_image_changes_nothing():
    inputs = images(2, 3, 7, 5)
    assert torch.equal(one("crop", crop_scale=1.0)(inputs), inputs)


def test_a_blur_is_the_gaussian_mean_by_a_naive_loop():
    inputs, sigma, reach = images(1, 2, 5, 6), 0.8, 2
    padded = np.pad(inputs.numpy()[0], ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    expected = np.zeros((2, 5, 6))
    total = 0.0
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            weight = np.exp(-(i * i + j * j) / (2 * sigma**2))
            total += weight
            expected += weight * padded[:, reach + i : reach + i + 5, reach + j : reach + j + 6]
    found = one("blur", blur_kernel=5, blur_sigma=sigma)(inputs)
    np.testing.assert_allclose(found[0].numpy(), expected / total, rtol=1e-12)


def test_a_jitter_is_dsas_color_with_numbers_of_its_seed():
    inputs = images(3, 3, 4, 4)
    jitter = one("jitter")
    torch.testing.assert_close(jitter(inputs), color(inputs, torch.tensor([jitter.numbers])).to(inputs))
    assert jitter == one("jitter") and jitter != one("jitter", seed=1)
    torch.testing.assert_close(one("jitter", jitter=0.0)(inputs), inputs)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    side=st.integers(3, 9),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**31 - 1),
    share=st.floats(0.05, 1.0),
)
def test_every_image_is_changed_alike_and_keeps_its_shape(name, side, channels, seed, share):
    change = one(name, seed=seed, crop_scale=share)
    inputs = images(4, 3 if name == "hue" else channels, side, side)
    changed = change(inputs)
    assert changed.shape == inputs.shape and changed.isfinite().all()
    torch.testing.assert_close(change(inputs[2:3])[0], changed[2])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_finite_differences(name):
    assert torch.autograd.gradcheck(one(name), images(1, 3, 5, 5).requires_grad_())


def test_an_augmentation_is_the_same_whatever_others_are_chosen():
    together = predefined(NAMES, **listed(OPTIONS))
    assert together == tuple(one(name) for name in NAMES)
    assert [each.name for each in predefined(("blur", "flip"), **listed(OPTIONS))] == ["blur", "flip"]


@pytest.mark.parametrize("change", [*(one(name) for name in NAMES), *optimal_ones(3, **WAY)])
def test_it_survives_json(change):
    assert TypeAdapter(Predefined).validate_python(json.loads(json.dumps(asdict(change)))) == change


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_optimal_ones_go_equal_parts_of_the_way_to_the_optimal_images(kernel):
    inputs, representations = images(9, 1, 4, 4), images(9, 3, seed=1)
    goal = optimal(inputs, representations, **WAY | {"kernel": kernel})
    changes = optimal_ones(3, **WAY | {"kernel": kernel})
    assert [change.name for change in changes] == list(OPTIMAL)
    for share, change in zip((1 / 3, 2 / 3, 1), changes, strict=True):
        torch.testing.assert_close(change(inputs, representations), inputs + share * (goal - inputs))
    assert optimal_ones(0, **WAY) == ()


def test_what_optimal_ones_share_is_made_once_and_others_ignore_representations(monkeypatch):
    calls = []
    monkeypatch.setattr(made, "optimal", lambda *given, **options: calls.append(options) or optimal(*given, **options))
    inputs, representations = images(9, 1, 4, 4), images(9, 3, seed=1)
    changes = (one("flip"), *optimal_ones(3, **WAY), one("blur"), *optimal_ones(1, **WAY | {"gamma": 0.2}))
    found = augmented(changes, inputs, representations)
    assert calls == [WAY, WAY | {"gamma": 0.2}]
    for change, each in zip(changes, found, strict=True):
        assert torch.equal(change(inputs, representations), each)
    assert torch.equal(one("flip")(inputs, representations), inputs.flip(3))


def test_an_optimal_one_without_representations_is_refused():
    with pytest.raises(ConfigError, match="needs the images' representations"):
        optimal_ones(1, **WAY)[0](images(9, 1, 4, 4))


@pytest.mark.parametrize("name", ["rotate_90", "rotate_270"])
def test_quarter_turns_of_images_that_are_not_square_are_refused(name):
    with pytest.raises(ConfigError, match="square images, these are 4 x 6 pixels. Leave out rotate_90"):
        one(name)(images(1, 1, 4, 6))
    assert one("rotate_180")(images(1, 1, 4, 6)).shape == (1, 1, 4, 6)


def test_a_blur_wider_than_the_image_is_refused_with_the_widest_that_fits():
    with pytest.raises(ConfigError, match="kernel of 9 pixels .* Choose a kernel of 7 pixels or less"):
        one("blur", blur_kernel=9)(images(1, 1, 4, 6))
    assert one("blur", blur_kernel=7)(images(1, 1, 4, 6)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("solarize", ()),
        ("hue", ()),
        ("hue", (0.6,)),
        ("flip", (1.0,)),
        ("jitter", (0.5, 0.5)),
        ("jitter", (0.5, 0.5, 1.5)),
        ("crop", (0.0, 0.5, 0.5)),
        ("crop", (0.5, float("nan"), 0.5)),
        ("blur", (4.0, 1.0)),
        ("blur", (3.0, 0.0)),
        ("optimal_1", ()),
        ("optimal_4", (0.0, 0.1, 1.0, 1.0, 1.0)),
        ("optimal_1", (2.0, 0.1, 1.0, 1.0, 1.0)),
        ("optimal_1", (0.5, 0.1, 1.0, 1.0, 1.0)),
        ("optimal_1", (0.0, 0.0, 1.0, 1.0, 1.0)),
        ("optimal_1", (0.0, 0.1, -1.0, 1.0, 1.0)),
        ("optimal_1", (0.0, 0.1, 1.0, -1.0, 1.0)),
        ("optimal_1", (0.0, 0.1, 1.0, 1.0, 0.0)),
        ("optimal_1", (0.0, 0.1, 1.0, 1.0, 1.5)),
    ],
)
def test_numbers_that_no_augmentation_has_are_refused(name, numbers):
    with pytest.raises(ConfigError):
        Predefined(name, numbers)


def test_each_strength_in_a_list_is_an_augmentation_of_its_own():
    strengths = {"jitter": (0.2, 0.8), "crop_scale": (0.4, 0.6), "hue": (-0.1, 0.25), "seed": 3}
    made = predefined(("flip", "blur", "hue", "crop"), blur_kernel=(3, 5), blur_sigma=(1.0, 2.0), **strengths)
    assert [each.name for each in made] == ["flip", *["blur"] * 4, *["hue"] * 2, *["crop"] * 2]
    assert [each.numbers for each in made[1:5]] == [(3, 1), (3, 2), (5, 1), (5, 2)]
    assert made[7].numbers[1:] == made[8].numbers[1:], "crops of one position"
    said = ["flip", "blur of 3 px, deviation 1", "blur of 3 px, deviation 2"]
    assert titles(made)[:3] == said and titles(made)[5:] == ["hue by -10%", "hue by +25%", "crop to 40%", "crop to 60%"]
    assert titles(made[:2]) == ["flip", "blur"]
    weak, strong = predefined(("jitter",), blur_kernel=(), blur_sigma=(), **strengths)
    assert float(strong.strength.rpartition(" ")[2]) == pytest.approx(4 * float(weak.strength[-4:]), rel=0.1)


def test_a_turn_of_the_hue_keeps_greys_and_brings_each_colour_to_the_next_in_thirds():
    inputs = images(2, 3, 4, 4)
    grey = inputs[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(one("hue", hue=0.2)(grey), grey)
    torch.testing.assert_close(one("hue", hue=1 / 3)(inputs), inputs.roll(1, 1))
    torch.testing.assert_close(one("hue", hue=-0.2)(one("hue", hue=0.2)(inputs)), inputs)
    with pytest.raises(ConfigError, match="hue changes colour images alone. Leave out hue"):
        one("hue")(inputs[:, :1])
