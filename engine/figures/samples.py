"""A data set of images: samples of it, what preparation does to them, images per class, and the sizes they came in."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from engine.data.describe import sample_grid
from engine.data.source import Splits
from engine.figures.curves import log_ticks
from engine.figures.layout import columns, dots, lay_out, short
from engine.figures.palette import PAGE

MANY_CLASSES = 30  # beyond so many classes a chart does not name each of them
SHORT_NAME = 6
MAX_MARKS = 400  # sizes drawn one by one; more are gathered into the cells of a grid
_CELLS = 20
_SMALLEST_MARK, _LARGEST_MARK = 6.0, 34.0
_FEW = 30
_MANY_TIMES = 12


def prepared_rows(splits: Splits, num_images: int = 10, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """The same training images as they come, as the student sees them, and after one training augmentation.

    Returns (name, (num_images, H, W, C) uint8) a row. What the student sees is stretched to each image's own range,
    for normalised or whitened values are no colours.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = _one_of_each(splits.train.targets, num_images, generator)
    inputs, _ = splits.train.batch(chosen)
    augmented = splits.augment(inputs, generator)
    rows = [("Original", splits.to_display(inputs)), ("As the student sees it", stretched(inputs))]
    if not torch.equal(inputs, augmented):
        rows.append(("After one augmentation", splits.to_display(augmented)))
    return rows


def stretched(inputs: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) float values -> (N, H, W, C) uint8, each image from its smallest to its largest value."""
    low, high = (ends.view(-1, 1, 1, 1) for ends in inputs.flatten(1).aminmax(dim=1))
    scaled = (inputs - low) / (high - low).clamp_min(1e-12)
    return (scaled * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _one_of_each(targets: torch.Tensor, num_images: int, generator: torch.Generator) -> torch.Tensor:
    """Indices of images from as many classes as there is room for, in class order."""
    order = torch.randperm(len(targets), generator=generator)
    shuffled = targets[order]
    firsts = [order[(shuffled == label).nonzero()[0, 0]] for label in targets.unique()[:num_images]]
    return torch.stack(firsts)


def class_samples(splits: Splits, per_class: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Random training images (N, H, W, C) uint8, class by class, and the class name of each."""
    images, labels = sample_grid(splits, per_class, torch.Generator().manual_seed(seed))
    return images, [splits.spec.class_names[label] for label in labels]


def class_counts(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> go.Figure:
    """Samples per class, one colour per split; long names of many classes are left to the bars' hover text.

    counts: split -> number of samples of each class, in `class_names` order.
    """
    figure, order = go.Figure(), (PAGE.full, PAGE.kmeans_real, PAGE.random_real)
    names = [short(name, 14) for name in class_names]
    positions = list(range(len(names)))
    for number, (split, values) in enumerate(counts.items()):
        hover, colour = f"%{{customdata}}: %{{y:,}} {split}<extra></extra>", order[number % len(order)]
        columns(figure, positions, list(values), split.capitalize(), colour, hover, customdata=names)
    is_long = len(positions) > MANY_CLASSES
    shown = positions[:: math.ceil(len(positions) / 20)] if is_long else positions
    is_counted = is_long and any(len(class_names[i]) > SHORT_NAME for i in shown)
    across = {"tickvals": shown, "ticktext": [f"{i + 1}" if is_counted else names[i] for i in shown]}
    title = "class, by its place in the list" if is_counted else "class"
    look: dict[str, Any] = {"barmode": "stack", "bargap": 0 if is_long else 0.25}
    return lay_out(figure, 280, title, "samples", xaxis=across, yaxis={"tickformat": ",d"}, **look)


def image_sizes(sizes: Sequence[tuple[int, int, int]], used: int = 0) -> go.Figure:
    """Width against height, the area of a mark in proportion to the number of images.

    sizes: (width, height, number of images), pixels. used: the side of the square that all are brought to, marked
    where it is given.
    """
    figure, (widths, heights, counts) = go.Figure(), zip(*gathered(sizes), strict=True)
    most = max(_FEW, *counts)
    is_wide = any(max(values) > _MANY_TIMES * min(values) for values in (widths, heights))
    areas = [max(_SMALLEST_MARK, _LARGEST_MARK * math.sqrt(count / most)) for count in counts]
    look, hover = {"color": PAGE.full, "opacity": 0.65, "size": areas}, "%{x:,d} × %{y:,d}: %{customdata:,d}"
    dots(figure, widths, heights, "Images", look, f"{hover}<extra></extra>", customdata=counts, cliponaxis=None)
    if used:
        square, hover = {"color": PAGE.distilled, "size": 11, "symbol": "square"}, "used at %{x} × %{y}<extra></extra>"
        dots(figure, [used], [used], f"Used at {used} × {used}", square, hover, cliponaxis=None)
    across, up = (_axis([used or sides[0], *sides], is_wide) for sides in (widths, heights))
    lay_out(figure, 320, "width (pixels)", "height (pixels)", xaxis={"showgrid": True} | across, yaxis=up)
    return figure.update_layout(legend={"itemsizing": "constant"})


def gathered(sizes: Sequence[tuple[int, int, int]]) -> Sequence[tuple[int, int, int]]:
    """The sizes as they are if they are few; else one per cell of an even grid in log size, at the cell's middle."""
    if len(sizes) <= MAX_MARKS:
        return sizes
    table = np.array(sizes)
    logs = np.log(table[:, :2])
    images, *edges = np.histogram2d(logs[:, 0], logs[:, 1], bins=_CELLS, weights=table[:, 2])
    widths, heights = (np.exp((each[:-1] + each[1:]) / 2) for each in edges)
    return [(round(widths[i]), round(heights[j]), int(images[i, j])) for i, j in np.argwhere(images)]


def _axis(values: Sequence[int], is_wide: bool) -> dict[str, Any]:
    """From zero, or logarithmic where the largest size is many times the smallest."""
    axis: dict[str, Any] = {"tickformat": ",d"}
    if not is_wide:
        return axis | {"range": [0, 1.1 * max(values)], "nticks": 6}
    return axis | {"type": "log", "tickvals": list(log_ticks(np.array(values, dtype=float)))}
