"""Low-rank pairs: images and representations are sums of few bases, which all of them share.

    X = upsample(C_x B_x + mean_x),  Y = C_y B_y + mean_y,  Y^a = (C_y + q_a(C_y)) B_y + mean_y

with U image bases of a small side, V representation bases, and a small network q_a for each augmentation a. What is
stored is C_x (m, U), B_x (U, C h w), C_y (m, V), B_y (V, d), both means and the networks: at m = 100 fewer numbers than raw
pairs, and many more images for as many numbers.

Source: the published low-rank system for self-supervised distillation. It leaves the means out, and stores the
coefficients of augmented images in the networks' stead.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.core.events import Event, Progress
from engine.core.progress import ticking
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.pca import pca
from engine.data.transforms.predefined import Predefined
from engine.synthetic import approximation
from engine.synthetic.approximation import Networks
from engine.synthetic.base import Training
from engine.synthetic.representations import RepresentationSet

MOST_SHOWN = 512
"""Components of a spectrum that are kept to be drawn."""
MOST_PICTURES = 256
"""Bases that a preview shows."""
PIECE_VALUES = 3_000_000  # pixels that are made small at once


class LowRankSet(RepresentationSet):
    """Bases and coefficients, which learn, of images and of representations; means and networks, which do not.

    image_bases (U, C * h * w), image_coefficients (m, U), image_mean (C * h * w,), representation_bases (V, d),
    representation_coefficients (m, V), representation_mean (d,); the networks as in `approximation.Networks`.
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        training: Training,
        num_dims: int,
        num_images: int,
        rate: float,
        image_bases: int,
        representation_bases: int,
        basis_size: int,
        augmentations: Sequence[Predefined | dict[str, Any]],
        hidden_dims: int,
    ) -> None:
        """basis_size: the shorter side of an image base, in pixels. augmentations: records, or these as dictionaries.

        Raises ConfigError where images cannot be made of such bases or be augmented so.
        """
        super().__init__(spec, training, num_dims, num_images, rate)
        self.augmentations = TypeAdapter(tuple[Predefined, ...]).validate_python(tuple(augmentations))
        for each in self.augmentations:
            each.check(spec.sample_shape)
        self.basis_size, self.hidden_dims = basis_size, hidden_dims
        self.basis_shape = basis_shape(spec.sample_shape, basis_size)
        num_pixels = self.basis_shape[0] * self.basis_shape[1] * self.basis_shape[2]
        self.image_bases = nn.Parameter(torch.zeros(image_bases, num_pixels))
        self.image_coefficients = nn.Parameter(torch.zeros(num_images, image_bases))
        self.representation_bases = nn.Parameter(torch.zeros(representation_bases, num_dims))
        self.representation_coefficients = nn.Parameter(torch.zeros(num_images, representation_bases))
        # buffers: the outer optimiser moves none of these
        self.register_buffer("image_mean", torch.zeros(num_pixels))
        self.register_buffer("representation_mean", torch.zeros(num_dims))
        A, V, h = len(self.augmentations), representation_bases, hidden_dims
        for name, shape in zip(Networks._fields, ((A, V, h), (A, h), (A, h, V), (A, V)), strict=True):
            self.register_buffer(name, torch.zeros(shape))

    def start_from_real(
        self, train: LabelledSet, representations: Tensor, generator: torch.Generator, phase: str
    ) -> Generator[Event, None, None]:
        """The first principal components of all images, made small, and of all representations; scores of random images.

        The networks shift nothing yet; this is for a set as it was made. Raises ConfigError for more bases than there are components, too.
        """
        indices = self.chosen(train, generator)
        rows = yield from self._small(train, phase)
        of_images = yield from ticking(f"{phase}: images", lambda: pca(rows, len(self.image_bases), "image bases"))
        of_representations = yield from ticking(
            f"{phase}: representations",
            lambda: pca(representations, len(self.representation_bases), "representation bases"),
        )
        with torch.no_grad():
            self.image_mean.copy_(of_images.mean)
            self.image_bases.copy_(of_images.bases)
            self.image_coefficients.copy_(of_images.scores(rows[indices.to(rows.device)]))
            self.representation_mean.copy_(of_representations.mean)
            self.representation_bases.copy_(of_representations.bases)
            mine = representations[indices.to(representations.device)]
            self.representation_coefficients.copy_(of_representations.scores(mine))
        self.spectrum = {
            "images": of_images.explained[:MOST_SHOWN].tolist(),
            "representations": of_representations.explained[:MOST_SHOWN].tolist(),
        }

    @property
    def networks(self) -> Networks:
        """The approximation networks of all augmentations, stacked."""
        return Networks(*(getattr(self, name) for name in Networks._fields))

    def images(self) -> Tensor:
        return self._images(self.image_coefficients)

    def representations(self) -> Tensor:
        return self._representations(self.representation_coefficients)

    def augmented_representations(self, number: int) -> Tensor:
        coefficients = self.representation_coefficients
        return self._representations(coefficients + approximation.apply(self.networks, number, coefficients))

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.image_bases.device)
        return (
            self._images(self.image_coefficients[indices]),
            self._representations(self.representation_coefficients[indices]),
        )

    def coefficients_of(self, representations: Tensor) -> Tensor:
        """Coefficients (..., V) of representations (..., d) in the bases as they are now: least squares; detached."""
        with torch.no_grad():
            inverse = torch.linalg.pinv(self.representation_bases.double())
            centred = representations.to(self.representation_bases) - self.representation_mean
            return centred @ inverse.to(centred.dtype)

    def fit_approximations(self, shifts: Tensor, steps: int, lr: float, generator: torch.Generator) -> None:
        """Fit the networks anew to the coefficients as they are now.

        Args:
            shifts: (A, m, V) that an augmentation adds to each image's coefficients.
            steps, lr: of Adam.
            generator: on the CPU.
        """
        if not self.augmentations:
            return
        shifts = shifts.to(self.representation_coefficients)
        fitted = approximation.fit(self.representation_coefficients, shifts, self.hidden_dims, steps, lr, generator)
        with torch.no_grad():
            for mine, theirs in zip(self.networks, fitted, strict=True):
                mine.copy_(theirs)

    def approximation_errors(self, targets: Tensor) -> dict[str, list[Any]]:
        """How far augmented representations are from targets (A, m, d), relative to their size without the mean.

        Returns "augmentations", their names, "with_networks" and "without" them, by the images' own representations.
        """
        with torch.no_grad():
            own = self.representations()
            numbers = range(len(self.augmentations))
            found = [self.augmented_representations(number) for number in numbers]
            wanted = targets.to(own) - self.representation_mean
            errors = [
                approximation.relative_errors(torch.stack(each) - self.representation_mean, wanted).tolist()
                for each in (found, [own] * len(found))
                if found
            ]
        with_networks, without = errors or ([], [])
        names = [augmentation.name for augmentation in self.augmentations]
        return {"augmentations": names, "with_networks": with_networks, "without": without}

    def views(self) -> dict[str, np.ndarray]:
        """ "bases", each around mid grey, its largest value white or its smallest black."""
        bases = self.image_bases.detach()[:MOST_PICTURES].float().cpu().view(-1, *self.basis_shape)
        largest = bases.abs().amax((1, 2, 3), keepdim=True)
        shown = 127.5 + 127.5 * bases / torch.where(largest > 0, largest, 1.0)
        shown = shown.nan_to_num(nan=0.0).round().clamp(0, 255).to(torch.uint8)
        return {"bases": shown.permute(0, 2, 3, 1).contiguous().numpy()}

    def num_stored_values(self) -> int:
        return sum(tensor.numel() for tensor in (*self.parameters(), *self.buffers()))

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "image_bases": len(self.image_bases),
            "representation_bases": len(self.representation_bases),
            "basis_size": self.basis_size,
            "augmentations": [asdict(augmentation) for augmentation in self.augmentations],
            "hidden_dims": self.hidden_dims,
        }

    def _images(self, coefficients: Tensor) -> Tensor:
        small = coefficients @ self.image_bases + self.image_mean
        return F.interpolate(
            small.view(-1, *self.basis_shape), self.spec.sample_shape[1:], mode="bilinear", align_corners=False
        )

    def _representations(self, coefficients: Tensor) -> Tensor:
        return coefficients @ self.representation_bases + self.representation_mean

    def _small(self, train: LabelledSet, phase: str) -> Generator[Event, None, Tensor]:
        """All training images at the size of a base, flattened: (N, C * h * w), with Progress."""
        size = max(1, PIECE_VALUES // train.inputs[0].numel())
        rows = None
        for start in range(0, len(train), size):
            yield Progress(phase, start, len(train))
            images = train.batch(torch.arange(start, min(start + size, len(train))))[0]
            small = F.interpolate(images, self.basis_shape[1:], mode="bilinear", antialias=True).flatten(1)
            rows = small.new_empty(len(train), small.shape[1]) if rows is None else rows
            rows[start : start + size] = small
        yield Progress(phase, len(train), len(train))
        return rows


def basis_shape(sample_shape: tuple[int, ...], basis_size: int) -> tuple[int, int, int]:
    """(C, h, w) of an image base: its shorter side is `basis_size`, the other in proportion to the image's.

    Raises ConfigError where it would be larger than an image (C, H, W).
    """
    num_channels, height, width = sample_shape
    shorter = min(height, width)
    if basis_size > shorter:
        raise ConfigError(
            f"A base of {basis_size} pixels a side is larger than the images of {height} x {width}. Choose {shorter} or less."
        )
    return num_channels, *(max(1, round(side * basis_size / shorter)) for side in (height, width))
