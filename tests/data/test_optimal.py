"""Optimal augmentations: the images under which Barlow Twins would learn the representations that are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.data.transforms import optimal as made
from engine.data.transforms.optimal import coordinates, kernel_matrix, optimal, regression, transformation, whitened

RBF = {"kernel": "rbf", "gamma": 0.01, "ridge": 1.0, "preimage_ridge": 1.0}
LINEAR = RBF | {"kernel": "linear"}


def pairs(n: int, d: int, *shape: int, dtype=torch.float64, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, *shape) and representations (n, d) that come of them, neither of mean 0."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, *(shape or (3, 5, 4)), generator=generator, dtype=dtype) + 0.3
    weights = torch.randn(images[0].numel(), d, generator=generator, dtype=dtype) / 4
    return images, torch.tanh(images.flatten(1) @ weights) + 2


def parts(n=30, d=6, kernel="rbf", ridge=1.0):
    """Centred rows, their coordinates, W and T."""
    images, representations = pairs(n, d)
    rows = images.flatten(1) - images.flatten(1).mean(0)
    of = coordinates(kernel_matrix(rows, kernel, 0.01))
    weights = regression(of, whitened(representations), ridge)
    return rows, of, weights, transformation(of, weights)


@pytest.mark.parametrize("d", [6, 50])
def test_targets_are_white_and_span_the_representations(d):
    _, representations = pairs(30, d)
    found = whitened(representations)
    assert found.shape == (30, min(d, 29))
    torch.testing.assert_close(found.T @ found / 30, torch.eye(found.shape[1], dtype=torch.float64))
    centred = representations - representations.mean(0)
    torch.testing.assert_close(found @ (found.T @ centred) / 30, centred)


def test_directions_that_hardly_vary_are_no_targets():
    _, representations = pairs(30, 6)
    flat = representations.clone()
    flat[:, 5] = 2 + 1e-6 * flat[:, 5]
    assert whitened(flat).shape == (30, 5)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("ridge", [1e-6, 1.0, 30.0])
def test_images_and_their_changes_have_the_identity_as_their_cross_moment(kernel, ridge):
    """The theorem: the symmetrised moment of f(x) and f(x') is what the objective asks for."""
    _, of, weights, turn = parts(kernel=kernel, ridge=ridge)
    plain = of.vectors * of.values.sqrt() @ weights.T  # (n, k)
    changed = of.vectors * of.values.sqrt() @ turn @ weights.T
    moment = plain.T @ changed / len(plain)
    torch.testing.assert_close((moment + moment.T) / 2, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-8)


def test_the_regression_is_kernel_ridge_regression_and_without_ridge_gives_the_targets():
    images, representations = pairs(30, 6)
    rows, of, _, _ = parts()
    targets, matrix = whitened(representations), kernel_matrix(rows, "rbf", 0.01)
    solved = matrix @ torch.linalg.solve(matrix + 0.5 * torch.eye(30), targets)
    torch.testing.assert_close(of.vectors * of.values.sqrt() @ regression(of, targets, 0.5).T, solved)
    exact = of.vectors * of.values.sqrt() @ regression(of, targets, 0.0).T
    torch.testing.assert_close(exact, targets, rtol=1e-6, atol=1e-6)


def test_the_change_is_symmetric_and_solves_the_lyapunov_equation():
    _, of, weights, turn = parts()
    moment = torch.diag(of.values) / 30
    inverse = torch.linalg.pinv(weights)
    torch.testing.assert_close(turn, turn.T)
    torch.testing.assert_close((moment @ turn + turn @ moment) / 2, inverse @ inverse.T)


def test_the_rbf_kernel_by_a_naive_loop():
    rows = pairs(7, 2)[0].flatten(1)
    expected = [[np.exp(-0.2 * float((a - b).square().sum())) for a in rows] for b in rows]
    np.testing.assert_allclose(kernel_matrix(rows, "rbf", 0.2).numpy(), expected, rtol=1e-10)


def test_preimages_by_a_linear_kernel_without_ridge_have_the_coordinates_exactly():
    rows, of, _, turn = parts(kernel="linear")
    wanted = of.vectors * of.values.sqrt() @ turn
    found = made.preimages(of, rows, wanted, 0.0)
    axes = rows.T @ of.vectors / of.values.sqrt()  # (D, r): coordinates of the rows are rows @ axes
    torch.testing.assert_close(rows @ axes, of.vectors * of.values.sqrt())
    torch.testing.assert_close(found @ axes, wanted)


@pytest.mark.parametrize("options", [RBF, LINEAR])
def test_the_result_is_the_formula_at_the_images_own_spread(options):
    """Solved by plain inverses, with no coordinate left out."""
    images, representations = pairs(12, 4)
    rows = images.flatten(1) - images.flatten(1).mean(0)
    matrix = kernel_matrix(rows, options["kernel"], options["gamma"])
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > 1e-10 * values.max()
    values, phi = values[kept], (vectors * values.clamp_min(0).sqrt())[:, kept]
    weights = (torch.linalg.inv(matrix + torch.eye(12)) @ whitened(representations)).T @ phi
    inverse = weights.T @ torch.linalg.inv(weights @ weights.T)
    turn = 2 * inverse @ inverse.T / ((values[:, None] + values) / 12)
    found = (rows.T @ torch.linalg.inv(matrix + torch.eye(12)) @ phi @ turn @ phi.T).T
    expected = images.flatten(1).mean(0) + found * (rows.norm() / found.norm())
    torch.testing.assert_close(optimal(images, representations, **options).flatten(1), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [RBF, LINEAR])
def test_images_in_another_order_are_changed_alike(options):
    images, representations = pairs(20, 6)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    found = optimal(images[order], representations[order], **options)
    torch.testing.assert_close(found, optimal(images, representations, **options)[order])


def test_representations_turned_shifted_and_scaled_give_the_same_images():
    images, representations = pairs(20, 4)
    turn = torch.linalg.qr(pairs(4, 4)[1])[0]
    found = optimal(images, 3 * representations @ turn - 1, **RBF)
    torch.testing.assert_close(found, optimal(images, representations, **RBF))
    other = optimal(images, representations.roll(1, 0), **RBF)
    assert not torch.allclose(found, other, atol=0.1)


@pytest.mark.parametrize("options", [RBF, LINEAR, RBF | {"ridge": 0.0, "preimage_ridge": 0.0}])
@pytest.mark.parametrize(("n", "d"), [(1, 4), (2, 4), (10, 40), (60, 8)])
def test_few_images_and_doubled_ones_stay_finite_and_within_their_spread(options, n, d):
    images, representations = pairs(n, d, 1, 6, 6, dtype=torch.float32)
    for each in (images, images.repeat(2, 1, 1, 1), torch.ones_like(images)):
        found = optimal(each, representations.repeat(len(each) // n, 1), **options)
        assert found.shape == each.shape and found.dtype == torch.float32 and found.isfinite().all()
        spread = (each - each.mean(0)).norm()
        assert (found - each.mean(0)).norm() <= 1.001 * spread + 1e-5
        torch.testing.assert_close(found[:n], found[-n:], rtol=1e-3, atol=1e-3)


def test_a_thousand_images_are_finite():
    images, representations = pairs(1000, 16, 1, 8, 8, dtype=torch.float32)
    assert optimal(images, representations, **RBF | {"gamma": 1e-5}).isfinite().all()


def test_more_images_than_fit_in_a_kernel_are_taken_in_their_order(monkeypatch):
    images, representations = pairs(25, 4)
    monkeypatch.setattr(made, "MOST_AT_ONCE", 10)
    found = optimal(images, representations, **RBF)
    apart = [
        optimal(images[rows], representations[rows], **RBF) for rows in (slice(0, 10), slice(10, 20), slice(20, 25))
    ]
    assert torch.equal(found, torch.cat(apart))


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_finite_gives_nan_in_place_of_an_error(place):
    given = pairs(8, 3)
    given[place][0, 0] = float("inf")
    assert optimal(*given, **RBF).isnan().all()


def test_the_result_is_detached():
    images, representations = (each.requires_grad_() for each in pairs(8, 3))
    assert not optimal(images, representations, **RBF).requires_grad
