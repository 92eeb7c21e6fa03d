"""Every pixel of every image is a free value: of whole images, or of canvases that samples are cut out of at random.

S batches hold ipc / S images of each class each; E passes over them make T = S * E inner steps. Step t trains on batch
t mod S with the rate softplus(r_t), or softplus(r_0) if shared. With random batches (`Training.batch_size`) S is 1.

Sources: Wang et al. 2018, arXiv:1811.10959, section 3; soft labels: Sucholutsky & Schonlau 2019, arXiv:1910.02551;
canvases: Cazenavette et al. 2022, arXiv:2203.11932, section 4.4 and its code's option "texture".
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from engine.data.source import TaskSpec
from engine.meta.inner import Batch
from engine.synthetic.base import Training
from engine.synthetic.labelled import ImagesPerClass
from engine.synthetic.storage import Part


class PixelSet(ImagesPerClass):
    """`images` (M, C, H, W) in the prepared space; labels and rates as in ImagesPerClass."""

    images: nn.Parameter

    def __init__(self, *, spec: TaskSpec, training: Training, ipc: int, side: int = 1, **options: Any) -> None:
        """side: images are as high and wide as this many samples; above 1 for a CanvasSet."""
        channels, height, width = spec.sample_shape
        images = torch.zeros(ipc * spec.num_outputs, channels, side * height, side * width)
        super().__init__(spec, training, {"images": images}, ipc=ipc, **options)

    def put(self, places: Tensor, samples: Tensor) -> None:
        self.images[places] = samples

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.images.device)
        return self.images[indices], self.labels[indices]

    def everything(self) -> tuple[Tensor, Tensor]:
        return self.images, self.labels

    def parts(self) -> dict[str, Part]:
        return super().parts() | {"images": Part(axis=1)}


class CanvasSet(PixelSet):
    """M = ipc * K canvases `images` (M, C, k H, k W), joined at opposite edges; the rest as in PixelSet.

    Training cuts `canvas_samples` samples out of each, anywhere, also across the edges. The finished set is shown and
    counted as the k * k tiles of each canvas.
    """

    wanted_for = "that fill its canvases. Lower the images per class or the canvas, or start from noise."

    def __init__(
        self, *, spec: TaskSpec, training: Training, canvas_size: int, canvas_samples: int = 1, **options: Any
    ) -> None:
        if not (canvas_size >= 1 and canvas_samples >= 1):
            raise ValueError(f"canvases of {canvas_size} samples a side, {canvas_samples} cut out of each")
        super().__init__(spec=spec, training=training, side=canvas_size, **options)
        self.canvas_size, self.canvas_samples, self.real_each = canvas_size, canvas_samples, canvas_size**2

    def put(self, places: Tensor, samples: Tensor) -> None:
        """Each tile of a canvas is another sample, row by row."""
        side, (channels, height, width) = self.canvas_size, samples.shape[1:]
        grid = samples.reshape(len(places), side, side, channels, height, width).permute(0, 3, 1, 4, 2, 5)
        self.images[places] = grid.reshape(len(places), channels, side * height, side * width)

    @property
    def num_samples(self) -> int:
        return len(self.classes) * self.canvas_size**2

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles, canvas by canvas, row by row."""
        indices = indices.to(self.images.device)
        _, height, width = self.spec.sample_shape
        canvases, place = indices // self.real_each, indices % self.real_each
        rows, columns = place // self.canvas_size * height, place % self.canvas_size * width
        return self._cut(canvases, rows, columns), self.labels[canvases]

    def everything(self) -> tuple[Tensor, Tensor]:
        return self.at(torch.arange(self.num_samples))

    def drawn(self, generator: torch.Generator) -> Iterator[Batch]:
        """Endless batches of random cut-outs, `canvas_samples` of each canvas if the batch has room for all."""
        height, width = self.images.shape[2:]
        count = len(self.classes)
        while True:
            chosen = torch.randperm(count * self.canvas_samples, generator=generator)[: self.own_training.batch_size]
            rows = torch.randint(height, (len(chosen),), generator=generator)
            columns = torch.randint(width, (len(chosen),), generator=generator)
            chosen, rows, columns = (part.to(self.images.device) for part in (chosen % count, rows, columns))
            yield Batch(self._cut(chosen, rows, columns), self.labels[chosen], self.rates[0])

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"canvas_size": self.canvas_size, "canvas_samples": self.canvas_samples}

    def _cut(self, canvases: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Samples (n, C, H, W) of `canvases` (n,) whose top left corners are at rows and columns (n,)."""
        _, height, width = self.spec.sample_shape
        down, across = (torch.arange(length, device=rows.device) for length in (height, width))
        rows = (rows[:, None] + down) % self.images.shape[2]
        columns = (columns[:, None] + across) % self.images.shape[3]
        cut = self.images[canvases[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return cut.permute(0, 3, 1, 2)
