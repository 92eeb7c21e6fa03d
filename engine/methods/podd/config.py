"""Hyperparameters of PoDD."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

from engine.core.config import Config, Size, Task, option
from engine.core.errors import ConfigError
from engine.methods.podd import clip
from engine.methods.podd.distances import given_distances
from engine.methods.podd.order import OrderKind
from engine.methods.windowed import WindowedConfig
from engine.synthetic.poster import Labels
from engine.synthetic.poster_grid import PosterGrid, planned_grid
from engine.synthetic.poster_labels import LabelRule, label_cells


class PosterConfig(Config):
    """The poster itself: its size, what it starts as, its labels and where its classes lie."""

    ipc: float = option(
        0.5,
        "Size of the poster, in images of each class; below 1 as well",
        low=0.01,
        high=50.0,
        label="Images per class",
    )
    poster_from: Literal["tiles", "real", "noise"] = option(
        "tiles",
        "What the poster starts as: a tile of random numbers for each class, fading into its neighbours; a real image of each class; "
        "or random numbers",
        group="Poster",
        label="Poster starts from",
    )
    poster_height: int = option(
        0, "Height of the poster; 0 chooses it", low=0, high=10_000, unit="pixels", advanced=True, group="Poster"
    )
    poster_width: int = option(
        0,
        "Width of the poster; 0 chooses it. Given with the height, the two say the size in place of the images per class",
        low=0,
        high=10_000,
        unit="pixels",
        advanced=True,
        group="Poster",
    )
    class_rows: int = option(
        0, "Rows of class areas; 0 chooses them", low=0, high=1000, unit="rows", advanced=True, group="Poster"
    )
    class_columns: int = option(
        0, "Columns of class areas; 0 chooses them", low=0, high=1000, unit="columns", advanced=True, group="Poster"
    )
    patch_rows: int = option(
        0,
        "Rows of overlapping patches that students see; 0 chooses them",
        low=0,
        high=1000,
        unit="rows",
        advanced=True,
        group="Poster",
    )
    patch_columns: int = option(
        0,
        "Columns of overlapping patches; 0 chooses them",
        low=0,
        high=1000,
        unit="columns",
        advanced=True,
        group="Poster",
    )

    labels: Labels = option(
        "fixed",
        "A patch's label follows from the class areas it shows, or is read from a learned map over the poster",
        group="Labels",
    )
    label_rule: LabelRule = option(
        "share",
        "Fixed labels are each class's share of the patch, or a softmax of the shares",
        names={"share": "Share of the area"},
        group="Labels",
        when=("labels", "fixed"),
    )
    temperature: float = option(
        0.1,
        "Of the softmax: small makes one class certain, large makes all alike",
        low=1e-4,
        high=100.0,
        advanced=True,
        group="Labels",
        when=("label_rule", "softmax"),
    )
    label_ipc: float = option(
        1.0,
        "Cells of the learned label map for each class; never fewer in all than class areas",
        low=0.01,
        high=1000.0,
        group="Labels",
        label="Label cells per class",
        when=("labels", "learned"),
    )
    label_lr_divisor: float = option(
        1.0,
        "The label map's step size is the outer learning rate divided by this",
        low=0.01,
        high=10_000.0,
        advanced=True,
        group="Labels",
        when=("labels", "learned"),
    )

    order: OrderKind = option(
        "features",
        "Classes that are alike become neighbours, by what a briefly trained student sees, by the letters of their names, by CLIP's text "
        "features, or by distances you give; or the data set's own order is kept",
        group="Class order",
        names={
            "listed": "As listed",
            "features": "Student features",
            "names": "Letters of the names",
            "given": "From a file",
        },
        label="Class order",
    )
    distances: str = option(
        "",
        "CSV file of the distances between classes, a row and a column of numbers for each class; names are matched where given. "
        "It lies where imports may read, in folders/ under the data root or in DISTILLERY_FOLDERS",
        advanced=True,
        group="Class order",
        label="File of class distances",
        when=("order", "given"),
    )
    clip_download: bool = option(
        False,
        "Allow about 600 MB of CLIP's weights to be downloaded where they are not on this machine",
        advanced=True,
        group="Class order",
        label="Download CLIP",
        when=("order", "clip"),
    )


class PoddConfig(WindowedConfig, PosterConfig):
    """Hyperparameters, in the order the form shows them."""

    def grid(self, spec: Task) -> PosterGrid:
        """The geometry of the poster. Raises ConfigError where there can be none."""
        if len(spec.sample_shape) != 3:
            raise ConfigError(f"A poster is cut into images, but these samples have shape {spec.sample_shape}.")
        return planned_grid(
            self.ipc,
            spec.num_outputs,
            spec.sample_shape[1:],
            self.poster_height,
            self.poster_width,
            self.class_rows,
            self.class_columns,
            self.patch_rows,
            self.patch_columns,
        )

    def size(self, spec: Task) -> Size:
        """The patches, which share the poster's pixels, a learned label map, and the class of each class area."""
        grid, cells = self.grid(spec), self.label_cells(spec)
        num_values = spec.sample_shape[0] * grid.height * grid.width
        num_label_values = spec.num_outputs * math.prod(cells) if cells else 0
        return Size(grid.num_patches, num_values, num_label_values, num_indices=grid.num_cells)

    def label_cells(self, spec: Task) -> tuple[int, int] | None:
        """Rows and columns of the label map; None for fixed labels."""
        return label_cells(self.grid(spec), spec.num_outputs, self.label_ipc) if self.labels == "learned" else None

    def describe_size(self, spec: Task) -> str:
        """The poster's size as the beginning of a sentence."""
        grid, size = self.grid(spec), self.size(spec)
        labels = f", and a label map of {size.num_label_values:,} values" if size.num_label_values else ""
        return (
            f"One poster of {grid.height} x {grid.width} pixels ({grid.ipc(spec.num_outputs):.2f} images per class, "
            f"{size.num_values:,} values), cut into {size.num_samples:,} patches{labels}"
        )

    def check(self, spec: Task, data_root: Path) -> None:
        """Refuse a class order that cannot be found: by a file that is not right, or by CLIP where it is not at hand."""
        if self.order == "given":
            given_distances(self.distances, spec.class_names, data_root)
        elif self.order == "clip":
            clip.check(self.clip_download)

    def for_trial(self) -> Self:
        """Never downloads: where CLIP's weights are still to be fetched, the classes stay in the data set's order."""
        if self.order != "clip":
            return self
        order = "clip" if clip.is_at_hand() else "listed"
        return self.model_copy(update={"order": order, "clip_download": False})
