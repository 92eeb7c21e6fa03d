"""Images as sums of few pictures that all of them share, so that the same bytes hold many more images.

    X = upsample(C B + mean),   C (m, U) coefficients,  B (U, C h w) bases of a small side,  mean (C h w,)

Sets start from the bases whose sums, once enlarged, come nearest to all training images: principal components of the
images' coordinates in the space of enlargements (`whitened`). In the labelled set they are scaled so that coefficients
have unit variance: one step size then suits bases and coefficients.
Source: the low-rank sets of Yu et al. 2025, arXiv:2507.21455, which hold representations in place of labels
(lowrank.py).
"""

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.config import image_shape
from engine.core.errors import ConfigError
from engine.core.events import Event, Progress
from engine.core.progress import ticking
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.pca import Pca, pca
from engine.data.transforms.prepare import ImageSplits
from engine.synthetic.base import SyntheticSet, Training
from engine.synthetic.labelled import ImagesPerClass, LabelledImages, samples_of
from engine.synthetic.storage import Part

MOST_PICTURES = 256  # bases that a preview shows
PIECE_VALUES = 3_000_000  # pixels that are resized at once

BasisShape = tuple[int, int, int]


def basis_shape(sample_shape: tuple[int, ...], basis_size: int) -> BasisShape:
    """(C, h, w) of a basis: its shorter side is `basis_size`, the other in proportion to the image's.

    Raises ConfigError if it would be larger than an image (C, H, W), or if the samples are not images.
    """
    num_channels, height, width = image_shape(sample_shape)
    shorter = min(height, width)
    if basis_size > shorter:
        problem = f"A basis of {basis_size} pixels a side is larger than the images of {height} x {width}."
        raise ConfigError(f"{problem} Choose {shorter} or less.")
    rows, columns = (max(1, round(side * basis_size / shorter)) for side in (height, width))
    return num_channels, rows, columns


def num_in_bases(num_items: int, num_bases: int, num_values: int) -> int:
    """Numbers that items of `num_values` take as sums of bases: coefficients, bases and the mean."""
    return num_items * num_bases + (num_bases + 1) * num_values


def stored_whole(what: str, num_items: int, num_bases: int, num_values: int) -> str:
    """A caution where items stored whole would take fewer numbers than as sums of bases; "" where they would not."""
    held, whole = num_in_bases(num_items, num_bases, num_values), num_items * num_values
    if held <= whole:
        return ""
    problem = f"The bases and coefficients of {num_items:,} {what} take {held:,} numbers; stored whole, the {what}"
    return f"{problem} would take {whole:,}. Use fewer bases or more images."


def check_bases(num_images: int, num_bases: int, basis_size: int, sample_shape: tuple[int, ...]) -> None:
    """Raise ConfigError if images as sums of bases take more numbers than at their full size."""
    pixels = math.prod(basis_shape(sample_shape, basis_size))
    held, whole = num_in_bases(num_images, num_bases, pixels), num_images * math.prod(sample_shape)
    if held > whole:
        problem = f"{num_bases:,} bases and the coefficients of {num_images:,} images take {held:,} numbers, more than"
        remedy = "Use fewer or smaller bases, or more images."
        raise ConfigError(f"{problem} the {whole:,} of the images at full size. {remedy}")


def enlarged(rows: Tensor, shape: BasisShape, sample_shape: tuple[int, ...]) -> Tensor:
    """Images (m, C, H, W) of flat small ones (m, C * h * w); differentiable."""
    return F.interpolate(rows.view(-1, *shape), sample_shape[1:], mode="bilinear", align_corners=False)


def whitened(images: Tensor, shape: BasisShape) -> Tensor:
    """Flat coordinates (m, C * h * w) of the enlargements nearest to images (m, C, H, W): least squares.

    Distances between coordinates are those between the enlargements, shrunk by the root of h w / (H W). Principal
    components of coordinates are therefore the bases whose sums come nearest to the images once they are enlarged.
    """
    (down, _), (across, _) = _resizings(shape, images)
    return (down.T @ images @ across).flatten(1)


def unwhitened(rows: Tensor, shape: BasisShape, sample_shape: tuple[int, ...]) -> Tensor:
    """Flat small images (m, C * h * w) whose enlargements to (C, H, W) have these coordinates (m, C * h * w)."""
    (_, down), (_, across) = _resizings(shape, rows.new_empty(sample_shape))
    return (down @ rows.view(-1, *shape) @ across.T).flatten(1)


