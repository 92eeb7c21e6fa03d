"""Optimal augmentations of a few images: those for which Barlow Twins would learn the representations they have.

Of n images with representations F (n, d), centred and whitened:

    K = k(X, X) = U S U^T,  phi = U S^{1/2},  Sigma = phi^T phi / n = S / n     the images' kernel coordinates
    W = F^T (K + lambda I)^{-1} phi,  f(x) = W phi(x)                           kernel ridge regression to F
    Gamma = W^+ W^{+T}                                                          the smallest with W Gamma W^T = I
    (Sigma T + T Sigma) / 2 = Gamma,  T_ab = 2 Gamma_ab / (Sigma_a + Sigma_b)   a symmetric change of coordinates
    x'_i ~ X^T (K + mu I)^{-1} phi T phi_i                                      its pre-image, by ridge regression

Gamma is then the cross-moment of images and augmented images, for which W is the best linear map. Everything is
computed from the images and representations, so nothing more is stored.

Source: Feigin, Fleissner, Ghoshdastidar 2024, arXiv:2411.01767, for Barlow Twins. Here images are centred before the
kernel, and pre-images get the mean and the spread of the images back: the ridges and the kernel's width can change
their scale more than tenfold, which makes no difference to Barlow Twins.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Kernel = Literal["rbf", "linear"]

MOST_AT_ONCE = 2000  # images per kernel matrix; more are split
LEAST_VARIANCE = 1e-6  # directions of representations below this share of the largest variance are dropped
LEAST_EIGENVALUE = 1e-10  # coordinates below this share of the kernel's largest eigenvalue are dropped


class Coordinates(NamedTuple):
    """Eigenvalues S (r,) and eigenvectors U (n, r) of a kernel matrix, whose images have coordinates U S^{1/2}."""

    values: Tensor
    vectors: Tensor


@torch.no_grad()
def optimal(
    images: Tensor, representations: Tensor, *, kernel: Kernel, gamma: float, ridge: float, preimage_ridge: float
) -> Tensor:
    """Images (n, C, H, W) under their optimal augmentation, detached, in float64 inside; NaN if values are not finite.

    images: prepared; the result does not depend on their order, up to MOST_AT_ONCE of them. representations: of them,
    (n, d). kernel: "rbf", exp(-gamma |x - y|^2), or "linear", x . y without the mean. ridge: lambda, of the regression
    to the representations. preimage_ridge: mu, of the pre-images.
    """
    if not (images.isfinite().all() and representations.isfinite().all()):
        return torch.full_like(images, math.nan)
    parts = zip(images.split(MOST_AT_ONCE), representations.to(images.device).split(MOST_AT_ONCE), strict=True)
    return torch.cat([_changed(*part, kernel, gamma, ridge, preimage_ridge) for part in parts])


def whitened(representations: Tensor) -> Tensor:
    """Representations (n, d) as (n, k) with mean 0 and second moment I, without directions that hardly vary."""
    centred = representations - representations.mean(0)
    vectors, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = sizes.square() > LEAST_VARIANCE * sizes.square().max()
    return math.sqrt(len(representations)) * vectors[:, kept]


def kernel_matrix(rows: Tensor, kernel: Kernel, gamma: float) -> Tensor:
    """K (n, n) of rows (n, D)."""
    products = rows @ rows.T
    if kernel == "linear":
        return products
    squares = products.diagonal()
    return (-gamma * (squares[:, None] + squares - 2 * products).clamp_min(0)).exp()


def coordinates(matrix: Tensor) -> Coordinates:
    """Of a kernel matrix (n, n), without rounding noise."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > LEAST_EIGENVALUE * values.max()
    return Coordinates(values[kept], vectors[:, kept])


def regression(of: Coordinates, targets: Tensor, ridge: float) -> Tensor:
    """W (k, r), which maps coordinates to the targets (n, k)."""
    return targets.T @ of.vectors * (of.values.sqrt() / (of.values + ridge))


def transformation(of: Coordinates, weights: Tensor) -> Tensor:
    """T (r, r), symmetric, of W (k, r)."""
    inverse = torch.linalg.pinv(weights)
    moments = of.values / len(of.vectors)
    return 2 * (inverse @ inverse.T) / (moments[:, None] + moments)


def preimages(of: Coordinates, rows: Tensor, changed: Tensor, ridge: float) -> Tensor:
    """Pre-images (n, D) of coordinates (n, r), as sums of the kernel's rows (n, D)."""
    shares = changed * (of.values.sqrt() / (of.values + ridge))
    return shares @ of.vectors.T @ rows


def _changed(
    images: Tensor, representations: Tensor, kernel: Kernel, gamma: float, ridge: float, preimage_ridge: float
) -> Tensor:
    """`optimal` for images that share one kernel matrix."""
    rows = images.flatten(1).double()
    mean = rows.mean(0)
    rows = rows - mean
    of = coordinates(kernel_matrix(rows, kernel, gamma))
    weights = regression(of, whitened(representations.double()), ridge)
    turned = of.vectors * of.values.sqrt() @ transformation(of, weights)
    found = preimages(of, rows, turned, preimage_ridge)
    size = found.norm()
    scale = rows.norm() / torch.where(size > 0, size, 1.0)
    return (mean + scale * found).to(images.dtype).view_as(images)
