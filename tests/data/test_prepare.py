"""Preparation: which images go where, what is fitted on what, and the way back to pixels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from draining import drained
from hypothesis import given, settings
from hypothesis import strategies as st
from making import prepared, raw_images

from engine.core.config import DataConfig, checked
from engine.core.errors import ConfigError, DataError
from engine.data.source import TaskSpec
from engine.data.transforms import prepare
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import RawImages, channel_statistics, limited_counts, stratified

PREPARATIONS = (
    DataConfig(),
    DataConfig(normalisation="unit"),
    DataConfig(zca=True),
    DataConfig(zca=True, zca_eps=0.001),
)
PODD = DataConfig(zca=True, zca_kind="podd")


def numbered(per_class=(30, 20, 50)) -> RawImages:
    """Images whose first two pixels hold their number, to follow each through a split."""
    raw = raw_images(per_class)
    for index in range(len(raw.train_images)):
        raw.train_images[index, 0, 0, 0], raw.train_images[index, 0, 0, 1] = index // 256, index % 256
    return raw


def numbers(part) -> set[int]:
    return {int(image[0, 0, 0]) * 256 + int(image[0, 0, 1]) for image in part.inputs}


def test_train_and_validation_share_no_image_and_lose_none():
    splits = prepared(DataConfig(), numbered())
    assert numbers(splits.train).isdisjoint(numbers(splits.validation))
    assert numbers(splits.train) | numbers(splits.validation) == set(range(100))


def test_validation_is_stratified_and_test_untouched():
    raw = numbered()
    splits = prepared(DataConfig(validation_fraction=0.2), raw)
    assert torch.bincount(splits.validation.targets).tolist() == [6, 4, 10]
    assert torch.equal(splits.test.inputs, raw.test_images) and torch.equal(splits.test.targets, raw.test_targets)


def test_images_keep_their_labels():
    raw = numbered()
    splits = prepared(DataConfig(), raw)
    for part in (splits.train, splits.validation):
        for image, target in zip(part.inputs, part.targets, strict=True):
            assert raw.train_targets[int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])] == target


def test_the_split_is_the_same_every_time():
    first, second = (prepared(DataConfig(train_limit=30), numbered()) for _ in range(2))
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.validation.inputs, second.validation.inputs)


def test_limit_is_balanced_exact_nested_and_leaves_validation_alone():
    small, large, full = (prepared(DataConfig(train_limit=limit), numbered()) for limit in (20, 31, 0))
    assert torch.bincount(small.train.targets).tolist() == [7, 7, 6]
    assert torch.bincount(large.train.targets).tolist() == [11, 10, 10]
    assert numbers(small.train) < numbers(large.train) < numbers(full.train)
    assert numbers(small.validation) == numbers(full.validation)


def test_a_limit_above_the_train_part_means_all():
    assert len(prepared(DataConfig(train_limit=90), numbered()).train) == 90
    assert len(prepared(DataConfig(train_limit=10_000), numbered()).train) == 90


def test_bad_sizes_are_told_with_what_to_do():
    cases = (
        (
            DataConfig(train_limit=5),
            (20, 20, 20),
            "limit of 5 training images is less than 2 for each of 3 classes; choose 6 or more",
        ),
        (
            DataConfig(train_limit=40),
            (30, 6, 30),
            "takes 13 of class 'b', which has 5; choose 15 or less, or 0 for all",
        ),
        (DataConfig(), (20, 0, 20), "class 'b' has 0 training images"),
        (DataConfig(validation_fraction=0.5), (20, 1, 20), "class 'b' has 1 training image, so"),
    )
    for config, per_class, message in cases:
        with pytest.raises(DataError, match=message):
            prepared(config, raw_images(per_class))


def test_a_class_of_two_images_gives_one_to_validation_whatever_the_fraction():
    splits = prepared(DataConfig(validation_fraction=0.02), raw_images((2, 50, 20)))
    assert torch.bincount(splits.validation.targets).tolist() == [1, 1, 1]
    assert torch.bincount(splits.train.targets).tolist() == [1, 49, 19]


def test_a_validation_part_of_its_own_is_used_as_it_is():
    raw = replace(numbered(), validation=torch.tensor([3, 40, 41, 99]))
    splits = prepared(DataConfig(validation_fraction=0.5), raw)
    assert torch.equal(splits.validation.inputs, raw.train_images[raw.validation])
    assert len(splits.train) == 96 and not numbers(splits.train) & numbers(splits.validation)
    assert splits.fingerprint != prepared(DataConfig(validation_fraction=0.5), numbered()).fingerprint


def test_the_limit_that_an_error_offers_works():
    available, spec = torch.tensor([27, 5, 27]), TaskSpec("classification", (3, 8, 8), 3, ("a", "b", "c"))
    assert limited_counts(available, spec, "Toy", 15).tolist() == [5, 5, 5]
    with pytest.raises(DataError, match="choose 15 or less"):
        limited_counts(available, spec, "Toy", 17)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6), data=st.data())
def test_stratified_takes_the_counts_and_splits_everything(sizes, data):
    targets = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    counts = torch.tensor([data.draw(st.integers(0, size)) for size in sizes])
    chosen, left = stratified(targets, counts, torch.Generator().manual_seed(1))
    assert torch.bincount(targets[chosen], minlength=len(sizes)).tolist() == counts.tolist()
    assert torch.equal(torch.cat([chosen, left]).sort().values, torch.arange(len(targets)))


def test_standard_train_pixels_have_mean_zero_and_deviation_one():
    splits = prepared(DataConfig())
    inputs, _ = splits.train.batch(torch.arange(len(splits.train)))
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_unit_only_divides_by_255():
    splits = prepared(DataConfig(normalisation="unit"))
    inputs, _ = splits.train.batch(torch.arange(4))
    assert torch.equal(inputs, splits.train.inputs[:4].float() / 255)


@pytest.mark.parametrize("config", (*PREPARATIONS, PODD), ids=str)
def test_nothing_outside_train_moves_what_is_fitted(config):
    raw = raw_images()
    before = prepared(config, raw)
    validation_inputs = prepared(DataConfig(), raw).validation.inputs
    is_validation = torch.tensor(
        [any(torch.equal(image, other) for other in validation_inputs) for image in raw.train_images]
    )
    train_images = torch.where(is_validation[:, None, None, None], 255 - raw.train_images, raw.train_images)
    after = prepared(config, RawImages(train_images, raw.train_targets, 255 - raw.test_images, raw.test_targets))
    old, new = before.preparation.state(), after.preparation.state()
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)
    assert not torch.equal(before.test.inputs, after.test.inputs)


def test_statistics_equal_the_plain_formula_and_are_exact_for_one_value():
    images = raw_images().train_images
    mean, std = channel_statistics(images)
    pixels = images.double() / 255
    torch.testing.assert_close(mean, pixels.mean((0, 2, 3)))
    torch.testing.assert_close(std, pixels.std((0, 2, 3), correction=0))
    assert channel_statistics(torch.full((4, 1, 5, 5), 9, dtype=torch.uint8))[1].item() == 0


def test_a_constant_channel_stays_finite():
    raw = raw_images(shape=(3, 8, 8))
    raw.train_images[:, 1] = 40
    splits = prepared(DataConfig(), raw)
    inputs, _ = splits.train.batch(torch.arange(10))
    assert inputs.isfinite().all() and inputs[:, 1].abs().max() < 1e-6


@pytest.mark.parametrize("config", PREPARATIONS, ids=str)
def test_display_gives_the_raw_pixels_back(config):
    raw = raw_images()
    splits = prepared(config, raw)
    inputs, _ = splits.test.batch(torch.arange(len(splits.test)))
    assert np.array_equal(splits.to_display(inputs), raw.test_images.permute(0, 2, 3, 1).numpy())


def test_podd_whitening_shows_images_up_to_brightness_and_contrast():
    raw = raw_images()
    splits = prepared(PODD, raw)
    inputs, _ = splits.test.batch(torch.arange(len(splits.test)))
    torch.testing.assert_close(inputs, splits.preparation.forward(raw.test_images), atol=1e-4, rtol=1e-4)
    assert splits.display_range is None and splits.preparation.normalisation == "zca_podd"
    shown = splits.to_display(inputs).reshape(len(inputs), -1).astype(float)
    pixels = raw.test_images.permute(0, 2, 3, 1).reshape(len(inputs), -1).double().numpy()
    agreement = [np.corrcoef(ours, theirs)[0, 1] for ours, theirs in zip(shown, pixels, strict=True)]
    assert min(agreement) > 0.99
    back = splits.preparation.of_pixels(splits.preparation.inverse(inputs))
    torch.testing.assert_close(back, inputs, atol=1e-3, rtol=1e-3)


def test_display_clips_and_survives_what_is_not_a_number():
    splits = prepared(DataConfig(normalisation="unit"))
    values = torch.tensor([-3.0, 0.5, 7.0, float("nan"), float("inf"), -float("inf")]).reshape(6, 1, 1, 1)
    shown = splits.to_display(values.expand(-1, 3, 1, 1))
    assert shown.dtype == np.uint8 and shown[:, 0, 0, 0].tolist() == [0, 128, 255, 0, 255, 0]


@pytest.mark.parametrize("normalisation", ["standard", "unit"])
def test_display_range_is_where_black_and_full_pixels_go(normalisation):
    splits = prepared(DataConfig(normalisation=normalisation))
    low, high = splits.display_range
    assert low.shape == high.shape == (3, 1, 1)
    ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(-1, 3, 1, 1)
    black, full = splits.preparation.forward(ends)
    torch.testing.assert_close(low, black)
    torch.testing.assert_close(high, full)


def test_zca_has_no_display_range_and_holds_floats():
    splits = prepared(DataConfig(zca=True))
    assert splits.display_range is None and splits.train.inputs.dtype == torch.float32
    inputs, _ = splits.train.batch(torch.arange(3))
    assert torch.equal(inputs, splits.train.inputs[:3])


@pytest.mark.parametrize("config", (*PREPARATIONS, PODD), ids=str)
def test_a_preparation_survives_being_written_as_tensors(config):
    preparation = prepared(config).preparation
    again = Preparation.from_state({name: tensor.clone() for name, tensor in preparation.state().items()})
    images = raw_images().test_images
    assert torch.equal(again.forward(images), preparation.forward(images))
    assert torch.equal(again.inverse(again.forward(images)), preparation.inverse(preparation.forward(images)))


def test_a_state_of_something_else_is_refused():
    with pytest.raises(DataError, match="does not say how its images were normalised"):
        Preparation.from_state({"weights": torch.zeros(3)})
    for kind in ("zca", "zca_podd"):
        with pytest.raises(DataError, match="does not say how"):
            Preparation.from_state({f"{kind}.mean": torch.zeros(3), f"{kind}.std": torch.ones(3)})


def test_the_two_whitenings_are_told_apart():
    standard, podd = (prepared(config).preparation for config in (DataConfig(zca=True), PODD))
    assert not standard.is_like(podd) and not podd.is_like(standard) and podd.is_like(prepared(PODD).preparation)


def test_held_inputs_prepare_to_what_forward_gives():
    raw = raw_images()
    splits = prepared(DataConfig(zca=True), raw)
    torch.testing.assert_close(splits.test.inputs, splits.preparation.forward(raw.test_images), atol=1e-5, rtol=1e-5)


def test_fingerprint_changes_with_anything_that_can_change_results():
    raw = raw_images()
    changed_pixel = raw_images()
    changed_pixel.test_images[0, 0, 0, 0] ^= 1
    changed_label = raw_images()
    changed_label.train_targets[[0, 1]] = changed_label.train_targets[[1, 0]]
    fingerprints = [
        prepared(DataConfig(), raw).fingerprint,
        prepared(DataConfig(), changed_pixel).fingerprint,
        prepared(DataConfig(), raw_images(seed=1)).fingerprint,
        prepared(DataConfig(), raw, key="other").fingerprint,
        *(
            prepared(config, raw).fingerprint
            for config in (
                DataConfig(normalisation="unit"),
                DataConfig(zca=True),
                DataConfig(zca=True, zca_eps=0.2),
                PODD,
                DataConfig(augmentation="flip"),
                DataConfig(augmentation="dsa"),
                DataConfig(augmentation="dsa", dsa_operations=("flip", "scale")),
                DataConfig(validation_fraction=0.2),
                DataConfig(train_limit=30),
            )
        ),
    ]
    assert len(set(fingerprints)) == len(fingerprints)
    assert prepared(DataConfig(), raw_images()).fingerprint == fingerprints[0]


def test_splits_moved_keep_their_preparation():
    splits = prepared(DataConfig())
    assert splits.to(torch.device("cpu")).preparation is splits.preparation


def test_progress_says_what_is_being_prepared():
    from engine.data.transforms.prepare import prepare_images

    spec = TaskSpec("classification", (3, 8, 8), 3, ("a", "b", "c"))
    events, _ = drained(prepare_images(raw_images(), spec, "Toy", "toy", DataConfig(zca=True)))
    phases = list(dict.fromkeys(event.phase for event in events))
    assert phases[0] == "prepare Toy" and "ZCA: eigenvectors" in phases and "ZCA: whiten test" in phases
    assert all(0 <= event.done <= event.total for event in events)


def test_augmentation_of_the_config_is_the_splits_one():
    inputs = torch.randn(8, 3, 8, 8)
    flipped = prepared(DataConfig(augmentation="flip")).augment(inputs, torch.Generator().manual_seed(0))
    assert not torch.equal(flipped, inputs)
    assert torch.equal(prepared(DataConfig()).augment(inputs, torch.Generator()), inputs)


@pytest.mark.parametrize("name", ["none", "flip", "crop", "flip_crop", "flip_rotate", "dsa"])
def test_siamese_augmentation_changes_all_images_of_a_batch_alike(name):
    splits = prepared(DataConfig(augmentation=name))
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for seed in range(12):
        inputs = image.repeat(6, 1, 1, 1).requires_grad_()
        changed = splits.siamese(inputs, torch.Generator().manual_seed(seed))
        assert all(torch.equal(changed[0], other) for other in changed[1:])
        changed.square().sum().backward()
        assert inputs.grad.isfinite().all() and inputs.grad.abs().sum() > 0
    own = [splits.augment(image.repeat(6, 1, 1, 1), torch.Generator().manual_seed(seed)) for seed in range(12)]
    assert any(not torch.equal(changed[0], other) for changed in own for other in changed[1:]) == (name != "none")


def test_operations_of_dsa_that_are_switched_off_are_never_drawn():
    splits = prepared(DataConfig(augmentation="dsa", dsa_operations=("flip",)))
    inputs = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        changed = splits.siamese(inputs, torch.Generator().manual_seed(seed))
        assert torch.equal(changed, inputs) or torch.equal(changed, inputs.flip(3))


def test_dsa_without_operations_is_refused_and_their_order_says_nothing():
    with pytest.raises(ConfigError, match="dsa_operations: choose at least one DSA operation, or another augmentation"):
        checked(DataConfig, {"augmentation": "dsa", "dsa_operations": []}, "data")
    some = DataConfig(augmentation="dsa", dsa_operations=("scale", "flip", "scale"))
    assert some == DataConfig(augmentation="dsa", dsa_operations=("flip", "scale"))


@pytest.mark.parametrize("config", [DataConfig(), DataConfig(zca=True), DataConfig(augmentation="dsa")])
def test_fingerprint_by_default_is_that_of_runs_from_before_there_was_a_choice(config):
    raw = raw_images()
    later = ("zca_kind", "dsa_operations", "windows")
    before = {name: value for name, value in config.model_dump(mode="json").items() if name not in later}
    said = json.dumps([prepare.RECIPE, "made", before], sort_keys=True).encode()
    expected = hashlib.blake2b(said + raw.digest(), digest_size=16).hexdigest()
    assert prepared(config, raw, key="made").fingerprint == expected
