"""Pictures of a poster: in true aspect, with its class areas and its patches, and over time."""

import html
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from PIL import ImageDraw, ImageFont

from engine.core.events import PosterView
from engine.core.spacing import edges, offsets
from engine.figures.formats import percent
from engine.figures.grids import animated, data_url, encoded, enlarged, text_font
from engine.figures.palette import PALETTES, Theme

MAX_POINTED = 3000  # patches that `poster_html` can tell apart under the pointer; more would make a page heavy
TOP_CLASSES = 3  # named per patch

_LARGEST_TEXT, _SMALLEST_TEXT, _LEAST_LETTERS = 30, 11, 4
_HALO = (0, 0, 0, 170)
_LINE = (255, 255, 255, 235)
_LABEL = {"light": ((255, 255, 255, 215), "#1E2227"), "dark": ((21, 24, 28, 215), "#E8E6E3")}


def poster_png(
    view: PosterView, theme: Theme = "light", width: int = 1000, *, overlay: bool = False, patch_grid: bool = False
) -> bytes:
    """A PNG of the poster in true aspect, enlarged by a whole factor without smoothing.

    Args:
        width: about how wide the picture becomes, pixels; never smaller than the poster.
        overlay: the borders of the class areas, and in each its class's name, or its number where no name fits.
        patch_grid: the middle of each patch, and one patch in full.
    """
    factor = _factor(view, width)
    picture = enlarged(view.pixels, factor)
    draw = ImageDraw.Draw(picture, "RGBA")
    if overlay:
        _draw_borders(draw, view, factor)
    if patch_grid:
        _draw_patches(draw, view.grid, factor, theme)
    if overlay:
        _draw_names(draw, view, factor, theme)
    return encoded(picture)


def poster_timelapse(views: Sequence[PosterView], kind: Literal["gif", "webp"]) -> bytes:
    """An endless animation of the poster over the run; views: in the order of their steps."""
    return animated([enlarged(view.pixels, _factor(view, 800)) for view in views], kind)


def numbered_classes(view: PosterView, width: int = 1000) -> list[tuple[int, str]]:
    """(number, name) of each class whose area is too small for its name in `poster_png` and holds its number instead.

    Numbers count from 1, in the order of the class names.
    """
    fitted = _fitted_names(view, _areas(view, _factor(view, width)))
    return sorted((label + 1, view.class_names[label]) for label, found in fitted.items() if found is None)


def patch_corners(grid: dict[str, int]) -> tuple[list[int], list[int]]:
    """Top rows and left columns of the patches, in pixels."""
    tops = offsets(grid["height"], grid["patch_height"], grid["patch_rows"])
    return tops, offsets(grid["width"], grid["patch_width"], grid["patch_columns"])


def heaviest(weights: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, float]]:
    """The TOP_CLASSES classes of largest weight (K,) with it, heaviest first; none that weighs nothing."""
    weights = np.asarray(weights, dtype=np.float64)
    order = np.argsort(-weights, kind="stable")[:TOP_CLASSES]
    return [(class_names[label], float(weights[label])) for label in order if weights[label] >= 0.0005]


def poster_html(view: PosterView, theme: Theme = "light") -> str:
    """The poster as HTML without scripts: the patch under the pointer is outlined, its likeliest classes written below.

    For posters of up to MAX_POINTED patches.
    """
    grid = view.grid
    height, width = grid["height"], grid["width"]
    tops, lefts = patch_corners(grid)
    rows = _reach([top + grid["patch_height"] / 2 for top in tops], height)
    columns = _reach([left + grid["patch_width"] / 2 for left in lefts], width)
    wide, tall = _share(grid["patch_width"], width), _share(grid["patch_height"], height)
    patches = []
    for row, (top, (y, y_end)) in enumerate(zip(tops, rows, strict=True)):
        for column, (left, (x, x_end)) in enumerate(zip(lefts, columns, strict=True)):
            reach = f"left:{_share(x, width)};top:{_share(y, height)};"
            reach += f"width:{_share(x_end - x, width)};height:{_share(y_end - y, height)}"
            outline = f"left:{_share(left, width)};top:{_share(top, height)}"
            found = heaviest(view.patch_labels[row * len(lefts) + column], view.class_names)
            top_classes = ", ".join(f"{html.escape(name)} {percent(weight)}" for name, weight in found) or "no label"
            said = f"Patch in row {row + 1}, column {column + 1}: {top_classes}"
            patches.append(f'<div><b style="{reach}"></b><i style="{outline}"></i><span>{said}</span></div>')
    accent = PALETTES[theme].distilled
    ground = "#FFFFFF" if theme == "light" else "#15181C"
    style = _STYLE.format(width=width, height=height, wide=wide, tall=tall, accent=accent, ground=ground)
    return (
        f'<style>{style}</style><div class="dd-poster" role="img" aria-label="The poster; the patch under the pointer '
        f'is outlined and described"><img alt="" src="{data_url(encoded(enlarged(view.pixels, 1)))}">'
        f"<p>Point at the poster to see a patch and its label.</p>{''.join(patches)}</div>"
    )


