"""The geometry of a poster: how large it is, where its patches are cut, and how its area is shared by classes.

Everything is (rows, columns) and (height, width), positions are row by row. The published code (Shul et al. 2024,
arXiv:2403.12040) puts columns first and places class tiles of a fixed size, which may overlap or leave gaps; here the
class cells partition the poster.
"""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from torch import Tensor

from engine.core.errors import ConfigError
from engine.core.spacing import offsets

MOST_PIXELS = 2**25  # of a poster, and of all its patches together: 400 MB of values in colour
MOST_PATCHES = 100_000
WIDEST_CLASS_GRID = 2.5  # columns over rows of an automatic class grid
ENOUGH_PATCHES, ENOUGH_PER_CLASS = 128, 3  # an automatic grid has at most so many patches, or so many per class
MOST_LABELS = 2**24  # class areas or labels of all patches, and values of a label map: 64 MB each


class PosterTooSmall(ConfigError):
    """A patch is larger than its poster."""


@dataclass(frozen=True)
class PosterGrid:
    """A poster that every patch fits in and that the patches cover whole.

    height, width: of the poster, pixels. class_rows, class_columns: cells of equal area, up to a pixel.
    patch_rows, patch_columns: evenly spaced patches, overlapping. patch_height, patch_width: of one, pixels.
    Raises PosterTooSmall for a patch larger than the poster, ConfigError for patches that leave pixels out, or more of
    them or of the class cells than there are pixels.
    """

    height: int
    width: int
    class_rows: int
    class_columns: int
    patch_rows: int
    patch_columns: int
    patch_height: int
    patch_width: int

    def __post_init__(self) -> None:
        if any(type(value) is not int or value < 1 for value in asdict(self).values()):
            raise ConfigError(f"Sizes of a poster are whole numbers of 1 or more, not {asdict(self)}.")
        if self.patch_height > self.height or self.patch_width > self.width:
            patch = f"A patch of {self.patch_height} x {self.patch_width} pixels"
            remedy = "Make the poster at least as high and wide as one image."
            raise PosterTooSmall(f"{patch} does not fit in a poster of {self.height} x {self.width}. {remedy}")
        _check_cover("rows", self.height, self.patch_height, self.patch_rows)
        _check_cover("columns", self.width, self.patch_width, self.patch_columns)
        if self.class_rows > self.height or self.class_columns > self.width:
            needed = f"{self.class_rows} x {self.class_columns} class cells need more pixels"
            raise ConfigError(f"{needed} than a poster of {self.height} x {self.width} has. Make the poster larger.")
        pixels = max(self.num_patches * self.patch_height * self.patch_width, self.height * self.width)
        areas = self.num_patches * self.num_cells
        if pixels > MOST_PIXELS or areas > MOST_LABELS or self.num_patches > MOST_PATCHES:
            poster = f"A poster of {self.height} x {self.width} with {self.num_patches:,} patches"
            remedy = "Choose fewer patches, fewer class cells or a smaller poster."
            raise ConfigError(f"{poster} takes too much memory. {remedy}")

    @property
    def num_patches(self) -> int:
        return self.patch_rows * self.patch_columns

    @property
    def num_cells(self) -> int:
        """Class cells; some may be empty."""
        return self.class_rows * self.class_columns

    @property
    def patch_tops(self) -> list[int]:
        """The first row of each row of patches."""
        return offsets(self.height, self.patch_height, self.patch_rows)

    @property
    def patch_lefts(self) -> list[int]:
        """The first column of each column of patches."""
        return offsets(self.width, self.patch_width, self.patch_columns)

    def ipc(self, num_classes: int) -> float:
        """The poster's pixels in images per class."""
        return self.height * self.width / (num_classes * self.patch_height * self.patch_width)


def patches(poster: Tensor, grid: PosterGrid, indices: Tensor | None = None) -> Tensor:
    """Cut overlapping patches out of a poster, evenly spaced and covering its edges.

    Patch (i, j) starts at row round(i · (H − h) / (rows − 1)) and the analogous column, so the first patch touches the
    top-left corner and the last the bottom-right one. Gradients add on pixels that patches share.
    poster: (C, H, W), prepared. indices: (b,) int64 positions, row by row; all patches if None. Returns (b, C, h, w).
    Source: Shul et al. 2024, arXiv:2403.12040, section 3.1; its code orders patches by column first.
    """
    corners, inside = patch_pixels(grid, poster.device)
    chosen = corners if indices is None else corners[indices.to(poster.device)]
    places = (chosen[:, None] + inside).flatten()
    cut = poster.flatten(1).gather(1, places.expand(len(poster), -1))
    return cut.view(len(poster), len(chosen), grid.patch_height, grid.patch_width).transpose(0, 1)


