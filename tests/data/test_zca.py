"""ZCA: what it promises about covariances, and that it can be undone."""

from __future__ import annotations

import pytest
import torch
from draining import drained
from making import raw_images

from engine.data.transforms import zca


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


def contrasting(num: int = 300) -> torch.Tensor:
    """Colour images of very different brightness and contrast."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.avg_pool2d(torch.randn(num, 3, 7, 7, generator=generator), 3, 1)
    level, contrast = (
        torch.rand(2, num, 1, 1, 1, generator=generator) * torch.tensor([100.0, 60]).view(2, 1, 1, 1, 1)
    ) + 40
    return (level + contrast * noise).clamp(0, 255).to(torch.uint8)


def test_the_per_image_matrices_equal_the_published_formula_whatever_the_flattening():
    images = contrasting()
    _, fitted = drained(zca.fit_per_image(images, 0.1))
    flat = (images.double() / 255).permute(0, 2, 3, 1).flatten(1)  # height, width, channels, as published
    flat = flat - flat.mean(1, keepdim=True)
    flat = flat / flat.norm(dim=1, keepdim=True)
    energies, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    whitening = vectors @ torch.diag((energies + 0.1 * energies.mean()).rsqrt()) @ vectors.T
    expected = (flat @ whitening).view(len(flat), 5, 5, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(fitted.whiten(images.float() / 255).double(), expected, atol=1e-4, rtol=1e-4)


def test_per_image_whitening_forgets_brightness_and_contrast_alone():
    images = contrasting()
    _, fitted = drained(zca.fit_per_image(images, 0.1))
    pixels = images.float() / 255
    torch.testing.assert_close(fitted.whiten(0.5 * pixels + 0.2), fitted.whiten(pixels), atol=1e-4, rtol=0)
    back, flat = fitted.colour(fitted.whiten(pixels)).flatten(1), pixels.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    expected = centred / centred.norm(dim=1, keepdim=True) * centred.norm(dim=1).mean() + flat.mean()
    torch.testing.assert_close(back, expected, atol=1e-4, rtol=0)


def test_per_image_whitening_of_images_of_one_colour_is_no_trouble():
    images = torch.arange(40, 46, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 6, 6).contiguous()
    _, fitted = drained(zca.fit_per_image(images, 0.1))
    whitened = fitted.whiten(images.float() / 255)
    assert not whitened.any() and fitted.colour(whitened).isfinite().all()


def test_per_image_whitening_in_chunks_equals_whitening_at_once(monkeypatch):
    images = contrasting(50)
    _, whole = drained(zca.fit_per_image(images, 0.1))
    monkeypatch.setattr(zca, "CHUNK_VALUES", 7 * 75)
    _, chunked = drained(zca.fit_per_image(images, 0.1))
    for name in ("level", "contrast", "forward", "backward"):
        torch.testing.assert_close(getattr(chunked, name), getattr(whole, name), atol=1e-4, rtol=1e-4)


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
