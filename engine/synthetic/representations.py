"""What sets of images and representations share, however either is stored. They have no labels.

A network is pre-trained on them: its output for an image is fitted to the image's representation.
"""

import math
from abc import abstractmethod
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.config import image_shape
from engine.core.errors import ConfigError
from engine.core.events import Event, Preview, Progress
from engine.data.source import LabelledSet, TaskSpec
from engine.data.transforms.predefined import Predefined, augmented
from engine.synthetic.base import Shown, SyntheticSet, Training, check_preparation
from engine.synthetic.storage import Part

MOST_VALUES = 10**9  # pixels of all images together, 4 GB


class RepresentationSet(SyntheticSet):
    """m images, each with a representation of d numbers, and with one more under each of the set's augmentations.

    augmentations: fixed changes of the images that have representations too.
    real_images: (m, C, H, W) prepared, that the images started from; None after loading.
    spectrum: shares of the variance explained by each component at the start, of "images" and of "representations", at
        most MOST_SHOWN each; empty after loading and where nothing is decomposed.
    """

    has_labels = False
    augmentations: tuple[Predefined, ...] = ()
    real_images: Tensor | None = None

    def __init__(self, spec: TaskSpec, training: Training, num_dims: int, num_images: int, rate: float) -> None:
        """rate: the learning rate of training on the set, the same for all steps."""
        super().__init__()
        if not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"A network cannot be trained at a rate of {rate}. Choose one above 0.")
        if num_images * math.prod(image_shape(spec.sample_shape)) > MOST_VALUES:
            problem = f"{num_images:,} images of {'x'.join(map(str, spec.sample_shape))} values take too much memory."
            raise ConfigError(f"{problem} Choose fewer images.")
        self.spec, self.own_training = spec, training
        self.num_dims, self.num_images, self.rate = num_dims, num_images, rate
        self.spectrum: dict[str, list[float]] = {}

    @abstractmethod
    def images(self) -> Tensor:
        """(m, C, H, W) prepared; differentiable."""

    @abstractmethod
    def representations(self) -> Tensor:
        """(m, d); differentiable."""

    def augmented_representations(self, number: int) -> Tensor:
        """(m, d) of the images under augmentation `number`; differentiable in the representations' own parameters."""
        raise IndexError(f"there is no augmentation {number}")

    @abstractmethod
    def start_from_real(
        self, train: LabelledSet, representations: Tensor, generator: torch.Generator, phase: str
    ) -> Generator[Event, None, None]:
        """Start as random training images with their representations, as near as the set can hold them.

        train: all training images. representations: (N, d) of all of them, in their order. generator: on the CPU; draws
        the images, without repetition. phase: of the Progress. Raises ConfigError if there are fewer than the set has.
        """

    @property
    def num_samples(self) -> int:
        return self.num_images

    @property
    def rates(self) -> Tensor:
        """(1,); stored in the header of the file."""
        return torch.tensor([self.rate], device=next(self.parameters()).device)

    def everything(self) -> tuple[Tensor, Tensor]:
        return self.images(), self.representations()

    def pairs(self) -> tuple[Tensor, Tensor]:
        """What a network is pre-trained on, detached: inputs ((1 + A) m, C, H, W) and targets ((1 + A) m, d).

        First all images as they are, then all under the first augmentation with its representations, and so on.
        """
        with torch.no_grad():
            images, representations = self.images(), self.representations()
            inputs = [images, *augmented(self.augmentations, images, representations)]
            numbers = range(len(self.augmentations))
            targets = [representations, *(self.augmented_representations(number) for number in numbers)]
            return torch.cat(inputs), torch.cat(targets)

    def preview(self, step: int, shown: Shown) -> Preview:
        """The images as pictures; at the start also the "real" ones that they started from."""
        found = super().preview(step, shown)
        if step == 0 and self.real_images is not None:
            found.views["real"] = shown.to_display(self.real_images)
        return found

    def describe(self) -> dict[str, Any]:
        return {"num_dims": self.num_dims, "num_images": self.num_images, "rate": self.rate}

    def check(self, inputs: Tensor, targets: Tensor) -> None:
        if targets.ndim != 2 or not bool(torch.isfinite(targets).all()):
            raise ValueError("representations that are no numbers")
        check_preparation(self.preparation, inputs)

    def chosen(self, train: LabelledSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices (m,) of random training images, without repetition, and the images, kept as `real_images`.

        Raises ConfigError if there are too few.
        """
        if len(train) < self.num_images:
            problem = f"There are {len(train):,} training images, fewer than the {self.num_images:,} to be distilled."
            raise ConfigError(f"{problem} Choose {len(train):,} or fewer.")
        indices = torch.randperm(len(train), generator=generator)[: self.num_images]
        self.real_images = train.batch(indices)[0]
        return indices, self.real_images


class PairSet(RepresentationSet):
    """Free pairs: `inputs` (m, C, H, W) prepared and `targets` (m, d). They have no augmentations.

    Source: KRR-ST, Lee et al. 2024, arXiv:2310.06511, which distils such pairs without labels.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inputs = nn.Parameter(torch.zeros(self.num_images, *self.spec.sample_shape))
        self.targets = nn.Parameter(torch.zeros(self.num_images, self.num_dims))

    def start_from_real(
        self, train: LabelledSet, representations: Tensor, generator: torch.Generator, phase: str
    ) -> Generator[Event, None, None]:
        yield Progress(phase, 0, 1)
        indices, images = self.chosen(train, generator)
        with torch.no_grad():
            self.inputs.copy_(images)
            self.targets.copy_(representations[indices.to(representations.device)])
        yield Progress(phase, 1, 1)

    def parts(self) -> dict[str, Part]:
        return {"inputs": Part(axis=1), "targets": Part("fine")}

    def images(self) -> Tensor:
        return self.inputs

    def representations(self) -> Tensor:
        return self.targets

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.inputs.device)
        return self.inputs[indices], self.targets[indices]