@lru_cache(maxsize=16)
def patch_pixels(grid: PosterGrid, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where patches lie in a flattened poster: (P,) first pixels, and (h · w,) all others relative to them; int64."""
    places = (grid.patch_tops, grid.patch_lefts, range(grid.patch_height), range(grid.patch_width))
    tops, lefts, rows, columns = (torch.tensor(values, device=device) for values in places)
    return (tops[:, None] * grid.width + lefts).flatten(), (rows[:, None] * grid.width + columns).flatten()


def blended(images: Tensor, grid: PosterGrid) -> Tensor:
    """The poster (C, H, W) float64 whose patches are nearest to images (P, C, h, w): the mean where they overlap."""
    corners, inside = patch_pixels(grid, images.device)
    places = (corners[:, None] + inside).flatten()
    pixels = images.flatten(2).transpose(1, 2).reshape(len(places), -1).double()
    total = pixels.new_zeros(grid.height * grid.width, pixels.shape[1]).index_add_(0, places, pixels)
    mean = total / places.bincount(minlength=len(total))[:, None]
    return mean.T.reshape(-1, grid.height, grid.width)


def planned_grid(
    ipc: float,
    num_classes: int,
    image: tuple[int, int],
    height: int = 0,
    width: int = 0,
    class_rows: int = 0,
    class_columns: int = 0,
    patch_rows: int = 0,
    patch_columns: int = 0,
) -> PosterGrid:
    """The grid of a budget; every size that is 0 is chosen here.

    The class grid is as near to a square as few empty cells allow, at most 2.5 times as wide as high. The poster has
    its aspect and at most ipc · num_classes images' pixels: at 0.9 images per class of CIFAR-10 the published 60 x 153.
    Patches lie as close as makes at most 128 of them, or three per class, but never more than half an image apart.

    ipc: budget, images per class; below 1 as well. A height and a width given by hand may exceed it. image: (h, w) of a
    patch, pixels. Raises PosterTooSmall if one patch does not fit in the budget or in the sizes given, ConfigError for
    class cells that do not hold all classes, or whatever PosterGrid refuses.
    """
    class_rows, class_columns = _class_grid(num_classes, class_rows, class_columns)
    height, width = _poster_size(ipc, num_classes, image, (class_rows, class_columns), height, width)
    automatic = _patch_numbers((height, width), image, max(ENOUGH_PATCHES, ENOUGH_PER_CLASS * num_classes))
    return PosterGrid(
        height, width, class_rows, class_columns, patch_rows or automatic[0], patch_columns or automatic[1], *image
    )


def _class_grid(num_classes: int, rows: int, columns: int) -> tuple[int, int]:
    if rows and columns:
        if rows * columns < num_classes:
            raise ConfigError(
                f"{rows} x {columns} class cells cannot hold {num_classes} classes. "
                f"Choose at least {math.ceil(num_classes / rows)} columns, or 0 to have them chosen."
            )
        return rows, columns
    if rows:
        return rows, math.ceil(num_classes / rows)
    if columns:
        return math.ceil(num_classes / columns), columns
    candidates = [(rows, math.ceil(num_classes / rows)) for rows in range(1, math.isqrt(num_classes - 1) + 2)]
    wide = [pair for pair in candidates if pair[0] <= pair[1] <= WIDEST_CLASS_GRID * pair[0]]
    return min(wide, key=lambda pair: (pair[0] * pair[1], pair[1] - pair[0]))


def _poster_size(
    ipc: float, num_classes: int, image: tuple[int, int], cells: tuple[int, int], height: int, width: int
) -> tuple[int, int]:
    if height and width:
        return height, width
    budget = int(ipc * num_classes * image[0] * image[1] + 1e-6)  # an exact fit is one, whatever the rounding
    if budget < image[0] * image[1]:
        problem = f"{ipc:g} images per class of {num_classes} classes are less than one image."
        raise PosterTooSmall(f"{problem} Choose at least {math.ceil(1000 / num_classes) / 1000:g} images per class.")
    if width:
        height = max(budget // width, 1)  # too low for a patch, as PosterGrid then says
    elif not height:
        side = math.sqrt(budget / math.prod(cells) / math.prod(image))
        height = max(int(cells[0] * image[0] * side + 1e-6), image[0])
        height = min(height, budget // image[1])  # leaves room for a patch's width
    return height, width or max(budget // height, 1)


def _patch_numbers(poster: tuple[int, int], image: tuple[int, int], most: int) -> tuple[int, int]:
    longest, numbers = max(image), (1, 1)
    for spacing in range(1, max(longest // 2, 1) + 1):
        strides = [max(round(spacing * side / longest), 1) for side in image]
        gaps = [max(length - side, 0) for length, side in zip(poster, image, strict=True)]
        numbers = (1 + math.ceil(gaps[0] / strides[0]), 1 + math.ceil(gaps[1] / strides[1]))
        if math.prod(numbers) <= most:
            break
    return numbers


def _check_cover(name: str, length: int, size: int, number: int) -> None:
    needed, most = math.ceil(length / size), length - size + 1
    if not needed <= number <= most:
        way = "Every pixel is in a patch" if number < needed else "No two patches are the same"
        problem = f"{number} {name} of patches of {size} pixels do not suit a poster of {length}."
        raise ConfigError(f"{problem} {way} with {needed} to {most} {name}; choose so many, or 0 to have them chosen.")