_STYLE = """
.dd-poster {{ position: relative; width: 100%; aspect-ratio: {width} / {height}; margin-bottom: 3.6rem; }}
.dd-poster > img {{ position: absolute; inset: 0; width: 100%; height: 100%; max-width: none; }}
.dd-poster > img {{ image-rendering: pixelated; border-radius: 0; }}
.dd-poster b, .dd-poster i, .dd-poster span, .dd-poster p {{ position: absolute; }}
.dd-poster b {{ z-index: 2; }}
.dd-poster i {{ width: {wide}; height: {tall}; visibility: hidden; box-sizing: border-box; pointer-events: none; }}
.dd-poster i {{ border: 3px solid {accent}; outline: 2px solid #fff; z-index: 1; }}
.dd-poster i {{ box-shadow: 0 0 0 4px rgba(0,0,0,.55); }}
.dd-poster span, .dd-poster p {{ top: 100%; left: 0; right: 0; margin: 0; padding-top: .5rem; }}
.dd-poster span, .dd-poster p {{ font-size: .95rem; line-height: 1.4; }}
.dd-poster span {{ visibility: hidden; background: {ground}; min-height: 3.4rem; }}
.dd-poster p {{ opacity: .75; }}
.dd-poster div:hover > i, .dd-poster div:hover > span {{ visibility: visible; }}
"""


def _reach(middles: Sequence[float], length: int) -> list[tuple[float, float]]:
    """The range of pixels to which each centre is the nearest, along a side of `length` pixels."""
    ends = [0.0, *((one + other) / 2 for one, other in pairwise(middles)), float(length)]
    return list(pairwise(ends))


def _share(part: float, whole: int) -> str:
    return f"{100 * part / whole:.3f}%"


def _factor(view: PosterView, width: int) -> int:
    return max(1, round(width / view.pixels.shape[1]))


def _borders(grid: dict[str, int], factor: int) -> tuple[list[int], list[int]]:
    """Where the rows and the columns of class cells begin and end in the enlarged picture."""
    down, across = edges(grid["height"], grid["class_rows"]), edges(grid["width"], grid["class_columns"])
    return [factor * edge for edge in down], [factor * edge for edge in across]


def _areas(view: PosterView, factor: int) -> list[tuple[int, tuple[int, int, int, int]]]:
    """(class, (left, top, right, bottom)) of each class cell that is not empty, in pixels of the enlarged picture."""
    down, across = (list(pairwise(ends)) for ends in _borders(view.grid, factor))
    boxes = [(left, top, right, bottom) for top, bottom in down for left, right in across]
    return [(label, box) for label, box in zip(view.order, boxes, strict=True) if label >= 0]


def _draw_borders(draw: ImageDraw.ImageDraw, view: PosterView, factor: int) -> None:
    """Light lines with a dark edge between the class areas."""
    grid = view.grid
    height, width = grid["height"] * factor, grid["width"] * factor
    down, across = _borders(grid, factor)
    lines = [((0, y), (width, y)) for y in down[1:-1]] + [((x, 0), (x, height)) for x in across[1:-1]]
    thin = 1 if width / grid["class_columns"] < 60 else 2
    for colour, thickness in ((_HALO, thin + 2), (_LINE, thin)):
        for line in lines:
            draw.line(line, fill=colour, width=thickness)


