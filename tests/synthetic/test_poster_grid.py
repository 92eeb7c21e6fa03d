"""The geometry of posters: patches are plain slices, cover everything, and the sizes chosen keep to their budget."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from poster_grids import PUBLISHED, grids

from engine.core.errors import ConfigError
from engine.core.spacing import edges, offsets
from engine.synthetic.poster_grid import PosterGrid, PosterTooSmall, patches, planned_grid


@settings(max_examples=60, deadline=None)
@given(grid=grids(), channels=st.sampled_from([1, 3]))
def test_patches_are_the_slices_that_the_rule_says(grid, channels):
    poster = torch.randn(channels, grid.height, grid.width)
    expected = []
    for i in range(grid.patch_rows):
        for j in range(grid.patch_columns):
            top = round(i * (grid.height - grid.patch_height) / max(grid.patch_rows - 1, 1))
            left = round(j * (grid.width - grid.patch_width) / max(grid.patch_columns - 1, 1))
            expected.append(poster[:, top : top + grid.patch_height, left : left + grid.patch_width])
    assert torch.equal(patches(poster, grid), torch.stack(expected))
    some = torch.randperm(grid.num_patches)[:3]
    assert torch.equal(patches(poster, grid, some), torch.stack([expected[index] for index in some]))


@settings(max_examples=60, deadline=None)
@given(grid=grids())
def test_the_gradient_of_a_pixel_counts_the_patches_that_show_it_and_none_is_left_out(grid):
    poster = torch.zeros(2, grid.height, grid.width, requires_grad=True)
    patches(poster, grid).sum().backward()
    covered = np.zeros((grid.height, grid.width))
    for top in grid.patch_tops:
        for left in grid.patch_lefts:
            covered[top : top + grid.patch_height, left : left + grid.patch_width] += 1
    assert np.array_equal(poster.grad[1].numpy(), covered) and covered.min() >= 1


def test_gradients_through_patches_agree_with_finite_differences():
    grid = PosterGrid(5, 7, 1, 2, 3, 4, 3, 3)
    poster = torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor([5, 0, 11, 5])
    assert torch.autograd.gradcheck(lambda p: patches(p, grid, indices).sin(), poster)
    assert torch.autograd.gradgradcheck(lambda p: patches(p, grid, indices).sin(), poster)


@given(length=st.integers(2, 200), data=st.data())
def test_patches_reach_both_ends(length, data):
    size = data.draw(st.integers(1, length - 1))
    starts = offsets(length, size, data.draw(st.integers(2, 40)))
    assert starts[0] == 0 and starts[-1] == length - size and starts == sorted(starts)


@given(length=st.integers(1, 200), data=st.data())
def test_cells_partition_the_pixels_and_differ_by_one_at_most(length, data):
    sizes = np.diff(edges(length, data.draw(st.integers(1, length))))
    assert sizes.sum() == length and sizes.min() >= 1 and sizes.max() - sizes.min() <= 1


def test_a_patch_larger_than_the_poster_is_refused_with_both_sizes():
    with pytest.raises(PosterTooSmall, match="patch of 32 x 32 pixels does not fit in a poster of 20 x 90"):
        PosterGrid(20, 90, 2, 5, 1, 5, 32, 32)
    assert issubclass(PosterTooSmall, ConfigError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"patch_rows": 1},
            "1 rows of patches of 8 pixels do not suit a poster of 20. Every pixel is in a patch with 3 to 13 rows",
        ),
        ({"patch_columns": 34}, "No two patches are the same with 5 to 33 columns"),
        ({"class_rows": 21}, "21 x 5 class cells need more pixels than a poster of 20 x 40"),
        ({"patch_rows": 0}, "whole numbers of 1 or more"),
        ({"patch_rows": 3.0}, "whole numbers of 1 or more"),
        (
            {"height": 2000, "width": 2000, "class_rows": 2000, "class_columns": 100}
            | {"patch_rows": 300, "patch_columns": 300},
            "takes too much memory. Choose fewer patches, fewer class cells",
        ),
        ({"width": 10**7, "patch_columns": 2 * 10**6}, "takes too much memory"),
    ],
)
def test_what_cannot_be_a_poster_is_told_with_what_can(change, message):
    sizes = asdict(PosterGrid(20, 40, 2, 5, 4, 9, 8, 8))
    with pytest.raises(ConfigError, match=message):
        PosterGrid(**sizes | change)


@pytest.mark.parametrize(("grid", "num_classes", "ipc"), PUBLISHED.values(), ids=PUBLISHED)
def test_published_posters_have_the_images_per_class_that_were_worked_out_for_them(grid, num_classes, ipc):
    assert grid.ipc(num_classes) == pytest.approx(ipc, abs=5e-4)


@pytest.mark.parametrize(
    ("num_classes", "cells"),
    [(10, (2, 5)), (100, (10, 10)), (200, (10, 20)), (2, (1, 2)), (1, (1, 1)), (7, (2, 4)), (11, (3, 4)), (12, (3, 4))],
)
def test_class_grids_are_near_to_square_with_few_empty_cells(num_classes, cells):
    grid = planned_grid(1.0, num_classes, (32, 32))
    assert (grid.class_rows, grid.class_columns) == cells


@settings(max_examples=100, deadline=None)
@given(num_classes=st.integers(1, 300), ipc=st.floats(0.2, 3), height=st.integers(4, 40), width=st.integers(4, 40))
def test_a_planned_poster_keeps_to_its_budget_and_comes_near_to_it(num_classes, ipc, height, width):
    budget = ipc * num_classes * height * width
    if budget < height * width:
        with pytest.raises(PosterTooSmall, match="less than one image"):
            planned_grid(ipc, num_classes, (height, width))
        return
    try:
        grid = planned_grid(ipc, num_classes, (height, width))
    except ConfigError as error:
        assert "class cells need more pixels" in str(error) and height * width <= 64
        return
    # the width is cut to a whole pixel, so at most one column is left over
    assert budget - grid.height - 1 <= grid.height * grid.width <= budget + 1e-6
    assert num_classes <= grid.num_cells < num_classes + grid.class_columns
    assert grid.class_columns <= 2.5 * grid.class_rows


def test_cifar10_at_nine_tenths_gets_the_published_size_and_about_as_many_patches():
    grid = planned_grid(0.9, 10, (32, 32))
    assert (grid.height, grid.width, grid.class_rows, grid.class_columns) == (60, 153, 2, 5)
    assert 70 <= grid.num_patches <= 130


@pytest.mark.parametrize(("num_classes", "fewest", "most"), [(10, 80, 128), (12, 80, 128), (100, 250, 400)])
def test_larger_posters_are_cut_into_about_as_many_patches(num_classes, fewest, most):
    for ipc in (0.3, 0.4, 0.5, 0.9, 1.0):
        assert fewest <= planned_grid(ipc, num_classes, (32, 32)).num_patches <= most


def test_half_an_image_of_ten_classes_is_cut_as_it_was_measured():
    grids = {side: planned_grid(0.5, 10, (side, side)) for side in (28, 32)}
    assert {side: (grid.patch_rows, grid.patch_columns) for side, grid in grids.items()} == {28: (5, 25), 32: (5, 22)}


def test_sizes_given_by_hand_are_kept_and_the_rest_is_chosen_for_them():
    grid = planned_grid(0.9, 10, (32, 32), height=64, patch_columns=20, class_rows=1)
    assert (grid.height, grid.width, grid.patch_columns, grid.class_columns) == (64, 144, 20, 10)
    over = planned_grid(0.5, 10, (32, 32), height=100, width=200)
    assert (over.height, over.width) == (100, 200) and over.ipc(10) == pytest.approx(20_000 / 10_240)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.05, 10, (8, 8)), "0.05 images per class of 10 classes are less than one image. Choose at least 0.1"),
        ((0.5, 10, (8, 8), 5, 5), "patch of 8 x 8 pixels does not fit in a poster of 5 x 5"),
        ((0.5, 10, (8, 8), 100), "patch of 8 x 8 pixels does not fit in a poster of 100 x 3"),
        ((0.5, 10, (8, 8), 0, 10_000), "patch of 8 x 8 pixels does not fit in a poster of 1 x 10000"),
        ((0.5, 10, (8, 8), 10_000), "patch of 8 x 8 pixels does not fit in a poster of 10000 x 1"),
        ((1, 10, (8, 8), 0, 0, 3, 3), "3 x 3 class cells cannot hold 10 classes. Choose at least 4 columns"),
        ((1, 10, (8, 8), 0, 0, 0, 0, 1), "Every pixel is in a patch with 2 to 9 rows"),
    ],
)
def test_impossible_plans_are_told_with_what_to_do(arguments, message):
    with pytest.raises(ConfigError, match=message):
        planned_grid(*arguments)
