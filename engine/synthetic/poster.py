"""One poster in place of separate images: samples are overlapping patches of it, labels follow from where they lie.

The poster (C, H, W) is cut by a PosterGrid into P = rows * columns patches, each as large as an image. Patches share
pixels, so a poster of less than one image per class still shows every class in many places. A patch's label is the
share of the classes in its area (fixed), or is read from a learned map of labels over the poster (learned).

Source: Shul et al. 2024, arXiv:2403.12040, sections 3.1 (posters), 3.2 (class order), 3.3 (labels).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine.core.config import image_shape
from engine.core.errors import ConfigError
from engine.core.events import PosterView, Preview
from engine.core.spacing import edges, offsets
from engine.data.source import LabelledSet, TaskSpec
from engine.synthetic import poster_labels
from engine.synthetic.base import Shown, Training
from engine.synthetic.labelled import LabelledImages, samples_of
from engine.synthetic.poster_grid import MOST_LABELS, MOST_PIXELS, PosterGrid, blended, patches
from engine.synthetic.poster_labels import LabelRule
from engine.synthetic.storage import Part

Labels = Literal["fixed", "learned"]

MOST_VALUES = 3 * MOST_PIXELS  # of all patches together, in colour
TILE_OVERLAP = 1.5  # side of a class's starting tile over that of its cell: neighbours fade into each other


class PosterSet(LabelledImages):
    """A poster. `poster` (C, H, W) prepared, `raw_rates`, `label_map` (K, h, w) if labels are learned.

    order: class of each class cell, row by row, -1 for an empty cell; every class once.
    label_cells: (h, w) of the label map; None for fixed labels. label_rule, temperature: of fixed labels.
    """

    poster: nn.Parameter
    label_map: nn.Parameter | None
    area_labels: Tensor
    row_weights: Tensor
    column_weights: Tensor

    def __init__(
        self,
        *,
        spec: TaskSpec,
        training: Training,
        grid: PosterGrid | dict[str, int],
        order: Sequence[int],
        labels: Labels,
        label_cells: tuple[int, int] | None = None,
        label_rule: LabelRule = "share",
        temperature: float = 1.0,
        **options: Any,
    ) -> None:
        """options: those of LabelledImages."""
        grid = TypeAdapter(PosterGrid).validate_python(grid)
        _check_order(order, grid, spec)
        if labels not in get_args(Labels) or label_rule not in get_args(LabelRule) or not temperature > 0:
            asked = f"{labels} labels by the rule '{label_rule}'"
            raise ConfigError(f"There are no {asked} at a temperature of {temperature}.")
        _check_patches(spec.sample_shape, grid)
        poster = torch.zeros(spec.sample_shape[0], grid.height, grid.width)
        super().__init__(spec, training, {"poster": poster}, **options)
        self.grid, self.order, self.label_rule, self.temperature = grid, tuple(order), label_rule, temperature
        # the buffers follow from the grid, so a file does without them
        if labels == "learned":
            cells = _checked_cells(label_cells, grid, spec.num_outputs)
            start = torch.zeros(spec.num_outputs, *cells)
            if not poster.is_meta:  # else a file's own map takes its place
                start = poster_labels.starting_map(grid, self.order, cells)
            self.label_map = nn.Parameter(start)
            rows, columns = poster_labels.reading_weights(grid, cells)
            self.register_buffer("row_weights", rows, persistent=False)
            self.register_buffer("column_weights", columns, persistent=False)
        else:
            self.register_parameter("label_map", None)
            areas = poster_labels.fixed_labels(grid, self.order, label_rule, temperature)
            self.register_buffer("area_labels", areas, persistent=False)

    def start_from_tiles(self, generator: torch.Generator) -> None:
        """A Gaussian tile for each class cell, fading into its neighbours.

        Tile k is a draw of N(m_k, s²) with m_k ~ N(0, 1) for every value and s a quarter of the smallest distance
        between two m; it is then scaled to a root mean square of 1, as real prepared pixels have. (The published tiles
        have a Euclidean norm of 1, about fifty times fainter.) Tiles lie evenly spaced, half a cell over each other,
        blended by linear weights.
        """
        grid = self.grid
        sides = ((grid.height, grid.class_rows), (grid.width, grid.class_columns))
        height, width = (min(math.ceil(TILE_OVERLAP * length / number), length) for length, number in sides)
        shape = (grid.num_cells, len(self.poster), height, width)
        means = torch.randn(shape, generator=generator)
        distances = torch.pdist(means.flatten(1))
        spread = float(distances.min()) / 4 if len(distances) else 0.0
        tiles = means + spread * torch.randn(shape, generator=generator)
        tiles = tiles / tiles.square().mean((1, 2, 3), keepdim=True).sqrt()
        tiles = tiles.view(grid.class_rows, grid.class_columns, *shape[1:])
        rows, columns = _fades(grid.height, height, grid.class_rows), _fades(grid.width, width, grid.class_columns)
        self.poster.zero_()
        for i, top in enumerate(offsets(grid.height, height, grid.class_rows)):
            for j, left in enumerate(offsets(grid.width, width, grid.class_columns)):
                weights = rows[i, top : top + height, None] * columns[j, left : left + width]
                self.poster[:, top : top + height, left : left + width] += (tiles[i, j] * weights).to(self.poster)

    def start_from_real(self, real: LabelledSet, generator: torch.Generator) -> None:
        """A random image of each class, resized to its cell, any image in an empty cell."""
        targets = real.targets.cpu()
        for cell, label in enumerate(self.order):
            candidates = (targets == label).nonzero().flatten() if label >= 0 else torch.arange(len(targets))
            if not len(candidates):
                name = self.spec.class_names[label]
                raise ConfigError(f"Class '{name}' has no training images. Start from tiles or noise.")
            chosen = candidates[torch.randint(len(candidates), (1,), generator=generator)]
            self._place(cell, real.batch(chosen)[0])

    def fit(self, result: LabelledImages, inputs: Tensor, targets: Tensor, train: LabelledSet) -> None:
        """The patches of a poster of the same layout where they lay; otherwise one sample of each class in its cell."""
        if isinstance(result, PosterSet) and (result.grid, result.order) == (self.grid, self.order):
            self.poster.copy_(blended(inputs, self.grid))
            mine, theirs = self.label_map, result.label_map
            if mine is not None and theirs is not None and mine.shape == theirs.shape:
                mine.copy_(theirs)
            return
        for cell, label in enumerate(self.order):
            chosen = samples_of(targets, label, 1) if label >= 0 else torch.tensor([0])
            if not len(chosen):
                problem = f"The result to start from has no samples of class '{self.spec.class_names[label]}'."
                raise ConfigError(f"{problem} Start from real images, tiles or noise.")
            self._place(cell, inputs[chosen])

    def _place(self, cell: int, image: Tensor) -> None:
        """Draw an image (1, C, H, W), resized, into a class cell."""
        tops, lefts = edges(self.grid.height, self.grid.class_rows), edges(self.grid.width, self.grid.class_columns)
        i, j = divmod(cell, self.grid.class_columns)
        size = (tops[i + 1] - tops[i], lefts[j + 1] - lefts[j])
        resized = F.interpolate(image, size, mode="bilinear", antialias=True)[0]
        self.poster[:, tops[i] : tops[i + 1], lefts[j] : lefts[j + 1]] = resized.to(self.poster)

    @property
    def label_parameter(self) -> nn.Parameter | None:
        return self.label_map

    @property
    def num_samples(self) -> int:
        return self.grid.num_patches

    def labels(self, indices: Tensor | None = None) -> Tensor:
        """(b, K) labels of the patches at `indices` (b,) int64, of all if None; differentiable if they are learned."""
        if self.label_map is None:
            return self.area_labels if indices is None else self.area_labels[indices]
        if indices is None:
            return poster_labels.read_all_labels(self.label_map, self.row_weights, self.column_weights)
        rows, columns = indices // self.grid.patch_columns, indices % self.grid.patch_columns
        return poster_labels.read_labels(self.label_map, self.row_weights[rows], self.column_weights[columns])

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.poster.device)
        return patches(self.poster, self.grid, indices), self.labels(indices)

    def everything(self) -> tuple[Tensor, Tensor]:
        return patches(self.poster, self.grid), self.labels()

    def project(self) -> None:
        """Cut the label map to values that are not negative, and pixels to `bounds`."""
        super().project()
        if self.label_map is not None:
            with torch.no_grad():
                self.label_map.clamp_(min=0)

    def to_resume(self) -> dict[str, Tensor]:
        return {"order": torch.tensor(self.order)}

    def preview(self, step: int, shown: Shown) -> Preview:
        """The patches as pictures, row by row, with the likeliest class of each, and the poster as one picture.

        A poster's pixel is the mean over the patches that show it, each shown as a picture of its own: the pixel itself
        if pixels are prepared one by one, and the nearest there is under whitening, which is undone patch by patch.
        """
        images = shown.to_display(patches(self.poster.detach(), self.grid))
        with torch.no_grad():
            labels = self.labels().cpu()
        whole = blended(torch.from_numpy(images).permute(0, 3, 1, 2), self.grid).round().to(torch.uint8)
        pixels, label_map = whole.permute(1, 2, 0).contiguous().numpy(), None
        if self.label_map is not None:
            label_map = self.label_map.detach().cpu().numpy().astype(np.float16)
        names, patch_labels = self.spec.class_names, labels.numpy().astype(np.float16)
        view = PosterView(pixels, asdict(self.grid), self.order, names, patch_labels, label_map)
        return Preview(step, images, tuple(self.spec.class_names[label] for label in labels.argmax(1).tolist()), view)

    def parts(self) -> dict[str, Part]:
        labels = {} if self.label_map is None else {"label_map": Part("fine")}
        return super().parts() | {"poster": Part()} | labels

    def num_bytes(self) -> int:
        return super().num_bytes() + len(self.order)

    def num_stored_values(self) -> int:
        return super().num_stored_values() + len(self.order)

    def describe(self) -> dict[str, Any]:
        cells = None if self.label_map is None else list(self.label_map.shape[1:])
        labels = {"labels": "learned" if cells else "fixed", "label_cells": cells, "label_rule": self.label_rule}
        placed = {"temperature": self.temperature, "grid": asdict(self.grid), "order": list(self.order)}
        return super().describe() | labels | placed


def _fades(length: int, size: int, number: int) -> Tensor:
    """Weights (number, length) of evenly spaced pieces; they add up to one and fall linearly where pieces overlap."""
    starts = torch.tensor(offsets(length, size, number))[:, None]
    places = torch.arange(length) + 0.5
    inside = torch.minimum(places - starts, starts + size - places).clamp_min(0)
    return inside / inside.sum(0)


def _check_order(order: Sequence[int], grid: PosterGrid, spec: TaskSpec) -> None:
    """Raise ConfigError unless `order` gives every class one cell of the grid."""
    placed = sorted(label for label in order if label != -1)
    if any(type(label) is not int for label in order) or placed != list(range(spec.num_outputs)):
        raise ConfigError(f"A class order holds each class from 0 to {spec.num_outputs - 1} once, and -1 for no class.")
    if len(order) != grid.num_cells:
        problem = f"The class order has {len(order)} cells, the poster {grid.num_cells}."
        raise ConfigError(f"{problem} Give one entry per cell.")


def _check_patches(sample_shape: tuple[int, ...], grid: PosterGrid) -> None:
    """Raise ConfigError unless samples are images, patches are as large, and few enough."""
    shape = "x".join(map(str, image_shape(sample_shape)))
    if math.prod(sample_shape) * grid.num_patches > MOST_VALUES:
        raise ConfigError(f"{grid.num_patches:,} patches of {shape} values take too much memory. Choose fewer patches.")
    if (grid.patch_height, grid.patch_width) != sample_shape[1:]:
        wanted = f"{sample_shape[1]} x {sample_shape[2]}. Cut patches as large as the images."
        raise ConfigError(f"Patches of {grid.patch_height} x {grid.patch_width} pixels are no images of {wanted}")


def _checked_cells(cells: tuple[int, int] | None, grid: PosterGrid, num_classes: int) -> tuple[int, int]:
    """Raises ConfigError for a label map that the poster cannot have."""
    if cells is None or len(cells) != 2 or any(type(number) is not int for number in cells):
        raise ConfigError(f"A learned label map needs its numbers of rows and columns, not {cells}.")
    rows, columns = cells
    if not (1 <= rows <= grid.height and 1 <= columns <= grid.width):
        poster = f"a poster of {grid.height} x {grid.width} pixels"
        raise ConfigError(f"A label map of {rows} x {columns} cells does not fit {poster}. Choose fewer cells.")
    made = [num_classes * grid.num_patches, grid.num_cells * rows * columns]  # the labels, the map at its start
    between = [num_classes * grid.patch_rows * columns, grid.patch_rows * rows, grid.patch_columns * columns]
    if max(made + between) > MOST_LABELS:
        patches_held = f"{grid.num_patches:,} patches of {num_classes:,} classes"
        problem = f"A label map of {rows} x {columns} cells takes too much memory for {patches_held}."
        raise ConfigError(f"{problem} Choose fewer cells or patches.")
    return rows, columns
