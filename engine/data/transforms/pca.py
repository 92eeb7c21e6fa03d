"""Principal components: x ~ mean + scores @ bases, scores = (x - mean) @ bases.T, bases by decreasing variance."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.core.errors import ConfigError
from engine.data.transforms.zca import chunk_size


@dataclass(frozen=True, eq=False)
class Pca:
    """Of rows (N, D): mean (D,), orthonormal bases (number, D), and variances (min(N, D),) of all components."""

    mean: Tensor
    bases: Tensor
    variances: Tensor

    @property
    def explained(self) -> Tensor:
        """(min(N, D),) shares of the total variance; zeros if all rows are equal."""
        return self.shares_of(self.variances.sum().item())

    def shares_of(self, total: float) -> Tensor:
        """(min(N, D),) shares of another variance, of which the rows hold a part."""
        return self.variances / max(total, torch.finfo(self.variances.dtype).tiny)

    def scores(self, rows: Tensor) -> Tensor:
        """Coefficients (n, number) of rows (n, D)."""
        return (rows - self.mean) @ self.bases.T


def pca(rows: Tensor, number: int, called: str = "bases") -> Pca:
    """The first components of rows (N, D), in the rows' dtype and deterministic.

    Eigenvectors, in float64, of the covariance (D, D), or of the products (N, N) if N < D; the signs make the largest
    entry of each basis positive. Variances are divided by N - 1. Raises ConfigError for too many; called: their name.
    """
    num_rows, num_values = rows.shape
    most = min(num_rows, num_values)
    if number > most:
        data = f"{num_rows:,} training images with {num_values:,} values each"
        advice = f"Choose {most:,} or fewer instead of {number:,}."
        raise ConfigError(f"There can be at most {most:,} {called} of {data}. {advice}")
    mean = rows.mean(0, dtype=torch.float64)
    is_tall = num_values <= num_rows
    vectors, energies = _of_covariance(rows, mean) if is_tall else _of_products(rows, mean, number)
    bases = vectors[:number]
    largest = bases.gather(1, bases.abs().argmax(1, keepdim=True))
    bases = torch.where(largest < 0, -bases, bases)
    variances = energies.clamp_min(0) / max(1, num_rows - 1)  # rounding can leave an energy just below zero
    return Pca(mean.to(rows.dtype), bases.to(rows.dtype), variances.to(rows.dtype))


def _of_covariance(rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (D, D) in rows, and their sums of squares (D,), decreasing."""
    total = mean.new_zeros(len(mean), len(mean))
    for chunk in rows.split(chunk_size(len(mean))):
        centred = (chunk - mean).to(rows.dtype)
        total += centred.T @ centred
    energies, vectors = torch.linalg.eigh(total)
    return vectors.T.flip(0), energies.flip(0)


def _of_products(rows: Tensor, mean: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The first directions (number, D) and all sums of squares (N,), decreasing, for fewer rows than values.

    N centred rows span N - 1 directions at most: the last ones, without variance, are any orthogonal to the rest.
    """
    centred = rows - mean
    energies, vectors = torch.linalg.eigh(centred @ centred.T)
    directions = vectors.flip(1)[:, :number].T @ centred
    # orthonormal for any energies; the order stays, signs may flip
    return torch.linalg.qr(directions.T)[0].T, energies.flip(0)
