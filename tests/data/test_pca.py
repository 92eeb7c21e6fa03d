"""Principal components: those of scikit-learn, and better the more there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from engine.core.errors import ConfigError
from engine.data.transforms.pca import pca


def rows(num_rows: int, num_values: int, seed: int = 0) -> torch.Tensor:
    """Rows whose values have different variances and depend on each other, around a mean."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(num_rows, num_values, generator=generator, dtype=torch.float64) / torch.arange(
        1, num_values + 1
    )
    return mixed @ torch.randn(num_values, num_values, generator=generator, dtype=torch.float64) + 3


def error(data: torch.Tensor, number: int) -> float:
    fitted = pca(data, number)
    return float((fitted.mean + fitted.scores(data) @ fitted.bases - data).norm())


@pytest.mark.parametrize(("num_rows", "num_values"), [(60, 12), (12, 12), (8, 30)])
def test_components_are_those_of_scikit_learn(num_rows, num_values):
    data = rows(num_rows, num_values)
    theirs = PCA(5, svd_solver="full").fit(data.numpy())
    ours = pca(data, 5)
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-10)
    agreement = (ours.bases.numpy() * theirs.components_).sum(1)
    np.testing.assert_allclose(np.abs(agreement), 1, rtol=1e-8)  # up to the sign
    np.testing.assert_allclose(ours.variances[:5], theirs.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(ours.explained[:5], theirs.explained_variance_ratio_, rtol=1e-8)
    assert len(ours.variances) == min(num_rows, num_values)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20), st.integers(1, 15), st.integers(0, 1000))
def test_error_falls_with_the_number_of_bases_and_is_none_at_full_rank(num_rows, num_values, seed):
    data = rows(num_rows, num_values, seed)
    errors = [error(data, number) for number in range(1, min(num_rows, num_values) + 1)]
    slack = 1e-6 * float(data.norm())
    assert all(later <= earlier + slack for earlier, later in zip(errors, errors[1:], strict=False))
    assert errors[-1] < slack and (len(errors) < 3 or errors[0] > errors[-1])


@pytest.mark.parametrize(("num_rows", "num_values"), [(40, 9), (9, 40)])
def test_bases_are_orthonormal_with_positive_largest_entries(num_rows, num_values):
    bases = pca(rows(num_rows, num_values), 9).bases
    torch.testing.assert_close(bases @ bases.T, torch.eye(9, dtype=torch.float64))
    assert (bases.gather(1, bases.abs().argmax(1, keepdim=True)) > 0).all()


def test_both_ways_find_the_same():
    """20 rows of 19 values by their covariance; the same with a few values that never change by the products of
    rows.
    """
    data = rows(20, 19)
    wide = torch.cat([data, torch.ones(20, 5, dtype=torch.float64)], 1)
    narrow, other = pca(data, 10), pca(wide, 10)
    torch.testing.assert_close(other.bases[:, :19], narrow.bases, atol=1e-8, rtol=0)
    torch.testing.assert_close(other.variances[:19], narrow.variances, atol=1e-9, rtol=1e-6)


def test_single_precision_is_kept_and_repeated_to_the_bit():
    data = rows(50, 10).float()
    first, again = pca(data, 4), pca(data.clone(), 4)
    assert first.bases.dtype == first.mean.dtype == torch.float32
    assert torch.equal(first.bases, again.bases) and torch.equal(first.variances, again.variances)


def test_equal_rows_have_a_mean_and_no_variance():
    fitted = pca(torch.full((6, 4), 2.5), 2)
    assert fitted.explained.tolist() == [0, 0, 0, 0] and fitted.mean.tolist() == [2.5] * 4
    assert fitted.bases.isfinite().all()


def test_more_components_than_there_are_is_refused_with_how_many_there_can_be():
    with pytest.raises(ConfigError, match="at most 7 image bases of 7 training images with 12 values"):
        pca(rows(7, 12), 8, "image bases")
