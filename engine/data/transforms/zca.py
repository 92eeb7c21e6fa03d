"""ZCA whitening: decorrelates pixels while changing the picture as little as possible.

    x_white = (x − μ) W,  W = V diag((E + ε)^−1/2) Vᵀ,  x = x_white W⁻¹ + μ,  W⁻¹ = V diag((E + ε)^1/2) Vᵀ

where x (D,) is an image flattened from (C, H, W) with pixels in [0, 1], μ the training mean, and V diag(E) Vᵀ the
training covariance, divided by N − 1. ε bounds the amplification of directions with little variance.

Source: kornia's ZCAWhitening with ε = 0.1, as used by MTT (arXiv:2203.11932) and ATT (arXiv:2407.14245). Here with a
symmetric eigensolver and exact inverse.

The variant of PoDD (Shul et al. 2024, arXiv:2403.12040) first removes each image's brightness and contrast:

    u = (x − mean(x)) / ‖x − mean(x)‖,  x_white = u V diag((E + ε · mean(E))^−1/2) Vᵀ,  V diag(E) Vᵀ = Σ u uᵀ / N

again with ε = 0.1. The published code uses a general eigensolver.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.core.events import Event, Progress
from engine.core.progress import ticking

CHUNK_VALUES = 3_000_000  # values per chunk: a few tenths of a second for 32 x 32 colour images on two cores
FAINTEST = 1e-4  # smaller norms of an image without its mean count as 0; one pixel off by one level gives 4e-3


@dataclass(frozen=True, eq=False)
class Zca:
    """A fitted whitening: mean (D,), forward and backward (D, D), all float32, of pixels in [0, 1]."""

    mean: Tensor
    forward: Tensor
    backward: Tensor

    def whiten(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1] to whitened values of the same shape."""
        flat = pixels.flatten(1) - self.mean.to(pixels.device)
        return (flat @ self.forward.to(pixels.device)).reshape(pixels.shape)

    def colour(self, whitened: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        flat = whitened.flatten(1) @ self.backward.to(whitened.device)
        return (flat + self.mean.to(whitened.device)).reshape(whitened.shape)


@dataclass(frozen=True, eq=False)
class PerImageZca:
    """PoDD's whitening: forward and backward (D, D), float32, of images without their brightness and contrast.

    `colour` restores those of an average training image: level (), the mean of x, contrast (), that of ‖x − mean(x)‖.
    """

    level: Tensor
    contrast: Tensor
    forward: Tensor
    backward: Tensor

    def whiten(self, pixels: Tensor) -> Tensor:
        return (_directions(pixels.flatten(1)) @ self.forward.to(pixels.device)).reshape(pixels.shape)

    def colour(self, whitened: Tensor) -> Tensor:
        """Whitened values to pixels; a real image comes back up to brightness and contrast."""
        flat = whitened.flatten(1) @ self.backward.to(whitened.device)
        return (flat * self.contrast.to(flat.device) + self.level.to(flat.device)).reshape(whitened.shape)


def chunk_size(num_values: int) -> int:
    return max(1, CHUNK_VALUES // num_values)


def fit(images: Tensor, eps: float) -> Generator[Event, None, Zca]:
    """Fit the whitening on images (N, C, H, W) uint8, N at least 2. eps: ε above. Yields Progress."""
    chunks = images.split(chunk_size(images[0].numel()))
    total = torch.stack([chunk.flatten(1).sum(0, dtype=torch.int64) for chunk in chunks]).sum(0)
    mean = (total.double() / (255 * len(images))).float()
    products = yield from _products(images, lambda flat: flat - mean)
    forward, backward = yield from ticking("ZCA: eigenvectors", lambda: roots(products / (len(images) - 1), eps))
    return Zca(mean, forward, backward)


def fit_per_image(images: Tensor, eps: float) -> Generator[Event, None, PerImageZca]:
    """Fit PoDD's whitening on images (N, C, H, W) uint8. eps: ε above, relative to mean(E). Yields Progress."""
    level = contrast = 0.0

    def directions(flat: Tensor) -> Tensor:
        nonlocal level, contrast
        level += float(flat.mean(1).sum(dtype=torch.float64)) / len(images)
        contrast += float((flat - flat.mean(1, keepdim=True)).norm(dim=1).sum(dtype=torch.float64)) / len(images)
        return _directions(flat)

    covariance = (yield from _products(images, directions)) / len(images)
    # uniform images leave a covariance of 0; any positive number will do
    added = eps * float(covariance.diagonal().mean()) or 1.0
    forward, backward = yield from ticking("ZCA: eigenvectors", lambda: roots(covariance, added))
    return PerImageZca(torch.tensor(level), torch.tensor(contrast), forward, backward)


def _products(images: Tensor, centred: Callable[[Tensor], Tensor]) -> Generator[Event, None, Tensor]:
    """Sum of x xᵀ (D, D) over images, float64; the products are float32. centred: flat pixels (n, D) in [0, 1] -> x."""
    size = chunk_size(num_values := images[0].numel())
    total = torch.zeros(num_values, num_values, dtype=torch.float64)
    for done, chunk in enumerate(images.split(size)):
        yield Progress("ZCA: covariance", done * size, len(images))
        rows = centred(chunk.flatten(1).float() / 255)
        total += rows.T @ rows
    yield Progress("ZCA: covariance", len(images), len(images))
    return total


def _directions(flat: Tensor) -> Tensor:
    """Images (N, D) minus their mean, normalised to length 1; zeros for uniform images."""
    centred = flat - flat.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    return torch.where(norms < FAINTEST, 0.0, centred / norms.clamp_min(FAINTEST))


def roots(covariance: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """(Σ + ε)^−1/2 and (Σ + ε)^1/2 of a symmetric Σ (D, D) float64, as float32."""
    energies, vectors = torch.linalg.eigh(covariance)
    scales = (energies.clamp_min(0) + eps).sqrt()  # rounding can make an eigenvalue slightly negative
    return ((vectors / scales) @ vectors.T).float(), ((vectors * scales) @ vectors.T).float()


def whiten_images(zca: Zca | PerImageZca, images: Tensor, phase: str) -> Generator[Event, None, Tensor]:
    """Whiten images (N, C, H, W) uint8, in chunks; float32. Yields Progress."""
    size = chunk_size(images.shape[1:].numel())
    whitened = torch.empty(images.shape, dtype=torch.float32)
    for done, (chunk, result) in enumerate(zip(images.split(size), whitened.split(size), strict=True)):
        yield Progress(phase, done * size, len(images))
        result.copy_(zca.whiten(chunk.float() / 255))
    yield Progress(phase, len(images), len(images))
    return whitened
