"""Whole images of each class, or canvases that images are cut out of."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from engine.core.config import Size, Task
from engine.core.context import Context
from engine.core.events import Event
from engine.core.options import Config, option
from engine.data.transforms.prepare import ImageSplits
from engine.methods.forms.form import Asked, labelled_size
from engine.synthetic.canvas import CanvasSet
from engine.synthetic.labelled import LabelledImages, Start
from engine.synthetic.pixels import PixelSet


class CanvasConfig(Config):
    """The size of a canvas, and how often it is cut."""

    size: int = option(2, "Height and width of a canvas", low=1, high=8, label="Canvas size", unit="images")
    samples: int = option(1, low=1, high=64, advanced=True, label="Cut-outs")
    """Cut-outs of each canvas per step if all are used."""


@dataclass(frozen=True)
class ImageForm:
    """`ipc` images of each class, or canvases; every pixel is stored."""

    ipc: int
    start: Start
    has_soft_labels: bool
    canvas: CanvasConfig | None = None

    def size_for(self, spec: Task) -> Size:
        area = self.canvas.size**2 if self.canvas else 1
        num_images = self.ipc * spec.num_outputs
        num_values = num_images * area * math.prod(spec.sample_shape)
        return labelled_size(num_images * area, num_values, num_images, spec, self.has_soft_labels)

    def whole_batch(self, spec: Task) -> int:
        return self.ipc * spec.num_outputs * (self.canvas.samples if self.canvas else 1)

    def describe(self, spec: Task) -> str:
        return ""

    def check_for(self, spec: Task, data_root: Path) -> None:
        """Nothing to check."""

    def make(self, splits: ImageSplits, asked: Asked, context: Context) -> Generator[Event, None, LabelledImages]:
        options = asked.options(splits) | {
            "ipc": self.ipc,
            "num_batches": asked.num_batches,
            "soft_labels": self.has_soft_labels,
        }
        if self.canvas is None:
            synthetic = PixelSet(**options)
        else:
            synthetic = CanvasSet(canvas_size=self.canvas.size, canvas_samples=self.canvas.samples, **options)
        generator = context.stream("images")
        yield from synthetic.start_from(self.start, splits, context.start, asked.student_lr, generator)
        return synthetic