def _draw_names(draw: ImageDraw.ImageDraw, view: PosterView, factor: int, theme: Theme) -> None:
    """The name of each class in the upper left corner of its area, on a ground that keeps it legible over anything."""
    areas = _areas(view, factor)
    fitted = _fitted_names(view, areas)
    sizes = sorted(size for _, size in filter(None, fitted.values()))
    usual = sizes[len(sizes) // 4] if sizes else _SMALLEST_TEXT  # one size for most names; longer ones are smaller
    ground, ink = _LABEL[theme]
    for label, (left, top, _, _) in areas:
        lines, size = fitted[label] or ([str(label + 1)], _SMALLEST_TEXT)
        font = text_font(min(size, usual))
        pad = max(1, int(font.size) // 5)
        wide, tall = _extent(lines, font)
        left, top = left + 3, top + 3
        draw.rounded_rectangle((left, top, left + wide + 2 * pad, top + tall + 2 * pad), pad + 1, fill=ground)
        for number, line in enumerate(lines):
            draw.text((left + pad, top + pad + number * _line_height(font)), line, font=font, fill=ink)


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return sum(font.getmetrics())


def _extent(lines: Sequence[str], font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    return int(np.ceil(max(font.getlength(line) for line in lines))), len(lines) * _line_height(font)


def _fitted_names(
    view: PosterView, areas: Sequence[tuple[int, tuple[int, int, int, int]]]
) -> dict[int, tuple[list[str], int] | None]:
    """How the name of each class fits its area, by class."""
    return {label: _fitted(view.class_names[label], box[2] - box[0], box[3] - box[1]) for label, box in areas}


def _fitted(name: str, wide: int, tall: int) -> tuple[list[str], int] | None:
    """A name in lines, and the largest size at which it leaves most of its area free; shortened at the smallest size.

    None where not even a few letters fit. wide, tall: of the area, pixels.
    """
    words = [word for word in re.split(r"[\s_/]+", name) if word] or [name]
    wrapped = [[" ".join(words)], *([" ".join(words[:at]), " ".join(words[at:])] for at in range(1, len(words)))]
    for size in range(_LARGEST_TEXT, _SMALLEST_TEXT - 1, -1):
        room = (wide - 2 * (size // 5) - 6, (0.45 if size > _SMALLEST_TEXT + 3 else 0.8) * tall)
        for lines in wrapped:
            if all(extent <= most for extent, most in zip(_extent(lines, text_font(size)), room, strict=True)):
                return lines, size
    font, across = text_font(_SMALLEST_TEXT), wide - 2 * (_SMALLEST_TEXT // 5) - 6
    short = " ".join(words)
    while len(short) > _LEAST_LETTERS and _line_height(font) <= 0.8 * tall:
        short = short[:-2].rstrip() + "…"
        if font.getlength(short) <= across:
            return [short], _SMALLEST_TEXT
    return None


def _draw_patches(draw: ImageDraw.ImageDraw, grid: dict[str, int], factor: int, theme: Theme) -> None:
    """One patch in full, and the window of each patch where they do not overlap, else the middle of each."""
    tops, lefts = patch_corners(grid)
    tall, wide = grid["patch_height"] * factor, grid["patch_width"] * factor
    shown = (lefts[(len(lefts) - 1) // 2] * factor, tops[(len(tops) - 1) // 2] * factor)
    accent = PALETTES[theme].distilled
    is_apart = _are_apart(tops, grid["patch_height"]) and _are_apart(lefts, grid["patch_width"])
    corners = [(left * factor, top * factor) for top in tops for left in lefts]
    for corner in corners if is_apart else ():
        _frame(draw, corner, (wide, tall), ((_HALO, 3), (_LINE, 1)))
    _frame(draw, shown, (wide, tall), ((_HALO, 7), (_LINE, 5), (accent, 3)))
    radius = max(1, min(4, round(min(tall, wide) / 40)))
    for left, top in () if is_apart else corners:
        x, y = left + wide / 2, top + tall / 2
        for colour, reach in ((_HALO, radius + 1), (accent if (left, top) == shown else _LINE, radius)):
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)


def _are_apart(starts: Sequence[int], size: int) -> bool:
    return all(later - earlier >= size for earlier, later in pairwise(starts))


Layers = Sequence[tuple[str | tuple[int, ...], int]]


def _frame(draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], layers: Layers) -> None:
    """Nested lines around a window, (colour, thickness), widest first. corner: (left, top), size: (width, height)."""
    (left, top), (wide, tall) = corner, size
    for colour, thickness in layers:
        inset = (layers[0][1] - thickness) // 2
        box = (left + inset, top + inset, left + wide - 1 - inset, top + tall - 1 - inset)
        draw.rectangle(box, outline=colour, width=thickness)
