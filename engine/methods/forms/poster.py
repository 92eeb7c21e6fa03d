"""One poster for all classes: its size, start, labels, and where its classes lie."""

import math
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

import torch

from engine.core.config import Size, Task, image_shape
from engine.core.context import Context
from engine.core.events import Event, Warned
from engine.core.options import Config, option
from engine.data.transforms.prepare import ImageSplits
from engine.methods.forms import clip
from engine.methods.forms.distances import given_distances
from engine.methods.forms.form import Asked
from engine.methods.forms.order import OrderKind, placed
from engine.synthetic.labelled import LabelledImages
from engine.synthetic.poster import Labels, PosterSet
from engine.synthetic.poster_grid import PosterGrid, planned_grid
from engine.synthetic.poster_labels import LabelRule, label_cells

poster, label, ordering = (partial(option, group=group) for group in ("Poster", "Labels", "Class order"))
pixels = partial(poster, low=0, high=10_000, unit="pixels", advanced=True)
count = partial(poster, low=0, high=1000, advanced=True)
GIVEN = ("order", "given")
ORDERS = {"listed": "As listed", "features": "Student features", "names": "Letters of the names"}
ORDERS["given"] = "From a file"


class PosterConfig(Config):
    """The options of a poster; a form of its own."""

    ipc: float = option(0.5, low=0.01, high=50.0, unit="images per class", label="Poster size")
    """Size of the poster; may be below 1."""
    poster_from: Literal["tiles", "real", "noise", "result"] = poster("tiles", label="Poster starts from")
    """A tile of noise or a real image per class, noise, or the result of another run."""
    poster_height: int = pixels(0, "Height of the poster; 0 for automatic")
    poster_width: int = pixels(0, "Width of the poster; 0 for automatic. With the height, it overrides the size")
    class_rows: int = count(0, "Rows of class areas; 0 for automatic")
    class_columns: int = count(0, "Columns of class areas; 0 for automatic")
    patch_rows: int = count(0, "Rows of overlapping patches; 0 for automatic")
    patch_columns: int = count(0, "Columns of overlapping patches; 0 for automatic")
    labels: Labels = label("fixed", label="Patch labels")
    """The share of each class's area in a patch, or read from a learned label map."""
    label_rule: LabelRule = label("share", names={"share": "Share of the area"}, when=("labels", "fixed"))
    """The shares themselves, or their softmax."""
    temperature: float = label(0.1, low=1e-4, high=100.0, advanced=True, when=("label_rule", "softmax"))
    """Temperature of the softmax."""
    label_ipc: float = label(1.0, low=0.01, high=1000.0, label="Label cells per class", when=("labels", "learned"))
    """Cells of the label map."""
    order: OrderKind = ordering("features", "What makes similar classes neighbours", names=ORDERS, label="Class order")
    distances: str = ordering("", label="File of class distances", when=GIVEN)
    """CSV file of class distances, in folders/ under the data root."""
    clip_download: bool = ordering(False, label="Download CLIP", when=("order", "clip"))
    """Download CLIP's weights (600 MB)."""

    def grid(self, spec: Task) -> PosterGrid:
        """The geometry of the poster. Raises ConfigError if there can be none."""
        _, height, width = image_shape(spec.sample_shape)
        poster = (self.poster_height, self.poster_width)
        cells, patches = (self.class_rows, self.class_columns), (self.patch_rows, self.patch_columns)
        return planned_grid(self.ipc, spec.num_outputs, (height, width), *poster, *cells, *patches)

    def label_cells(self, spec: Task) -> tuple[int, int] | None:
        """Rows and columns of the label map; None for fixed labels."""
        return label_cells(self.grid(spec), spec.num_outputs, self.label_ipc) if self.labels == "learned" else None

    def size_for(self, spec: Task) -> Size:
        """The patches, which share the poster's pixels, a learned label map, and the class of each class area."""
        grid, cells = self.grid(spec), self.label_cells(spec)
        num_values = spec.sample_shape[0] * grid.height * grid.width
        num_label_values = spec.num_outputs * math.prod(cells) if cells else 0
        size = Size(grid.num_patches, num_values, num_label_values, grid.num_cells, num_fine=num_label_values)
        return replace(size, num_channels=spec.sample_shape[0])

    def whole_batch(self, spec: Task) -> int:
        return self.grid(spec).num_patches

    def describe(self, spec: Task) -> str:
        grid, size = self.grid(spec), self.size_for(spec)
        labels = f", and a label map of {size.num_label_values:,} values" if size.num_label_values else ""
        return (
            f"One poster of {grid.height} x {grid.width} pixels ({grid.ipc(spec.num_outputs):.2f} images per class, "
            f"{size.num_values:,} values), cut into {size.num_samples:,} patches{labels}"
        )

    def check_for(self, spec: Task, data_root: Path) -> None:
        """Refuse a class order that cannot be found: its file is wrong, or CLIP is not available."""
        if self.order == "given":
            given_distances(self.distances, spec.class_names, data_root)
        elif self.order == "clip":
            clip.check(self.clip_download)

    def offline(self) -> Self:
        """The same without a download: if CLIP's weights are missing, classes stay in the order of the data set."""
        if self.order != "clip":
            return self
        order = "clip" if clip.is_at_hand() else "listed"
        return self.model_copy(update={"order": order, "clip_download": False})

    def make(self, splits: ImageSplits, asked: Asked, context: Context) -> Generator[Event, None, LabelledImages]:
        """Yields Progress of the class order and, if it was chosen by distances, what it costs."""
        order = yield from self._class_order(splits, context)
        options = asked.options(splits) | {"labels": self.labels, "label_cells": self.label_cells(splits.spec)}
        options |= {"label_rule": self.label_rule, "temperature": self.temperature}
        return PosterSet(grid=self.grid(splits.spec), order=order, **options)

    def _class_order(self, splits: ImageSplits, context: Context) -> Generator[Event, None, list[int]]:
        """The class of each class area, row by row; a resumed run keeps its order."""
        if context.resume_from is not None:
            order: torch.Tensor = context.resume_from["order"]
            return order.tolist()
        distances = None
        if self.order == "given":
            distances = given_distances(self.distances, splits.spec.class_names, context.data_root)
        grid = self.grid(splits.spec)
        cells, download = (grid.class_rows, grid.class_columns), self.clip_download
        found = yield from placed(self.order, splits, cells, context, distances=distances, clip_download=download)
        if found.costs:
            yield Warned(f"{found}.", level="note")
        return list(found.order)