def _resizings(shape: BasisShape, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of rows and of columns of images (..., H, W): orthogonal directions, and the way back to a small side.

    U = Q T for the matrix U (length, size) of what `enlarged` does along a side. Q has orthogonal columns, of the
    length that keeps those of small images on average: a basis of length 1 stays one of about length 1.
    """
    found = []
    for size, length in zip(shape[1:], images.shape[-2:], strict=True):
        eye = torch.eye(size, dtype=torch.float64)[:, None]
        resizing = F.interpolate(eye, length, mode="linear", align_corners=False)[:, 0].T
        directions, factor = torch.linalg.qr(resizing)
        shrunk = math.sqrt(size / length)
        back = torch.linalg.pinv(factor) / shrunk
        found.append(((directions * shrunk).to(images), back.to(images)))
    return found


def whitened_images(train: LabelledSet, shape: BasisShape, phase: str) -> Generator[Event, None, tuple[Tensor, float]]:
    """`whitened` coordinates (N, C * h * w) of all training images, and the variance of the images, with Progress.

    The variance is that of whole images, in the unit of the coordinates: what these lack of it is lost by enlarging.
    """
    size = max(1, PIECE_VALUES // train.inputs[0].numel())
    rows, total, squares = [], torch.zeros(()), 0.0
    for start in range(0, len(train), size):
        yield Progress(phase, start, len(train))
        images = train.batch(torch.arange(start, min(start + size, len(train))))[0]
        rows.append(whitened(images, shape))
        total, squares = total.to(images.device) + images.sum(0, dtype=torch.float64), squares + _energy(images)
    yield Progress(phase, len(train), len(train))
    pixels = shape[1] * shape[2] / math.prod(images.shape[2:])
    return torch.cat(rows), pixels * (squares - _energy(total) / len(train)) / max(1, len(train) - 1)


def _energy(values: Tensor) -> float:
    return values.double().square().sum().item()


def pictures(bases: Tensor, shape: BasisShape) -> np.ndarray:
    """Bases (U, C * h * w) as pictures (U, h, w, C) uint8 around mid grey, the largest value of each black or white."""
    values = bases.detach()[:MOST_PICTURES].float().cpu().view(-1, *shape)
    largest = values.abs().amax((1, 2, 3), keepdim=True)
    shown = 127.5 + 127.5 * values / torch.where(largest > 0, largest, 1.0)
    shown = shown.nan_to_num(nan=0.0).round().clamp(0, 255).to(torch.uint8)
    return shown.permute(0, 2, 3, 1).contiguous().numpy()


class BasisSet(ImagesPerClass):
    """Labelled images of shared `bases` (U, C * h * w) with `coefficients` (M, U); the `mean` is fixed."""

    usual_bits = 16
    bases: nn.Parameter
    coefficients: nn.Parameter
    mean: Tensor

    def __init__(
        self, *, spec: TaskSpec, training: Training, ipc: int, num_bases: int, basis_size: int, **options: Any
    ) -> None:
        shape = basis_shape(spec.sample_shape, basis_size)
        bases = torch.zeros(num_bases, torch.Size(shape).numel())
        parts = {"bases": bases, "coefficients": torch.zeros(ipc * spec.num_outputs, num_bases)}
        super().__init__(spec, training, parts, ipc=ipc, **options)
        self.basis_size, self.basis_shape = basis_size, shape
        self.register_buffer("mean", torch.zeros(bases.shape[1]))

    def start_from(
        self, start: str, splits: ImageSplits, result: SyntheticSet | None, lr: float, generator: torch.Generator
    ) -> Generator[Event, None, None]:
        """Find the bases of training images first, unless the start is noise."""
        if start != "noise":
            phase = "find the bases"
            rows, _ = yield from whitened_images(splits.train, self.basis_shape, phase)
            found = yield from ticking(phase, lambda: pca(rows, len(self.bases), "bases"))
            self._use(found)
        yield from super().start_from(start, splits, result, lr, generator)

    def start_from_noise(self, generator: torch.Generator) -> None:
        super().start_from_noise(generator)
        self.coefficients.div_(len(self.bases) ** 0.5)  # so that pixels have unit variance

    def put(self, places: Tensor, samples: Tensor) -> None:
        """The coefficients nearest to samples in the bases as they are: least squares."""
        bases, mean = (whitened(self._enlarged(rows), self.basis_shape) for rows in (self.bases, self.mean[None]))
        inverse = torch.linalg.pinv(bases.detach().double()).to(samples.dtype)
        self.coefficients[places] = (whitened(samples, self.basis_shape) - mean) @ inverse

    def fit(self, result: LabelledImages, inputs: Tensor, targets: Tensor, train: LabelledSet) -> None:
        """Coefficients nearest to the samples, in the best bases for them if there are more samples than bases."""
        chosen = torch.cat([samples_of(targets, label, self.ipc) for label in range(self.spec.num_outputs)])
        if len(chosen) > len(self.bases):
            rows = whitened(inputs[chosen], self.basis_shape)
            self._use(pca(rows, len(self.bases), "bases"))
        super().fit(result, inputs, targets, train)

    def everything(self) -> tuple[Tensor, Tensor]:
        return self._images(self.coefficients), self.labels

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.bases.device)
        return self._images(self.coefficients[indices]), self.labels[indices]

    def views(self) -> dict[str, np.ndarray]:
        return {"bases": pictures(self.bases, self.basis_shape)}

    def num_stored_values(self) -> int:
        return super().num_stored_values() + self.mean.numel()

    def parts(self) -> dict[str, Part]:
        return super().parts() | {"bases": Part(), "coefficients": Part(axis=1), "mean": Part("fine")}

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"num_bases": len(self.bases), "basis_size": self.basis_size}

    def _use(self, found: Pca) -> None:
        """Take principal components of `whitened` images as bases, each as large as its standard deviation."""
        deviations = found.variances[: len(self.bases)].sqrt().clamp_min(1e-6)
        rows = torch.cat([found.bases * deviations[:, None], found.mean[None]])
        small = unwhitened(rows, self.basis_shape, self.spec.sample_shape)
        with torch.no_grad():
            self.bases.copy_(small[:-1])
            self.mean.copy_(small[-1])

    def _images(self, coefficients: Tensor) -> Tensor:
        return self._enlarged(coefficients @ self.bases + self.mean)

    def _enlarged(self, rows: Tensor) -> Tensor:
        return enlarged(rows, self.basis_shape, self.spec.sample_shape)
