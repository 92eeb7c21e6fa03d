"""One poster in place of separate images: samples are overlapping patches of it, labels follow from where they lie.

The poster (C, H, W) is cut by a PosterGrid into P = rows * columns patches, each as large as an image. Patches share
pixels, so a poster of less than one image per class still shows every class in many places. A patch's label is the
share of the classes in its area (fixed), or is read from a learned map of labels over the poster (learned).

Source: Shul et al. 2024, arXiv:2403.12040, sections 3.1 (posters), 3.2 (class order), 3.3 (labels).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.core.events import PosterView, Preview
from engine.core.spacing import edges, offsets
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.meta.inner import Batch
from engine.synthetic.base import SyntheticSet, Training, inverse_softplus
from engine.synthetic.poster_grid import MOST_LABELS, MOST_PIXELS, PosterGrid, patch_pixels, patches
from engine.synthetic.poster_labels import (
    LabelRule,
    fixed_labels,
    read_all_labels,
    read_labels,
    reading_weights,
    starting_map,
)

Labels = Literal["fixed", "learned"]

MOST_VALUES = 3 * MOST_PIXELS
"""Of all patches together: those of pixels in colour."""

TILE_OVERLAP = 1.5  # a class's starting tile over its cell, each way: neighbours fade into each other over half a cell


class PosterSet(SyntheticSet):
    """A poster. `poster` (C, H, W) prepared, `raw_rates` (1,), `label_map` (K, h, w) if labels are learned.

    order: class index of each class cell, row by row, -1 for an empty cell; every class once.
    label_cells: (h, w) of the label map; None for fixed labels. label_rule, temperature: of fixed labels.
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        training: Training,
        grid: PosterGrid | dict[str, int],
        order: list[int],
        labels: Labels,
        label_cells: tuple[int, int] | None = None,
        label_rule: LabelRule = "share",
        temperature: float = 1.0,
        learn_rates: bool = True,
    ) -> None:
        super().__init__()
        grid = TypeAdapter(PosterGrid).validate_python(grid)
        _check_order(order, grid, spec)
        if labels not in get_args(Labels) or label_rule not in get_args(LabelRule) or not temperature > 0:
            raise ConfigError(
                f"There are no {labels} labels by the rule '{label_rule}' at a temperature of {temperature}."
            )
        if len(spec.sample_shape) != 3:
            raise ConfigError(f"A poster is cut into images, but these samples have shape {spec.sample_shape}.")
        if math.prod(spec.sample_shape) * grid.num_patches > MOST_VALUES:
            raise ConfigError(
                f"{grid.num_patches:,} patches of {'x'.join(map(str, spec.sample_shape))} values take too much memory. "
                f"Choose fewer patches."
            )
        if (grid.patch_height, grid.patch_width) != spec.sample_shape[1:]:
            raise ConfigError(
                f"Patches of {grid.patch_height} x {grid.patch_width} pixels are no images of "
                f"{spec.sample_shape[1]} x {spec.sample_shape[2]}. Cut patches as large as the images."
            )
        self.spec, self.training = spec, training
        self.grid, self.order = grid, tuple(order)
        self.label_rule, self.temperature, self.learn_rates = label_rule, temperature, learn_rates
        self.poster = nn.Parameter(torch.zeros(spec.sample_shape[0], grid.height, grid.width))
        self.raw_rates = nn.Parameter(torch.zeros(1), requires_grad=learn_rates)
        # the buffers follow from the grid, so a file does without them
        if labels == "learned":
            cells = _checked_cells(label_cells, grid, spec.num_outputs)
            is_claimed = self.poster.is_meta  # by a file, whose own map takes this one's place
            start = torch.zeros(spec.num_outputs, *cells) if is_claimed else starting_map(grid, self.order, cells)
            self.label_map = nn.Parameter(start)
            rows, columns = reading_weights(grid, cells)
            self.register_buffer("row_weights", rows, persistent=False)
            self.register_buffer("column_weights", columns, persistent=False)
        else:
            self.label_map = None
            self.register_buffer(
                "area_labels", fixed_labels(grid, self.order, label_rule, temperature), persistent=False
            )

    def start_from_noise(self, lr: float, generator: torch.Generator) -> None:
        """Pixels ~ N(0, 1) in the prepared space; the rate `lr`."""
        with torch.no_grad():
            self.poster.copy_(torch.randn(self.poster.shape, generator=generator))
            self.raw_rates.fill_(inverse_softplus(lr))

    def start_from_tiles(self, lr: float, generator: torch.Generator, deviation: float = 1.0) -> None:
        """A Gaussian tile for each class cell, fading into its neighbours; the rate `lr`.

        Tile k is a draw of N(m_k, s²) with m_k ~ N(0, 1) for every value and s a quarter of the smallest distance
        between two m; it is then scaled to a root mean square of `deviation`. Tiles lie evenly spaced, half a cell over
        each other, blended by linear weights.

        deviation: 1 is that of real pixels as they are prepared, on which students are made to train. The published
            tiles have a Euclidean norm of 1, that is a deviation of 1 / √(C · h · w), some fifty times fainter.
        """
        height, width = (
            min(math.ceil(TILE_OVERLAP * length / number), length)
            for length, number in ((self.grid.height, self.grid.class_rows), (self.grid.width, self.grid.class_columns))
        )
        shape = (self.grid.num_cells, len(self.poster), height, width)
        means = torch.randn(shape, generator=generator)
        distances = torch.pdist(means.flatten(1))
        spread = float(distances.min()) / 4 if len(distances) else 0.0
        tiles = means + spread * torch.randn(shape, generator=generator)
        tiles = deviation * tiles / tiles.square().mean((1, 2, 3), keepdim=True).sqrt()
        tiles = tiles.view(self.grid.class_rows, self.grid.class_columns, *shape[1:])
        rows = _fades(self.grid.height, height, self.grid.class_rows)
        columns = _fades(self.grid.width, width, self.grid.class_columns)
        with torch.no_grad():
            self.poster.zero_()
            for i, top in enumerate(offsets(self.grid.height, height, self.grid.class_rows)):
                for j, left in enumerate(offsets(self.grid.width, width, self.grid.class_columns)):
                    weights = rows[i, top : top + height, None] * columns[j, left : left + width]
                    self.poster[:, top : top + height, left : left + width] += (tiles[i, j] * weights).to(self.poster)
            self.raw_rates.fill_(inverse_softplus(lr))

    def start_from_real(self, real: LabelledSet, lr: float, generator: torch.Generator) -> None:
        """A random real image of each class, resized to its cell as it is prepared; any image in an empty cell; the rate `lr`."""
        tops, lefts = edges(self.grid.height, self.grid.class_rows), edges(self.grid.width, self.grid.class_columns)
        targets = real.targets.cpu()
        with torch.no_grad():
            for cell, label in enumerate(self.order):
                i, j = divmod(cell, self.grid.class_columns)
                candidates = (targets == label).nonzero().flatten() if label >= 0 else torch.arange(len(targets))
                if not len(candidates):
                    raise ConfigError(
                        f"Class '{self.spec.class_names[label]}' has no training images. Start from tiles or noise."
                    )
                chosen = candidates[torch.randint(len(candidates), (1,), generator=generator)]
                size = (tops[i + 1] - tops[i], lefts[j + 1] - lefts[j])
                image = F.interpolate(real.batch(chosen)[0], size, mode="bilinear", antialias=True)[0]
                self.poster[:, tops[i] : tops[i + 1], lefts[j] : lefts[j + 1]] = image.to(self.poster)
            self.raw_rates.fill_(inverse_softplus(lr))

    @property
    def rates(self) -> Tensor:
        return F.softplus(self.raw_rates)

    @property
    def num_samples(self) -> int:
        return self.grid.num_patches

    @property
    def ipc(self) -> float:
        """The poster's pixels in images per class."""
        return self.grid.ipc(self.spec.num_outputs)

    def labels(self, indices: Tensor | None = None) -> Tensor:
        """(b, K) labels of the patches at `indices` (b,) int64, of all if None; differentiable where they are learned."""
        if self.label_map is None:
            return self.area_labels if indices is None else self.area_labels[indices]
        if indices is None:
            return read_all_labels(self.label_map, self.row_weights, self.column_weights)
        rows, columns = indices // self.grid.patch_columns, indices % self.grid.patch_columns
        return read_labels(self.label_map, self.row_weights[rows], self.column_weights[columns])

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        indices = indices.to(self.poster.device)
        return patches(self.poster, self.grid, indices), self.labels(indices)

    def stored_batches(self) -> Iterator[Batch]:
        for _ in range(self.training.num_steps):
            yield Batch(patches(self.poster, self.grid), self.labels(), self.rates[0])

    def clip_labels(self) -> None:
        """Cut the label map to values that are not negative. Not differentiable: a projection after an outer step."""
        if self.label_map is not None:
            with torch.no_grad():
                self.label_map.clamp_(min=0)

    def materialise(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return patches(self.poster, self.grid), self.labels()

    def preview(self, step: int, splits: Splits | Preparation) -> Preview:
        """The patches as pictures, row by row, with the likeliest class of each, and the poster as one picture.

        A poster's pixel is the mean over the patches that show it, each shown as a picture of its own: the pixel itself
        where a picture's pixels are prepared one by one, and the nearest thing there is under whitening, which is
        undone patch by patch.
        """
        shown = splits.to_display(patches(self.poster.detach(), self.grid))
        with torch.no_grad():
            labels = self.labels().cpu()
        view = PosterView(
            pixels=self._blended(shown),
            grid=asdict(self.grid),
            order=self.order,
            class_names=self.spec.class_names,
            patch_labels=labels.numpy().astype(np.float16),
            label_map=None if self.label_map is None else self.label_map.detach().cpu().numpy().astype(np.float16),
        )
        return Preview(step, shown, tuple(self.spec.class_names[label] for label in labels.argmax(1).tolist()), view)

    def num_stored_values(self) -> int:
        return self._num_learned() + len(self.order)

    def num_bytes(self) -> int:
        start = 0 if self.training.start_seed is None else 8
        return 4 * self._num_learned() + len(self.order) + start

    def describe(self) -> dict[str, Any]:
        return {
            "grid": asdict(self.grid),
            "order": list(self.order),
            "labels": "fixed" if self.label_map is None else "learned",
            "label_cells": None if self.label_map is None else list(self.label_map.shape[1:]),
            "label_rule": self.label_rule,
            "temperature": self.temperature,
            "learn_rates": self.learn_rates,
        }

    def _num_learned(self) -> int:
        return sum(value.numel() for value in self.parameters())

    def _blended(self, shown: np.ndarray) -> np.ndarray:
        """Pictures of all patches (P, h, w, C) uint8 to one of the poster (H, W, C) uint8, the mean where they overlap."""
        corners, inside = patch_pixels(self.grid, torch.device("cpu"))
        places = (corners[:, None] + inside).flatten()
        pixels = torch.from_numpy(shown).reshape(len(places), -1).float()
        total = pixels.new_zeros(self.grid.height * self.grid.width, pixels.shape[1]).index_add_(0, places, pixels)
        mean = total / places.bincount(minlength=len(total))[:, None]
        return mean.round().to(torch.uint8).view(self.grid.height, self.grid.width, -1).numpy()


def _fades(length: int, size: int, number: int) -> Tensor:
    """Weights (number, length) of evenly spaced pieces: falling linearly to their ends where they overlap, of sum one."""
    starts = torch.tensor(offsets(length, size, number))[:, None]
    places = torch.arange(length) + 0.5
    inside = torch.minimum(places - starts, starts + size - places).clamp_min(0)
    return inside / inside.sum(0)


def _check_order(order: list[int], grid: PosterGrid, spec: TaskSpec) -> None:
    """Raise ConfigError unless `order` gives every class one cell of the grid."""
    placed = sorted(label for label in order if label != -1)
    if any(type(label) is not int for label in order) or placed != list(range(spec.num_outputs)):
        raise ConfigError(f"A class order holds each class from 0 to {spec.num_outputs - 1} once, and -1 for no class.")
    if len(order) != grid.num_cells:
        raise ConfigError(
            f"The class order has {len(order)} cells, the poster {grid.num_cells}. Give one entry a cell."
        )


def _checked_cells(cells: tuple[int, int] | None, grid: PosterGrid, num_classes: int) -> tuple[int, int]:
    """Raises ConfigError for a label map that the poster cannot have."""
    if cells is None or len(cells) != 2 or any(type(number) is not int for number in cells):
        raise ConfigError(f"A learned label map needs its numbers of rows and columns, not {cells}.")
    rows, columns = cells
    if not (1 <= rows <= grid.height and 1 <= columns <= grid.width):
        raise ConfigError(
            f"A label map of {rows} x {columns} cells does not fit a poster of {grid.height} x {grid.width} pixels. "
            f"Choose fewer cells."
        )
    made = (  # the labels, the map as it starts, and what stands between them
        num_classes * grid.num_patches,
        grid.num_cells * rows * columns,
        num_classes * grid.patch_rows * columns,
        grid.patch_rows * rows,
        grid.patch_columns * columns,
    )
    if max(made) > MOST_LABELS:
        raise ConfigError(
            f"A label map of {rows} x {columns} cells takes too much memory for {grid.num_patches:,} patches of "
            f"{num_classes:,} classes. Choose fewer cells or patches."
        )
    return rows, columns
