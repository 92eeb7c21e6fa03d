"""Labels of patches (PoDDL): what share of a patch belongs to which class, fixed by area or learned.

Class cell (r, c) of a poster owns the pixels between round(r · H / rows) and round((r + 1) · H / rows), columns
likewise, so that every pixel belongs to one cell. The published code (Shul et al. 2024, arXiv:2403.12040) has tiles of
a fixed size instead, which overlap or leave gaps.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from engine.core.spacing import edges
from engine.synthetic.poster_grid import PosterGrid

LabelRule = Literal["share", "softmax"]

SMOOTHING = 1e-3  # mass, spread evenly over the classes, added to the unit mass of a patch


def class_areas(grid: PosterGrid, order: tuple[int, ...]) -> Tensor:
    """Pixels of each class in each patch: (P, K) float32, patches row by row, K one more than the largest of `order`.

    order: class index of each class cell, row by row; -1 for an empty cell, whose pixels count for nobody.
    """
    rows = _overlaps(grid.patch_tops, grid.patch_height, edges(grid.height, grid.class_rows))
    columns = _overlaps(grid.patch_lefts, grid.patch_width, edges(grid.width, grid.class_columns))
    areas = torch.einsum("ir,jc->ijrc", rows.float(), columns.float()).reshape(grid.num_patches, grid.num_cells)
    return areas[:, _cells_by_class(order)]


def fixed_labels(
    grid: PosterGrid, order: tuple[int, ...], rule: LabelRule = "share", temperature: float = 1.0
) -> Tensor:
    """Labels (P, K) float32 from the classes' areas in each patch; rows sum to one.

    share: area over the area of all classes; the same for all classes in a patch that shows empty cells only.
    softmax: softmax(share / temperature). The published code takes the softmax of pixel counts, which is a temperature
    of 1 / (h · w): nearly one-hot but for exact ties.
    """
    areas = class_areas(grid, order)
    totals = areas.sum(1, keepdim=True)
    shares = torch.where(totals > 0, areas / totals.clamp_min(1), 1 / areas.shape[1])
    return shares if rule == "share" else (shares / temperature).softmax(1)


def label_cells(grid: PosterGrid, num_classes: int, budget_ipc: float) -> tuple[int, int]:
    """Size (rows, columns) of a label map: the largest of the class grid's aspect in num_classes · budget_ipc cells.

    At least the class grid, so that each class starts with a cell of its own, and at most the pixels. The published
    code wants fewer cells than the budget, and so loses classes.
    """
    budget = int(num_classes * budget_ipc + 1e-6)
    best = (grid.class_rows, grid.class_columns)
    for rows in range(grid.class_rows, min(budget, grid.height) + 1):
        exact = rows * grid.class_columns / grid.class_rows
        for columns in (math.floor(exact), math.ceil(exact)):
            if columns <= grid.width and math.prod(best) < rows * columns <= budget:
                best = (rows, columns)
    return best


def starting_map(grid: PosterGrid, order: tuple[int, ...], cells: tuple[int, int]) -> Tensor:
    """A label map (K, *cells) float32 with the share of each class in each cell: one-hot where the two grids align."""
    rows = _overlaps(*_even(cells[0]), [r / grid.class_rows for r in range(grid.class_rows + 1)]) * cells[0]
    columns = _overlaps(*_even(cells[1]), [c / grid.class_columns for c in range(grid.class_columns + 1)]) * cells[1]
    shares = torch.einsum("ar,bc->rcab", rows, columns).reshape(grid.num_cells, *cells)
    return shares[_cells_by_class(order)].float()


def reading_weights(grid: PosterGrid, cells: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Shares of each row of patches in the rows of a label map, (patch rows, map rows) float32, and of the columns.

    The area of patch (i, j) in cell (a, b), as a share of the patch, is rows[i, a] · columns[j, b]: exact, with the
    map's cells partitioning the poster evenly.
    """
    rows = _overlaps(grid.patch_tops, grid.patch_height, [a * grid.height / cells[0] for a in range(cells[0] + 1)])
    columns = _overlaps(grid.patch_lefts, grid.patch_width, [b * grid.width / cells[1] for b in range(cells[1] + 1)])
    return (rows / grid.patch_height).float(), (columns / grid.patch_width).float()


def read_labels(label_map: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Labels (b, K) of patches from a label map (K, h, w) of values that are not negative; rows sum to one.

    y = (m + ε / K) / (Σ m + ε),  m the mean of the map over the patch's rectangle, weighted by area

    with rows (b, h) and columns (b, w) the weights. Neighbours of the map thus mix, and a patch over zeros alone gets
    the same of each class with a finite gradient. ε is SMOOTHING.
    """
    return _normalised(torch.einsum("bh,khw,bw->bk", rows, label_map, columns))


def read_all_labels(label_map: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The same (P, K) of all patches, row by row, from the weights of each row of patches and of each column.

    Nothing larger is made on the way.
    """
    return _normalised(torch.einsum("ih,khw,jw->ijk", rows, label_map, columns).flatten(0, 1))


def _normalised(mass: Tensor) -> Tensor:
    return (mass + SMOOTHING / mass.shape[1]) / (mass.sum(1, keepdim=True) + SMOOTHING)


def _cells_by_class(order: tuple[int, ...]) -> list[int]:
    """The class cell of each class in turn."""
    return [order.index(label) for label in range(max(order) + 1)]


def _even(number: int) -> tuple[list[float], float]:
    """Starts and length of `number` equal parts of 0..1."""
    return [i / number for i in range(number)], 1 / number


def _overlaps(starts: Sequence[float], size: float, borders: Sequence[float]) -> Tensor:
    """Lengths that intervals start .. start + size share with the cells between borders: (n, cells) float64."""
    begin = torch.tensor(starts, dtype=torch.float64, device="cpu")[:, None]
    cells = torch.tensor(borders, dtype=torch.float64, device="cpu")
    return (torch.minimum(begin + size, cells[1:]) - torch.maximum(begin, cells[:-1])).clamp_min(0)
