"""Labels of patches: areas are pixel counts, rows sum to one, and a label map loses no class."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from poster_grids import PUBLISHED, grids

from engine.core.spacing import edges
from engine.synthetic.poster_grid import PosterGrid, patches
from engine.synthetic.poster_labels import (
    class_areas,
    fixed_labels,
    label_cells,
    read_labels,
    reading_weights,
    starting_map,
)

GRID = PosterGrid(11, 29, 2, 5, 3, 12, 8, 8)
ORDER = (3, 1, 4, 0, 9, 2, 6, 5, 8, 7)


def painted(grid: PosterGrid, order: tuple[int, ...]) -> torch.Tensor:
    """(H, W) with the class of each pixel, cell by cell."""
    found = torch.empty(grid.height, grid.width)
    tops, lefts = edges(grid.height, grid.class_rows), edges(grid.width, grid.class_columns)
    for cell, label in enumerate(order):
        i, j = divmod(cell, grid.class_columns)
        found[tops[i] : tops[i + 1], lefts[j] : lefts[j + 1]] = label
    return found


@settings(max_examples=40, deadline=None)
@given(grid=grids())
def test_class_areas_are_counts_of_pixels(grid):
    order = tuple(torch.randperm(grid.num_cells).tolist())
    seen = patches(painted(grid, order)[None], grid).flatten(1)
    counted = torch.stack([(seen == label).sum(1) for label in range(grid.num_cells)], 1)
    assert torch.equal(class_areas(grid, order), counted.float())


@pytest.mark.parametrize("rule", ["share", "softmax"])
@pytest.mark.parametrize("order", [ORDER, (3, -1, -1, 0, -1, 2, 1, -1, -1, -1)])
def test_fixed_labels_are_distributions_whatever_the_cells_hold(rule, order):
    labels = fixed_labels(GRID, order, rule, 0.5)
    torch.testing.assert_close(labels.sum(1), torch.ones(36))
    assert labels.min() >= 0 and labels.shape == (36, max(order) + 1)


def test_a_patch_over_empty_cells_alone_gets_the_same_of_each_class():
    labels = fixed_labels(PosterGrid(4, 16, 1, 4, 1, 4, 4, 4), (0, -1, 1, -1))
    assert labels.tolist() == [[1, 0], [0.5, 0.5], [0, 1], [0.5, 0.5]]


def test_the_published_labels_are_a_softmax_of_counts_and_nearly_one_hot():
    grid = PUBLISHED["cifar10"][0]
    order = tuple(range(10))
    published = class_areas(grid, order).softmax(1)
    torch.testing.assert_close(fixed_labels(grid, order, "softmax", 1 / 32**2), published)
    assert (published.max(1).values > 0.999).float().mean() > 0.9
    assert (fixed_labels(grid, order).max(1).values > 0.999).float().mean() < 0.1


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_exact_fit_of_the_label_budget_loses_no_class(name):
    """The published rule wants fewer cells than the budget: 10 x 9 for 100 classes, which loses ten of them."""
    grid, num_classes, _ = PUBLISHED[name]
    cells = label_cells(grid, num_classes, 1.0)
    assert cells == (grid.class_rows, grid.class_columns)
    assert starting_map(grid, tuple(range(num_classes)), cells).sum((1, 2)).tolist() == [1.0] * num_classes


@pytest.mark.parametrize(("budget", "cells"), [(0.3, (2, 5)), (1, (2, 5)), (3.9, (3, 8)), (4, (4, 10)), (10, (6, 15))])
def test_label_maps_have_the_aspect_of_the_class_grid_within_their_budget(budget, cells):
    assert label_cells(PUBLISHED["cifar10"][0], 10, budget) == cells


def test_no_label_cell_is_smaller_than_a_pixel():
    rows, columns = label_cells(GRID, 10, 500.0)
    assert 2 <= rows <= GRID.height and 5 <= columns <= GRID.width


@pytest.mark.parametrize("cells", [(2, 5), (4, 10), (3, 7), (5, 5)])
def test_a_starting_map_shares_out_every_cell_and_reads_as_areas(cells):
    grid = PosterGrid(12, 30, 2, 5, 5, 12, 8, 8)  # class cells of whole pixels
    start = starting_map(grid, ORDER, cells)
    torch.testing.assert_close(start.sum(0), torch.ones(cells))
    torch.testing.assert_close(start.sum((1, 2)), torch.full((10,), cells[0] * cells[1] / 10))
    if cells in ((2, 5), (4, 10)):
        labels = read_labels(start, *every_patch(grid, cells))
        torch.testing.assert_close(labels, fixed_labels(grid, ORDER), atol=1e-3, rtol=0)


def every_patch(grid: PosterGrid, cells: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = reading_weights(grid, cells)
    return rows.repeat_interleave(grid.patch_columns, 0), columns.repeat(grid.patch_rows, 1)


def test_reading_a_label_map_is_its_mean_over_the_patch_counted_on_a_fine_grid():
    grid, cells, fine = PosterGrid(10, 14, 2, 5, 4, 6, 4, 3), (3, 7), 21  # 21 parts a pixel: borders of all cells
    label_map = torch.rand(5, *cells)
    by_point = label_map.repeat_interleave(10 * fine // 3, 1).repeat_interleave(14 * fine // 7, 2)
    masses = []
    for top in grid.patch_tops:
        for left in grid.patch_lefts:
            inside = by_point[:, top * fine : (top + 4) * fine, left * fine : (left + 3) * fine]
            masses.append(inside.mean((1, 2)))
    masses = torch.stack(masses) + 1e-3 / 5
    torch.testing.assert_close(
        read_labels(label_map, *every_patch(grid, cells)), masses / masses.sum(1, keepdim=True), atol=1e-5, rtol=0
    )


def test_neighbours_of_a_label_map_mix():
    labels = read_labels(starting_map(GRID, ORDER, (2, 5)), *every_patch(GRID, (2, 5)))
    assert ((labels > 0.05).sum(1) >= 2).all()


def test_a_label_map_of_zeros_reads_evenly_with_finite_gradients_that_lead_out_of_it():
    label_map = torch.zeros(10, 2, 5, requires_grad=True)
    labels = read_labels(label_map, *every_patch(GRID, (2, 5)))
    torch.testing.assert_close(labels, torch.full((36, 10), 0.1))
    labels[:, 3].log().sum().backward()
    assert label_map.grad.isfinite().all() and (label_map.grad[3] > 0).all()


def test_gradients_through_a_label_map_agree_with_finite_differences():
    label_map = torch.rand(4, 2, 3, dtype=torch.float64, requires_grad=True)
    rows, columns = (weights.double() for weights in every_patch(PosterGrid(6, 9, 2, 2, 3, 4, 4, 4), (2, 3)))
    assert torch.autograd.gradcheck(lambda m: read_labels(m, rows, columns), label_map)
