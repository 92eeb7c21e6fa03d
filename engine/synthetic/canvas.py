"""Textures: each synthetic image is a canvas larger than a sample, joined at opposite edges; samples are cut out of it at random.

M = ipc * K canvases of k H x k W pixels. A training cuts `canvas_samples` samples out of each, anywhere, across the edges
too; the finished set is shown and counted as the k * k tiles of each canvas.
Source: Cazenavette et al. 2022, arXiv:2203.11932, section 4.4 and its code's option "texture".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.meta.inner import Batch
from engine.synthetic.pixels import PixelSet


class CanvasSet(PixelSet):
    """Canvases `images` (M, C, k H, k W); the rest as in PixelSet, for trainings on random batches."""

    def __init__(self, *, canvas_size: int, canvas_samples: int = 1, **pixel_set: Any) -> None:
        super().__init__(**pixel_set)
        if not self.training.batch_size:
            raise ConfigError(
                "Textures are cut out at random, so their training takes random batches. Set a batch size."
            )
        if not (canvas_size >= 1 and canvas_samples >= 1):
            raise ValueError(f"canvases of {canvas_size} samples a side, {canvas_samples} cut out of each")
        self.canvas_size, self.canvas_samples = canvas_size, canvas_samples
        channels, height, width = self.spec.sample_shape
        size = (len(self.classes), channels, canvas_size * height, canvas_size * width)
        self.images = nn.Parameter(torch.zeros(size))
        if self.other_images is not None:
            self.other_images = torch.zeros(size)

    WANTED_FOR = "that fill its canvases. Lower the images per class or the canvas, or start from noise."

    @property
    def real_each(self) -> int:
        return self.canvas_size**2

    def made_of(self, real: Tensor) -> Tensor:
        """Each tile of each canvas is another real image."""
        return _joined(real, self.canvas_size)

    @property
    def num_samples(self) -> int:
        return len(self.classes) * self.canvas_size**2

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles, canvas by canvas, row by row."""
        tiles = self.canvas_size**2
        indices = indices.to(self.images.device)
        _, height, width = self.spec.sample_shape
        place = indices % tiles
        rows, columns = place // self.canvas_size * height, place % self.canvas_size * width
        return self._cut(indices // tiles, rows, columns), self.labels[indices // tiles]

    def drawn(self, generator: torch.Generator) -> Iterator[Batch]:
        """Endless batches of random cut-outs, `canvas_samples` of each canvas where the batch has room for all."""
        height, width = self.images.shape[2:]
        count = len(self.classes)
        while True:
            chosen = torch.randperm(count * self.canvas_samples, generator=generator)[: self.training.batch_size]
            rows = torch.randint(height, (len(chosen),), generator=generator)
            columns = torch.randint(width, (len(chosen),), generator=generator)
            chosen, rows, columns = (part.to(self.images.device) for part in (chosen % count, rows, columns))
            yield Batch(self._cut(chosen, rows, columns), self.labels[chosen], self.rates[0])

    def materialise(self) -> tuple[Tensor, Tensor]:
        inputs, targets = self.at(torch.arange(self.num_samples))
        return inputs.detach(), targets.detach()

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"canvas_size": self.canvas_size, "canvas_samples": self.canvas_samples}

    def _cut(self, canvases: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Samples (n, C, H, W) of `canvases` (n,) whose upper left corners are at rows and columns (n,)."""
        _, height, width = self.spec.sample_shape
        down = torch.arange(height, device=rows.device)
        across = torch.arange(width, device=rows.device)
        rows = (rows[:, None] + down) % self.images.shape[2]
        columns = (columns[:, None] + across) % self.images.shape[3]
        cut = self.images[canvases[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return cut.permute(0, 3, 1, 2)


def _joined(tiles: Tensor, side: int) -> Tensor:
    """(n * side * side, C, H, W) -> (n, C, side * H, side * W), row by row."""
    count, (channels, height, width) = len(tiles) // side**2, tiles.shape[1:]
    grid = tiles.reshape(count, side, side, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(count, channels, side * height, side * width)
