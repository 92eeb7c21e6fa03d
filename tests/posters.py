"""A poster as a run shows it, made from smooth noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import RunRequest, Store
from engine.core.events import Finished, PosterView, Preview, Started

GRID = {
    "height": 25,
    "width": 61,
    "class_rows": 2,
    "class_columns": 5,
    "patch_rows": 6,
    "patch_columns": 12,
    "patch_height": 8,
    "patch_width": 8,
}
"""About the size of a poster of half an image a class on the digits."""
NAMES = tuple("0123456789")


def spaced(room: int, num: int) -> list[int]:
    """Where patches begin."""
    return [round(room * place / max(1, num - 1)) for place in range(num)]


def overlaps(starts: list[int], size: int, length: int, cells: int) -> np.ndarray:
    """(starts, cells): how many pixels of each window of `size` lie in each of `cells` even parts of `length`."""
    edges = np.linspace(0, length, cells + 1)
    begin = np.array(starts)[:, None]
    return np.clip(np.minimum(begin + size, edges[1:]) - np.maximum(begin, edges[:-1]), 0, None)


def poster_view(
    grid: dict[str, int] = GRID, names: tuple[str, ...] = NAMES, channels: int = 1, seed: int = 0, order=None
) -> PosterView:
    """Smooth noise; a patch's label is the share of its area that each class has."""
    rng = np.random.default_rng(seed)
    height, width = grid["height"], grid["width"]
    noise = rng.normal(size=(height, width, channels))
    for axis in (0, 1):
        noise = sum(np.roll(noise, shift, axis) for shift in (-1, 0, 1))
    low, high = noise.min(), noise.max()
    pixels = ((noise - low) / (high - low) * 255).astype(np.uint8)
    cells = grid["class_rows"] * grid["class_columns"]
    if order is None:
        order = (*rng.permutation(len(names)).tolist(), *([-1] * (cells - len(names))))
    tops = spaced(height - grid["patch_height"], grid["patch_rows"])
    lefts = spaced(width - grid["patch_width"], grid["patch_columns"])
    down = overlaps(tops, grid["patch_height"], height, grid["class_rows"])
    across = overlaps(lefts, grid["patch_width"], width, grid["class_columns"])
    by_cell = np.einsum("ir,jc->ijrc", down, across).reshape(len(tops) * len(lefts), cells)
    labels = np.zeros((len(by_cell), len(names)))
    for cell, label in enumerate(order):
        if label >= 0:
            labels[:, label] = by_cell[:, cell]
    labels /= np.maximum(labels.sum(1, keepdims=True), 1e-9)
    return PosterView(pixels, dict(grid), tuple(order), names, labels.astype(np.float16))


def poster_preview(step: int, view: PosterView) -> Preview:
    """The event that shows a poster after `step` outer steps, with its patches."""
    grid = view.grid
    tops = spaced(grid["height"] - grid["patch_height"], grid["patch_rows"])
    lefts = spaced(grid["width"] - grid["patch_width"], grid["patch_columns"])
    images = np.stack(
        [
            view.pixels[top : top + grid["patch_height"], left : left + grid["patch_width"]]
            for top in tops
            for left in lefts
        ]
    )
    labels = tuple(view.class_names[label] for label in view.patch_labels.argmax(1))
    return Preview(step, images, labels, view)


def kept_poster(runs: Path) -> str:
    """A finished run whose previews are posters, in a store of its own; its id."""
    store = Store(runs)
    run_id = store.submit(RunRequest(source="digits", method="podd"), status="running")
    store.append(run_id, [Started(100, {"device": "cpu"})])
    store.append(run_id, [poster_preview(step, poster_view(seed=step)) for step in (0, 50, 100)])
    store.append(run_id, [Finished({})])
    return run_id
