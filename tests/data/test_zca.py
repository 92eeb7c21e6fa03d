"""ZCA: what it promises about covariances, and that it can be undone."""

from __future__ import annotations

import time

import pytest
import torch
from draining import drained
from making import raw_images

from engine.data import zca
from engine.events import Progress


def correlated(num: int = 600, side: int = 5) -> torch.Tensor:
    """Grey images whose neighbouring pixels agree."""
    noise = torch.randn(num, 1, side + 2, side + 2, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1)
    return (128 + 90 * smooth).clamp(0, 255).to(torch.uint8)


def test_covariance_of_whitened_train_images_is_the_identity_at_small_eps():
    images = correlated()
    _, fitted = drained(zca.fit(images, 1e-6))
    whitened = fitted.whiten(images.float() / 255).flatten(1).double()
    torch.testing.assert_close(whitened.T.cov(), torch.eye(25, dtype=torch.float64), atol=2e-3, rtol=0)
    assert whitened.mean(0).abs().max() < 1e-4


def test_eps_shrinks_the_covariance_as_the_formula_says():
    images = correlated()
    _, fitted = drained(zca.fit(images, 0.1))
    covariance = (images.flatten(1).double() / 255).T.cov()
    energies, vectors = torch.linalg.eigh(covariance)
    expected = (vectors * (energies / (energies + 0.1))) @ vectors.T
    whitened = fitted.whiten(images.float() / 255).flatten(1).double()
    torch.testing.assert_close(whitened.T.cov(), expected, atol=1e-5, rtol=1e-4)


def test_matrices_equal_the_plain_formula_in_float64():
    images = correlated(50)
    _, fitted = drained(zca.fit(images, 0.1))
    pixels = images.flatten(1).double() / 255
    energies, vectors = torch.linalg.eigh(pixels.T.cov())
    root = vectors @ torch.diag((energies + 0.1).rsqrt()) @ vectors.T
    torch.testing.assert_close(fitted.forward.double(), root, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fitted.mean.double(), pixels.mean(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("eps", [1e-6, 0.1, 10.0])
def test_inverse_of_forward_is_the_identity(eps):
    images = raw_images().train_images
    _, fitted = drained(zca.fit(images, eps))
    pixels = images.float() / 255
    torch.testing.assert_close(fitted.colour(fitted.whiten(pixels)), pixels, atol=2e-4, rtol=0)


def test_fewer_images_than_pixels_and_constant_pixels_are_no_trouble():
    images = torch.full((3, 3, 6, 6), 7, dtype=torch.uint8)
    _, fitted = drained(zca.fit(images, 0.1))
    assert fitted.forward.isfinite().all() and fitted.whiten(images.float() / 255).abs().max() < 1e-5


def test_whitening_in_chunks_equals_whitening_at_once(monkeypatch):
    images = correlated(50)
    _, whole = drained(zca.fit(images, 0.1))
    monkeypatch.setattr(zca, "CHUNK_VALUES", 7 * 25)
    events, chunked = drained(zca.fit(images, 0.1))
    torch.testing.assert_close(chunked.forward, whole.forward, atol=1e-5, rtol=1e-5)
    _, whitened = drained(zca.whiten_images(chunked, images, "whiten"))
    torch.testing.assert_close(whitened, whole.whiten(images.float() / 255), atol=1e-4, rtol=1e-4)
    assert sum(event.phase == "ZCA: covariance" for event in events) == 9  # 8 chunks and the end


def test_one_long_piece_of_work_ticks():
    events, result = drained(zca.ticking("work", lambda: time.sleep(1.2) or "done"))
    assert result == "done"
    assert len(events) >= 3 and events[-1] == Progress("work", 1, 1)


def test_an_error_in_the_work_comes_out():
    with pytest.raises(ZeroDivisionError):
        drained(zca.ticking("work", lambda: 1 / 0))
