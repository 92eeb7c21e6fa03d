"""Principal components: the few directions that rows of numbers differ in most.

x ~ mean + scores @ bases,  scores = (x - mean) @ bases.T,  bases orthonormal, by falling variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.core.errors import ConfigError
from engine.data.transforms.zca import chunk_size


@dataclass(frozen=True, eq=False)
class Pca:
    """mean (D,), bases (number, D) in orthonormal rows and variances (min(N, D),) of every component, of rows (N, D)."""

    mean: Tensor
    bases: Tensor
    variances: Tensor

    @property
    def explained(self) -> Tensor:
        """(min(N, D),) shares of the whole variance, of sum one; zeros where all rows are equal."""
        return self.variances / self.variances.sum().clamp_min(torch.finfo(self.variances.dtype).tiny)

    def scores(self, rows: Tensor) -> Tensor:
        """Coefficients (n, number) of rows (n, D)."""
        return (rows - self.mean) @ self.bases.T

    def rebuilt(self, scores: Tensor) -> Tensor:
        """Rows (n, D) of coefficients (n, number)."""
        return self.mean + scores @ self.bases


def pca(rows: Tensor, number: int, called: str = "bases") -> Pca:
    """The first components of rows (N, D), of the rows' dtype; equal rows give equal bits.

    Eigenvectors, in float64, of the covariance (D, D), whose products are taken in the rows' dtype, or of the products of
    rows (N, N) where these are fewer. Each basis has the sign that makes its largest entry positive. Variances have
    N - 1 in their denominator.

    Args:
        rows: float; on any device.
        number: components wanted.
        called: what the message calls them.

    Raises:
        ConfigError: more components than rows or values; the message says how many there can be.
    """
    num_rows, num_values = rows.shape
    most = min(num_rows, num_values)
    if number > most:
        raise ConfigError(
            f"There can be at most {most:,} {called} here: {num_rows:,} training images with {num_values:,} values each give no "
            f"more. Choose {most:,} or fewer in place of {number:,}."
        )
    mean = rows.mean(0, dtype=torch.float64)
    if num_values <= num_rows:
        vectors, energies = _of_covariance(rows, mean)
    else:
        vectors, energies = _of_products(rows, mean, number)
    bases = vectors[:number]
    largest = bases.gather(1, bases.abs().argmax(1, keepdim=True))
    bases = torch.where(largest < 0, -bases, bases)
    variances = energies.clamp_min(0) / max(1, num_rows - 1)  # rounding can leave an energy just below zero
    return Pca(mean.to(rows.dtype), bases.to(rows.dtype), variances.to(rows.dtype))


def _of_covariance(rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (D, D) in rows and their sums of squares (D,), falling."""
    total = mean.new_zeros(len(mean), len(mean))
    for chunk in rows.split(chunk_size(len(mean))):
        centred = (chunk - mean).to(rows.dtype)
        total += centred.T @ centred
    energies, vectors = torch.linalg.eigh(total)
    return vectors.T.flip(0), energies.flip(0)


def _of_products(rows: Tensor, mean: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The first `number` directions (number, D) and all sums of squares (N,), falling, of fewer rows than values.

    Rows less their mean span one direction less than there are rows, or fewer: the last directions, of no variance, are
    made up to be orthogonal to the others.
    """
    centred = rows - mean
    energies, vectors = torch.linalg.eigh(centred @ centred.T)
    directions = vectors.flip(1)[:, :number].T @ centred
    # orthonormal whatever the energies; what is found keeps its order, and its sign up to the caller's choice
    return torch.linalg.qr(directions.T)[0].T, energies.flip(0)
