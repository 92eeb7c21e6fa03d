"""Ridge regression: equal to a dense solve, differentiable, and safe where the kernel is singular."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.core.errors import Diverged
from engine.meta.ridge import predict


def made(n=6, D=4, d=3, q=5, seed=0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n, D), (n, d), (q, D)))


def dense(features: Tensor, targets: Tensor, queries: Tensor, ridge: float) -> Tensor:
    """W = (phi^T phi + lambda I)^-1 phi^T Y of a linear layer with a bias column, by the normal equations."""
    phi, psi = (torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1) for x in (features, queries))
    penalty = ridge * phi.square().sum()  # the trace of phi phi^T
    W = torch.linalg.solve(phi.T @ phi + penalty * torch.eye(phi.shape[1], dtype=phi.dtype), phi.T @ targets)
    return psi @ W


@pytest.mark.parametrize(("n", "D"), [(6, 4), (4, 9)], ids=["more samples", "more features"])
@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0])
def test_equals_the_normal_equations_of_a_linear_layer(n, D, ridge):
    features, targets, queries = made(n, D)
    assert torch.allclose(
        predict(features, targets, queries, ridge), dense(features, targets, queries, ridge), rtol=1e-6
    )


def test_without_a_bias_the_published_kernel_is_inverted():
    features, targets, queries = made()
    kernel = features @ features.T
    ridge = 1e-3 * kernel.trace() / len(features)  # FRePo's
    expected = queries @ features.T @ torch.linalg.inv(kernel + ridge * torch.eye(6, dtype=kernel.dtype)) @ targets
    found = predict(features, targets, queries, 1e-3 / len(features), has_bias=False)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    features, targets, queries = (tensor.requires_grad_() for tensor in made())
    assert torch.autograd.gradcheck(lambda *given: predict(*given, 1e-3), (features, targets, queries))


def test_many_features_and_hardly_any_ridge_reproduce_the_targets():
    features, targets, _ = made(n=4, D=20)
    assert torch.allclose(predict(features, targets, features, 1e-9), targets, atol=1e-5)


def test_a_large_ridge_predicts_nothing():
    assert predict(*made(), 1e9).abs().max() < 1e-6


def test_doubled_samples_have_a_singular_kernel_and_still_the_prediction_of_the_single_ones():
    features, targets, queries = (tensor.float() for tensor in made(n=4, D=20))
    doubled = torch.cat([features, features]), torch.cat([targets, targets])
    phi = torch.cat([doubled[0], torch.ones(8, 1)], 1)
    assert torch.linalg.cholesky_ex((phi @ phi.T).double()).info, "this kernel cannot be factored as it is"
    twice = predict(*doubled, queries, 1e-15)
    assert torch.allclose(twice, predict(features, targets, queries, 1e-12), atol=1e-2)


def test_features_that_are_not_finite_say_what_to_do():
    features, targets, queries = made()
    features[0, 0] = torch.nan
    with pytest.raises(Diverged, match="Lower the inner learning rate"):
        predict(features, targets, queries, 1e-6)
