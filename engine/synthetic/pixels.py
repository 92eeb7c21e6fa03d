"""Every pixel of every image is a free value.

S batches hold ipc / S images of each class each; E passes over them make T = S * E inner steps. Step t trains on batch
t mod S with the rate softplus(r_t), or softplus(r_0) if shared. With random batches (`Training.batch_size`) S is 1.
Source: Wang et al. 2018, arXiv:1811.10959, section 3; soft labels: Sucholutsky & Schonlau 2019, arXiv:1910.02551.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.data.source import TaskSpec
from engine.synthetic.base import Training, inverse_softplus
from engine.synthetic.labelled import ImagesPerClass


class PixelSet(ImagesPerClass):
    """`images` (M, C, H, W) in the prepared space; labels and rates as in ImagesPerClass."""

    images: nn.Parameter

    def __init__(self, *, spec: TaskSpec, training: Training, ipc: int, side: int = 1, **options: Any) -> None:
        """side: images are as high and wide as this many samples; above 1 for a CanvasSet."""
        channels, height, width = spec.sample_shape
        images = torch.zeros(ipc * spec.num_outputs, channels, side * height, side * width)
        super().__init__(spec, training, {"images": images}, ipc=ipc, **options)

    def start_from_noise(self, lr: float, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.images.copy_(torch.randn(self.images.shape, generator=generator))
            self.raw_rates.fill_(inverse_softplus(lr))

    def put(self, places: Tensor, samples: Tensor) -> None:
        self.images[places] = samples

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.images.device)
        return self.images[indices], self.labels[indices]

    def everything(self) -> tuple[Tensor, Tensor]:
        return self.images, self.labels
