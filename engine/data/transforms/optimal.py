"""Optimal augmentations of few images: those under which Barlow Twins would learn the representations that they have.

Of n images with representations F (n, d), centred and whitened:

    K = k(X, X) = U S U^T,  phi = U S^{1/2},  Sigma = phi^T phi / n = S / n     the images' coordinates by a kernel
    W = F^T (K + lambda I)^{-1} phi,  f(x) = W phi(x)                           kernel ridge regression to F
    Gamma = W^+ W^{+T}                                                          the least cross-moment with W Gamma W^T = I
    (Sigma T + T Sigma) / 2 = Gamma,  T_ab = 2 Gamma_ab / (Sigma_a + Sigma_b)   one symmetric change of coordinates
    x'_i ~ X^T (K + mu I)^{-1} phi T phi_i                                      its pre-image, by ridge

Images and their changes then have Gamma as their cross-moment, for which W is the best linear map there is. All of this is
made from the images and representations themselves, so that nothing has to be kept for it.

Source: Feigin, Fleissner, Ghoshdastidar 2024, arXiv:2411.01767, for Barlow Twins. Here images are centred by their mean before
the kernel, and the mean is added to the pre-images, which get the images' own spread: both ridges and the kernel's width
scale it by up to tens, and Barlow Twins does not feel the scale of T.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Kernel = Literal["rbf", "linear"]

MOST_AT_ONCE = 2000
"""Images of one kernel matrix; of more, each so many in a row are taken by themselves."""
LEAST_VARIANCE = 1e-6
"""Directions of representations with less than this share of the largest variance are left out."""
LEAST_EIGENVALUE = 1e-10
"""Coordinates with less than this share of the kernel's largest eigenvalue are left out."""


class Coordinates(NamedTuple):
    """Eigenvalues S (r,) and eigenvectors U (n, r) of a kernel matrix, whose images have coordinates U S^{1/2}."""

    values: Tensor
    vectors: Tensor


@torch.no_grad()
def optimal(
    images: Tensor, representations: Tensor, *, kernel: Kernel, gamma: float, ridge: float, preimage_ridge: float
) -> Tensor:
    """Each image as one optimal augmentation of them all changes it, (n, C, H, W), detached; taken in float64.

    Images in another order are changed alike, up to MOST_AT_ONCE of them. Values that are not finite give NaN.

    Args:
        images: (n, C, H, W), prepared.
        representations: (n, d), theirs.
        kernel: "rbf", exp(-gamma |x - y|^2), or "linear", x . y without the mean.
        gamma: of "rbf".
        ridge: lambda, of the regression to the representations.
        preimage_ridge: mu, of the way back to images.
    """
    if not (images.isfinite().all() and representations.isfinite().all()):
        return torch.full_like(images, math.nan)
    parts = zip(images.split(MOST_AT_ONCE), representations.to(images.device).split(MOST_AT_ONCE), strict=True)
    return torch.cat([_changed(*part, kernel, gamma, ridge, preimage_ridge) for part in parts])


def whitened(representations: Tensor) -> Tensor:
    """(n, k) of representations (n, d): of mean 0 and second moment I, without directions that hardly vary."""
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
    """Of a kernel matrix (n, n), without those that rounding makes."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > LEAST_EIGENVALUE * values.max()
    return Coordinates(values[kept], vectors[:, kept])


def regression(of: Coordinates, targets: Tensor, ridge: float) -> Tensor:
    """W (k, r), which takes coordinates to the targets (n, k)."""
    return targets.T @ of.vectors * (of.values.sqrt() / (of.values + ridge))


def transformation(of: Coordinates, weights: Tensor) -> Tensor:
    """T (r, r), symmetric, of W (k, r)."""
    inverse = torch.linalg.pinv(weights)
    moments = of.values / len(of.vectors)
    return 2 * (inverse @ inverse.T) / (moments[:, None] + moments)


def preimages(of: Coordinates, rows: Tensor, changed: Tensor, ridge: float) -> Tensor:
    """Rows (n, D) of coordinates (n, r), as sums of the rows (n, D) whose kernel it was."""
    shares = changed * (of.values.sqrt() / (of.values + ridge))
    return shares @ of.vectors.T @ rows


def _changed(
    images: Tensor, representations: Tensor, kernel: Kernel, gamma: float, ridge: float, preimage_ridge: float
) -> Tensor:
    """`optimal` of images that share one kernel matrix."""
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
