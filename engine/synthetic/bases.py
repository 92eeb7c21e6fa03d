"""Images as sums of few pictures that all of them share, so that the same bytes hold many more images.

    X = upsample(C B + mean),   C (m, U) coefficients,  B (U, C h w) bases of a small side,  mean (C h w,)

The labelled set starts from principal components, scaled so that coefficients have unit variance: one step size then
suits bases and coefficients.
Source: the low-rank sets of Yu et al. 2025, arXiv:2507.21455, which hold representations in place of labels
(lowrank.py).
"""

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


def enlarged(rows: Tensor, shape: BasisShape, sample_shape: tuple[int, ...]) -> Tensor:
    """Images (m, C, H, W) of flat small ones (m, C * h * w); differentiable."""
    return F.interpolate(rows.view(-1, *shape), sample_shape[1:], mode="bilinear", align_corners=False)


def reduced(images: Tensor, shape: BasisShape) -> Tensor:
    """Flat small images (m, C * h * w) whose enlargement is nearest to images (m, C, H, W): least squares."""
    (_, height, width), (_, rows, columns) = images.shape[1:], shape
    down, across = (_resizing(*sizes).to(images) for sizes in ((rows, height), (columns, width)))
    return (torch.linalg.pinv(down) @ images @ torch.linalg.pinv(across).T).flatten(1)


def _resizing(size: int, length: int) -> Tensor:
    """(length, size): what `enlarged` does along one side."""
    return F.interpolate(torch.eye(size)[:, None], length, mode="linear", align_corners=False)[:, 0].T


def small_images(train: LabelledSet, shape: BasisShape, phase: str) -> Generator[Event, None, Tensor]:
    """All training images at the size of a basis, flat: (N, C * h * w), with Progress."""
    size = max(1, PIECE_VALUES // train.inputs[0].numel())
    rows = []
    for start in range(0, len(train), size):
        yield Progress(phase, start, len(train))
        images = train.batch(torch.arange(start, min(start + size, len(train))))[0]
        rows.append(F.interpolate(images, shape[1:], mode="bilinear", antialias=True).flatten(1))
    yield Progress(phase, len(train), len(train))
    return torch.cat(rows)


def pictures(bases: Tensor, shape: BasisShape) -> np.ndarray:
    """Bases (U, C * h * w) as pictures (U, h, w, C) uint8 around mid grey, the largest value of each black or white."""
    values = bases.detach()[:MOST_PICTURES].float().cpu().view(-1, *shape)
    largest = values.abs().amax((1, 2, 3), keepdim=True)
    shown = 127.5 + 127.5 * values / torch.where(largest > 0, largest, 1.0)
    shown = shown.nan_to_num(nan=0.0).round().clamp(0, 255).to(torch.uint8)
    return shown.permute(0, 2, 3, 1).contiguous().numpy()


class BasisSet(ImagesPerClass):
    """Labelled images of shared `bases` (U, C * h * w) with `coefficients` (M, U); the `mean` is fixed."""

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
            rows = yield from small_images(splits.train, self.basis_shape, phase)
            found = yield from ticking(phase, lambda: pca(rows, len(self.bases), "bases"))
            self._use(found)
        yield from super().start_from(start, splits, result, lr, generator)

    def start_from_noise(self, generator: torch.Generator) -> None:
        super().start_from_noise(generator)
        self.coefficients.div_(len(self.bases) ** 0.5)  # so that pixels have unit variance

    def put(self, places: Tensor, samples: Tensor) -> None:
        """The coefficients nearest to samples in the bases as they are: least squares."""
        rows = reduced(samples, self.basis_shape) - self.mean
        inverse = torch.linalg.pinv(self.bases.detach().double()).to(rows.dtype)
        self.coefficients[places] = rows @ inverse

    def fit(self, result: LabelledImages, inputs: Tensor, targets: Tensor, train: LabelledSet) -> None:
        """Coefficients nearest to the samples, in the best bases for them if there are more samples than bases."""
        chosen = torch.cat([samples_of(targets, label, self.ipc) for label in range(self.spec.num_outputs)])
        if len(chosen) > len(self.bases):
            rows = reduced(inputs[chosen], self.basis_shape)
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

    def num_bytes(self) -> int:
        return super().num_bytes() + 3 * self.mean.numel()  # four bytes each, of which one is counted with the labels

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"num_bases": len(self.bases), "basis_size": self.basis_size}

    def _use(self, found: Pca) -> None:
        """Take principal components as bases, each as large as its standard deviation."""
        with torch.no_grad():
            deviations = found.variances[: len(self.bases)].sqrt().clamp_min(1e-6)
            self.bases.copy_(found.bases * deviations[:, None])
            self.mean.copy_(found.mean)

    def _images(self, coefficients: Tensor) -> Tensor:
        return enlarged(coefficients @ self.bases + self.mean, self.basis_shape, self.spec.sample_shape)
