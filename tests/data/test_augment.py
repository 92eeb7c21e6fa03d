"""Augmentations: shapes, exactness where nothing should change, gradients, and the draws behind them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.data_config import DSA_OPERATIONS
from engine.core.errors import ConfigError
from engine.data.transforms.augment import OPERATIONS, Step, augmentation, dsa

NAMES = ("none", "flip", "crop", "flip_crop", "flip_rotate", "dsa")
LEVEL = {
    "rotate": [0.5],
    "scale": [5 / 11, 5 / 11],
    "color": [0.5, 0.5, 0.5],
    "flip": [0.9],
}  # numbers that change nothing


def images(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def apply(name: str, inputs: torch.Tensor, *rows: list[float]) -> torch.Tensor:
    return OPERATIONS[name].apply(inputs, torch.tensor(rows, dtype=torch.float64).expand(len(inputs), -1))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    num=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    side=st.sampled_from([5, 8, 28, 32]),
    seed=st.integers(0, 2**31),
)
def test_shape_and_type_are_kept_and_values_are_finite(name, num, channels, side, seed):
    inputs = images(num, channels, side, side)
    before = inputs.clone()
    outputs = augmentation(name)(inputs, seeded(seed))
    assert outputs.shape == inputs.shape and outputs.dtype == inputs.dtype
    assert outputs.isfinite().all()
    assert torch.equal(inputs, before)


def test_none_gives_back_the_very_inputs():
    inputs = images(2, 1, 8, 8)
    assert augmentation("none")(inputs, seeded()) is inputs


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ConfigError, match="no augmentation 'mixup'; choose one of none, flip"):
        augmentation("mixup")
    with pytest.raises(ConfigError, match="no operation 'blur'"):
        dsa(("color", "blur"))
    with pytest.raises(ConfigError, match="at least one operation"):
        dsa(())


@pytest.mark.parametrize("name", NAMES)
def test_same_generator_state_gives_the_same_bits(name):
    inputs = images(6, 3, 16, 16)
    assert torch.equal(augmentation(name)(inputs, seeded(5)), augmentation(name)(inputs, seeded(5)))


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_draw_applied_again_repeats_the_change(name):
    augment, inputs = augmentation(name), images(6, 3, 16, 16)
    draw = augment.draw(inputs.shape, seeded(3))
    assert torch.equal(augment.apply(inputs, draw), augment(inputs, seeded(3)))


def test_flip_twice_with_one_draw_is_the_identity():
    augment, inputs = augmentation("flip"), images(16, 3, 8, 8)
    draw = augment.draw(inputs.shape, seeded())
    once = augment.apply(inputs, draw)
    assert torch.equal(augment.apply(once, draw), inputs)
    mirrored = (once == inputs.flip(3)).flatten(1).all(1)
    kept = (once == inputs).flatten(1).all(1)
    assert (mirrored | kept).all() and 0 < mirrored.sum() < 16


@pytest.mark.parametrize("name", LEVEL)
def test_level_numbers_change_nothing(name):
    inputs = images(3, 3, 9, 12)
    torch.testing.assert_close(apply(name, inputs, LEVEL[name]), inputs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side, reach", [(8, 1), (16, 2), (28, 4), (32, 4)])
def test_crop_equals_slicing_the_reflected_image(side, reach):
    inputs = images(1, 2, side, side)
    padded = torch.nn.functional.pad(inputs, (reach,) * 4, mode="reflect")
    for row in range(2 * reach + 1):
        column = 2 * reach - row
        numbers = [(row + 0.5) / (2 * reach + 1), (column + 0.5) / (2 * reach + 1)]
        expected = padded[:, :, row : row + side, column : column + side]
        assert torch.equal(apply("crop", inputs, numbers), expected)


def test_dsa_crop_brings_in_zeros():
    inputs = torch.ones(1, 1, 32, 32)
    corner = apply("crop_zeros", inputs, [0.0, 0.0])  # 4 rows and 4 columns from outside
    assert corner.sum() == 28 * 28 and corner[0, 0, :4].abs().sum() == 0 and corner[0, 0, :, :4].abs().sum() == 0


@pytest.mark.parametrize("numbers, area", [([0.5, 0.5], 64), ([0.0, 0.0], 16), ([0.999, 0.999], 16), ([0.5, 0.0], 32)])
def test_cutout_zeroes_a_box_of_half_the_sides_cut_at_the_edges(numbers, area):
    outputs = apply("cutout", torch.ones(1, 3, 16, 16), numbers)
    assert (outputs == 0).sum() == 3 * area


def test_rotation_by_the_full_angle_turns_a_point_by_15_degrees():
    inputs = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    inputs[0, 0, 20, 35] = 1.0
    outputs = apply("rotate", inputs, [1.0])[0, 0]
    rows, columns = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")
    row, column = (float((outputs * axis).sum() / outputs.sum()) - 20 for axis in (rows, columns))
    angle = torch.atan2(torch.tensor(row), torch.tensor(column)).rad2deg().abs()
    assert angle == pytest.approx(15, abs=0.5)
    assert (row**2 + column**2) ** 0.5 == pytest.approx(15, abs=0.2)


def test_colour_equals_the_published_formulas():
    inputs = images(1, 3, 4, 4, dtype=torch.float64)
    brightness, saturation, contrast = 0.2, 0.7, 0.9
    bright = inputs + (brightness - 0.5)
    grey = bright.mean(dim=1, keepdim=True)
    saturated = (bright - grey) * (saturation * 2) + grey
    mean = saturated.mean()
    expected = (saturated - mean) * (contrast + 0.5) + mean
    torch.testing.assert_close(apply("color", inputs, [brightness, saturation, contrast]), expected)


def test_saturation_leaves_grey_images_alone():
    inputs = images(2, 1, 6, 6)
    torch.testing.assert_close(apply("color", inputs, [0.5, 0.1, 0.5]), inputs)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradcheck(name):
    generator = seeded(2)
    inputs = images(2, 2, 6, 6, dtype=torch.float64).requires_grad_()
    numbers = torch.rand(2, OPERATIONS[name].num_numbers, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: OPERATIONS[name].apply(x, numbers), inputs)
    assert torch.autograd.gradgradcheck(lambda x: OPERATIONS[name].apply(x, numbers), inputs)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_not_zero(name):
    for seed in range(8):
        inputs = images(2, 3, 12, 12).requires_grad_()
        (augmentation(name)(inputs, seeded(seed)) ** 2).sum().backward()
        assert inputs.grad.isfinite().all() and inputs.grad.abs().sum() > 0


def test_one_operation_a_call_for_dsa_and_flip_rotate_and_each_in_turn():
    shape, generator = (4, 3, 8, 8), seeded()
    for augment, operations in (
        (dsa(), {"color", "crop_zeros", "cutout", "flip", "scale", "rotate"}),
        (augmentation("flip_rotate"), {"flip", "rotate"}),
        (dsa(("flip", "scale")), {"flip", "scale"}),
    ):
        draws = [augment.draw(shape, generator) for _ in range(100)]
        assert all(len(draw) == 1 for draw in draws)
        assert {draw[0].operation for draw in draws} == operations


@pytest.mark.parametrize("left_out", DSA_OPERATIONS)
def test_an_operation_of_dsa_that_is_switched_off_is_never_drawn(left_out):
    kept = tuple(name for name in DSA_OPERATIONS if name != left_out)
    augment, generator = augmentation("dsa", kept), seeded()
    drawn = {augment.draw((2, 3, 8, 8), generator)[0].operation for _ in range(200)}
    assert drawn == {"crop_zeros" if name == "crop" else name for name in kept}


def test_a_drawn_change_of_dsa_stays_within_the_published_bounds():
    """What 300 draws do to pictures in which it can be read off: parameters of the published code."""
    side, generator, augment = 32, seeded(1), dsa().alike()
    ramp = torch.linspace(-1 + 1 / side, 1 - 1 / side, side, dtype=torch.float64)  # where each pixel lies
    across, down = ramp.expand(side, side), ramp[:, None].expand(side, side)
    inputs = torch.stack([across, down, torch.ones(side, side)])[None].expand(2, -1, -1, -1).double()
    spread: dict[str, list[float]] = {name: [] for name in ("angle", "scale", "shift", "brightness", "cut")}
    flips = []
    for _ in range(300):
        draw = augment.draw(inputs.shape, generator)
        changed = augment.apply(inputs, draw)
        assert torch.equal(changed[0], changed[1])
        x, y, one = changed[0]
        half = side // 2
        of_x = (x[half, 19] - x[half, 12]) / (across[half, 19] - across[half, 12])
        of_y = (y[19, half] - y[12, half]) / (down[19, half] - down[12, half])
        match draw[0].operation:
            case "flip":
                flips.append(torch.equal(x, across.flip(1)))
                assert flips[-1] or torch.equal(changed, inputs)
            case "scale":
                spread["scale"] += [of_x.item(), of_y.item()]
            case "rotate":
                turned = (x[19, half] - x[12, half]) / (down[19, half] - down[12, half])
                spread["angle"].append(torch.atan2(turned, of_x).rad2deg().item())
            case "crop_zeros":
                spread["shift"] += [
                    (shifted * side / 2).round().item()
                    for shifted in ((x - across)[half, half], (y - down)[half, half])
                ]
            case "cutout":
                assert set(one.flatten().tolist()) <= {0.0, 1.0}
                spread["cut"].append((one == 0).sum().item())
            case "color":
                spread["brightness"].append((changed[0].mean() - inputs[0].mean()).item())
    assert 0.25 < sum(flips) / len(flips) < 0.75
    for name, low, high in (
        ("scale", 1 / 1.2, 1.2),
        ("angle", -15, 15),
        ("shift", -4, 4),
        ("brightness", -0.5, 0.5),
        ("cut", 64, 256),
    ):
        room = 0.25 * (high - low)
        assert low - 1e-6 <= min(spread[name]) < low + room and high - room < max(spread[name]) <= high + 1e-6, name


def test_flip_rotate_is_the_published_one():
    """One operation a batch; half the images mirrored, or each turned by up to 15 degrees, zeros where nothing was."""
    inputs, generator, turned = torch.ones(400, 1, 21, 21), seeded(), 0
    inputs[..., :10] = 2
    augment = augmentation("flip_rotate")
    for _ in range(10):
        draw = augment.draw(inputs.shape, generator)
        outputs = augment.apply(inputs, draw)
        if draw[0].operation == "flip":
            mirrored = (outputs == inputs.flip(3)).flatten(1).all(1)
            assert 0.4 < mirrored.float().mean() < 0.6 and torch.equal(outputs[~mirrored], inputs[~mirrored])
        else:
            turned += 1
            angles = 15 * (2 * draw[0].numbers - 1)
            assert angles.min() < -14 and angles.max() > 14 and abs(angles.mean()) < 2
            by_much = angles.abs()[:, 0] > 5
            assert (outputs[by_much, 0, 0, 0] < 0.7).all() and outputs.min() >= 0
    assert 0 < turned < 10


def test_a_shared_draw_changes_all_images_alike_and_own_draws_differently():
    inputs = images(1, 3, 16, 16).expand(8, -1, -1, -1)
    shared = dsa(("rotate",)).alike()(inputs, seeded())
    own = dsa(("rotate",))(inputs, seeded())
    assert all(torch.equal(shared[0], other) for other in shared[1:])
    assert not torch.equal(own[0], own[1])


def test_a_shared_draw_serves_batches_of_any_size():
    augment = dsa(("rotate",)).alike()
    real, synthetic = images(7, 3, 16, 16), images(2, 3, 16, 16)
    draw = augment.draw(real.shape, seeded())
    torch.testing.assert_close(augment.apply(torch.cat([real, synthetic]), draw)[7:], augment.apply(synthetic, draw))


def test_numbers_do_not_depend_on_the_precision_of_the_inputs():
    draw = (Step("rotate", torch.tensor([[0.9]], dtype=torch.float64)),)
    inputs = images(1, 1, 8, 8, dtype=torch.float64)
    double, single = dsa().apply(inputs, draw), dsa().apply(inputs.float(), draw)
    torch.testing.assert_close(double.float(), single, atol=1e-5, rtol=1e-5)
