"""Every pixel of every image and every number of its representation is a free value.

Source: KRR-ST, Lee et al. 2024, arXiv:2310.06511, which distils such pairs without labels.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

from engine.core.events import Event, Progress
from engine.data.source import LabelledSet, TaskSpec
from engine.synthetic.base import Training
from engine.synthetic.representations import RepresentationSet


class PairSet(RepresentationSet):
    """Free pairs: `inputs` (m, C, H, W) prepared and `targets` (m, d). They have no augmentations."""

    def __init__(self, *, spec: TaskSpec, training: Training, num_dims: int, num_images: int, rate: float) -> None:
        super().__init__(spec, training, num_dims, num_images, rate)
        self.inputs = nn.Parameter(torch.zeros(num_images, *spec.sample_shape))
        self.targets = nn.Parameter(torch.zeros(num_images, num_dims))

    def start_from_real(
        self, train: LabelledSet, representations: Tensor, generator: torch.Generator, phase: str
    ) -> Generator[Event, None, None]:
        yield Progress(phase, 0, 1)
        indices, images = self.chosen(train, generator)
        with torch.no_grad():
            self.inputs.copy_(images)
            self.targets.copy_(representations[indices.to(representations.device)])
        yield Progress(phase, 1, 1)

    def images(self) -> Tensor:
        return self.inputs

    def representations(self) -> Tensor:
        return self.targets

    def augmented_representations(self, number: int) -> Tensor:
        raise IndexError(f"pairs have no augmentation {number}")

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.inputs.device)
        return self.inputs[indices], self.targets[indices]

    def num_stored_values(self) -> int:
        return self.inputs.numel() + self.targets.numel()
