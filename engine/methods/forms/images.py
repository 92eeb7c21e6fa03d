"""Forms of labelled images: whole ones of each class, canvases that images are cut out of, or sums of few bases."""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.core.config import Size, Task
from engine.core.context import Context
from engine.core.errors import ConfigError
from engine.core.events import Event
from engine.core.options import Config, option
from engine.data.transforms.prepare import ImageSplits
from engine.methods.forms.form import Asked, labelled_size
from engine.synthetic.bases import BasisSet, basis_shape, check_bases, num_in_bases, stored_whole
from engine.synthetic.labelled import LabelledImages, LabelsKind
from engine.synthetic.pixels import CanvasSet, PixelSet


class CanvasConfig(Config):
    """The size of a canvas, and how often it is cut."""

    size: int = option(2, "Height and width of a canvas", low=1, high=8, label="Canvas size", unit="images")
    samples: int = option(1, "Cut-outs of each canvas per step if all are used", 1, 64, advanced=True, label="Cut-outs")


@dataclass(frozen=True)
class ImageForm:
    """`ipc` images of each class, or canvases; every pixel is stored."""

    ipc: int
    labels: LabelsKind
    canvas: CanvasConfig | None = None

    def size_for(self, spec: Task) -> Size:
        area = self.canvas.size**2 if self.canvas else 1
        num_images = self.ipc * spec.num_outputs
        num_values = num_images * area * math.prod(spec.sample_shape)
        return labelled_size(num_images * area, num_values, num_images, spec, self.labels)

    def whole_batch(self, spec: Task) -> int:
        return self.ipc * spec.num_outputs * (self.canvas.samples if self.canvas else 1)

    def describe(self, spec: Task) -> str:
        return ""

    def check_for(self, spec: Task, data_root: Path) -> None:
        """Nothing to check."""

    def make(self, splits: ImageSplits, asked: Asked, context: Context) -> Generator[Event, None, LabelledImages]:
        yield from ()
        options = asked.batched(splits, self.ipc, self.labels)
        if self.canvas is None:
            return PixelSet(**options)
        return CanvasSet(canvas_size=self.canvas.size, canvas_samples=self.canvas.samples, **options)


class LowRankConfig(Config):
    """How many images are made of how many bases."""

    ipc: int = option(5, "Images per class that are sums of the bases", low=1, high=500, label="Sums per class")
    num_bases: int = option(10, "Pictures that all images are sums of", low=1, high=10_000, label="Number of bases")
    basis_size: int = option(8, "Shorter side of a basis, at most that of an image", low=2, high=1024, unit="px")
    bases_from: Literal["real", "noise", "result"] = option("real", label="Bases start from")
    """Principal components of real images, noise, or the result of another run."""


@dataclass(frozen=True)
class LowRankForm:
    """Labelled images of shared bases, by the options of a config."""

    options: LowRankConfig
    labels: LabelsKind

    def size_for(self, spec: Task) -> Size:
        num_images, num_bases, basis_size = self._numbers(spec)
        num_pixels = math.prod(basis_shape(spec.sample_shape, basis_size))
        num_values = num_in_bases(num_images, num_bases, num_pixels)
        found = labelled_size(num_images, num_values, num_images, spec, self.labels)
        num_fine = found.num_fine + num_pixels  # the mean
        return replace(found, num_fine=num_fine, num_channels=2 * num_bases, bits=BasisSet.usual_bits)

    def whole_batch(self, spec: Task) -> int:
        return self.options.ipc * spec.num_outputs

    def describe(self, spec: Task) -> str:
        size, bases = self.size_for(spec), f"{self.options.num_bases:,} bases"
        labels = f", and {size.num_label_values:,} values of learned labels" if size.num_label_values else ""
        return (
            f"{size.num_samples:,} images of {spec.num_outputs:,} classes, sums of {bases} "
            f"({size.num_values:,} values, {size.per_class(spec):.2f} images per class){labels}"
        )

    def check_for(self, spec: Task, data_root: Path) -> None:
        most = math.prod(basis_shape(spec.sample_shape, self.options.basis_size))
        if self.options.num_bases > most:
            problem = f"There can be at most {most:,} bases of {self.options.basis_size} pixels a side"
            raise ConfigError(f"{problem}, not {self.options.num_bases:,}. Choose fewer or larger bases.")
        check_bases(*self._numbers(spec), spec.sample_shape)

    def caution(self, spec: Task) -> str:
        """Of bases that take more numbers than small images stored whole."""
        num_images, num_bases, basis_size = self._numbers(spec)
        pixels = math.prod(basis_shape(spec.sample_shape, basis_size))
        return stored_whole("small images", num_images, num_bases, pixels)

    def _numbers(self, spec: Task) -> tuple[int, int, int]:
        return self.options.ipc * spec.num_outputs, self.options.num_bases, self.options.basis_size

    def make(self, splits: ImageSplits, asked: Asked, context: Context) -> Generator[Event, None, LabelledImages]:
        yield from ()
        options = asked.batched(splits, self.options.ipc, self.labels)
        return BasisSet(num_bases=self.options.num_bases, basis_size=self.options.basis_size, **options)
