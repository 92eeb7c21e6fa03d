"""Low-rank pairs: images and representations are sums of few bases, which all of them share.

    X = upsample(C_x B_x + mean_x),  Y = C_y B_y + mean_y,  Y^a = (C_y + q_a(C_y)) B_y + mean_y

with U image bases of a small side, V representation bases, and a small network q_a for each augmentation a. Stored
are C_x (m, U), B_x (U, C h w), C_y (m, V), B_y (V, d), both means and the networks: at m = 100 fewer numbers than raw
pairs, and many more images for as many numbers.

Source: the published low-rank system for self-supervised distillation. It leaves the means out, and stores the
coefficients of augmented images in the networks' stead.
"""

from collections.abc import Generator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine.core.events import Event
from engine.core.progress import ticking
from engine.data.source import LabelledSet
from engine.data.transforms.pca import pca
from engine.data.transforms.predefined import Predefined, titles
from engine.synthetic import approximation
from engine.synthetic.approximation import Networks
from engine.synthetic.bases import basis_shape, enlarged, pictures, unwhitened, whitened_images
from engine.synthetic.representations import RepresentationSet
from engine.synthetic.storage import Part

MOST_SHOWN = 512  # components of a spectrum that are kept for its figure


class LowRankSet(RepresentationSet):
    """Bases and coefficients, which learn, of images and of representations; means and networks, which do not.

    image_bases (U, C * h * w), image_coefficients (m, U), image_mean (C * h * w,), representation_bases (V, d),
    representation_coefficients (m, V), representation_mean (d,); the networks as in `approximation.Networks`.
    """

    usual_bits = 16
    image_mean: Tensor
    representation_mean: Tensor

    def __init__(
        self,
        *,
        image_bases: int,
        representation_bases: int,
        basis_size: int,
        augmentations: Sequence[Predefined | dict[str, Any]],
        hidden_dims: int,
        **options: Any,
    ) -> None:
        """basis_size: the shorter side of an image base, in pixels. augmentations: records, or these as dictionaries.

        options: those of RepresentationSet. Raises ConfigError where images cannot be made of such bases or be
        augmented so.
        """
        super().__init__(**options)
        num_images, num_dims, sample_shape = self.num_images, self.num_dims, self.spec.sample_shape
        self.augmentations = TypeAdapter(tuple[Predefined, ...]).validate_python(tuple(augmentations))
        for each in self.augmentations:
            each.check(sample_shape)
        self.basis_size, self.hidden_dims = basis_size, hidden_dims
        self.basis_shape = basis_shape(sample_shape, basis_size)
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
        """Bases that come nearest to all images once enlarged, and principal components of all representations.

        Coefficients are those of random images. The networks predict no shift yet. Also raises ConfigError for more
        bases than there are components.
        """
        indices, _ = self.chosen(train, generator)
        rows, total = yield from whitened_images(train, self.basis_shape, phase)
        of_images = yield from ticking(f"{phase}: images", lambda: pca(rows, len(self.image_bases), "image bases"))
        number = len(self.representation_bases)
        decompose = partial(pca, representations, number, "representation bases")
        of_representations = yield from ticking(f"{phase}: representations", decompose)
        small = torch.cat([of_images.bases, of_images.mean[None]])
        small = unwhitened(small, self.basis_shape, self.spec.sample_shape)
        with torch.no_grad():
            self.image_bases.copy_(small[:-1])
            self.image_mean.copy_(small[-1])
            self.image_coefficients.copy_(of_images.scores(rows[indices.to(rows.device)]))
            self.representation_mean.copy_(of_representations.mean)
            self.representation_bases.copy_(of_representations.bases)
            mine = representations[indices.to(representations.device)]
            self.representation_coefficients.copy_(of_representations.scores(mine))
        shares = {"images": of_images.shares_of(total), "representations": of_representations.explained}
        self.spectrum = {name: each[:MOST_SHOWN].tolist() for name, each in shares.items()}

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
        of_image, of_representation = self.image_coefficients[indices], self.representation_coefficients[indices]
        return self._images(of_image), self._representations(of_representation)

    def coefficients_of(self, representations: Tensor) -> Tensor:
        """Coefficients (..., V) of representations (..., d) in the bases as they are now: least squares; detached."""
        with torch.no_grad():
            inverse = torch.linalg.pinv(self.representation_bases.double())
            centred = representations.to(self.representation_bases) - self.representation_mean
            return centred @ inverse.to(centred.dtype)

    def fit_approximations(self, shifts: Tensor, steps: int, lr: float, generator: torch.Generator) -> None:
        """Fit the networks anew to the coefficients as they are now, by Adam.

        shifts: (A, m, V) that an augmentation adds to each image's coefficients. generator: on the CPU.
        """
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
            own, mean = self.representations(), self.representation_mean
            found = torch.stack([self.augmented_representations(number) for number in range(len(self.augmentations))])
            wanted = targets.to(own) - mean
            with_networks = approximation.relative_errors(found - mean, wanted).tolist()
            without = approximation.relative_errors((own - mean).expand_as(found), wanted).tolist()
        return {"augmentations": titles(self.augmentations), "with_networks": with_networks, "without": without}

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep only the augmentations with these numbers, and their networks."""
        self.augmentations = tuple(self.augmentations[number] for number in numbers)
        for name, network in zip(Networks._fields, self.networks, strict=True):
            self.register_buffer(name, network[list(numbers)])

    def views(self) -> dict[str, np.ndarray]:
        return {"bases": pictures(self.image_bases, self.basis_shape)}

    def parts(self) -> dict[str, Part]:
        values = {f"{name}_bases": Part() for name in ("image", "representation")}
        values |= {f"{name}_coefficients": Part(axis=1) for name in ("image", "representation")}
        return values | {name: Part("fine") for name in ("image_mean", "representation_mean", *Networks._fields)}

    def num_stored_values(self) -> int:
        return sum(tensor.numel() for tensor in (*self.parameters(), *self.buffers()))

    def describe(self) -> dict[str, Any]:
        sizes = {"image_bases": len(self.image_bases), "representation_bases": len(self.representation_bases)}
        sizes |= {"basis_size": self.basis_size, "hidden_dims": self.hidden_dims}
        return super().describe() | sizes | {"augmentations": [asdict(each) for each in self.augmentations]}

    def _images(self, coefficients: Tensor) -> Tensor:
        return enlarged(coefficients @ self.image_bases + self.image_mean, self.basis_shape, self.spec.sample_shape)

    def _representations(self, coefficients: Tensor) -> Tensor:
        return coefficients @ self.representation_bases + self.representation_mean
