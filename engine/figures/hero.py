"""The picture of the first page: many real images become a few synthetic ones, and a network learns from those."""

import html
from collections.abc import Sequence

import numpy as np

from engine.figures.formats import counted, num_bytes
from engine.figures.grids import data_url, encoded, tiled
from engine.figures.palette import PALETTES, Theme

_INK = {"light": ("#1E2227", "#6B727B"), "dark": ("#E8E6E3", "#9AA1AB"), "page": ("#80858C", "#80858C")}
_WALL = (16, 10)  # columns and rows of real images


def hero_svg(
    real: np.ndarray,
    synthetic: np.ndarray,
    *,
    num_real: int,
    real_bytes: int,
    synthetic_bytes: int,
    theme: Theme = "light",
) -> str:
    """An SVG, 990 x 300 units, transparent ground.

    real: (N, H, W, C) uint8, N >= 160; synthetic: (M, H, W, C) uint8. The numbers are written under the pictures.
    """
    ink, faint = _INK[theme]
    accent = PALETTES[theme].distilled
    columns, rows = _WALL
    wall = data_url(encoded(tiled(real[: columns * rows], columns, 3, 1)))
    few = data_url(encoded(tiled(synthetic, 5 if len(synthetic) > 5 else len(synthetic), 8, 6)))
    parts = [
        _image(wall, (0, 18), (330, 206)),
        _arrow(348, 121, 52, accent),
        _image(few, (420, 61), (300, 120)),
        _arrow(738, 121, 52, accent),
        _network(812, 34, 136, 174, accent, faint),
        _caption(165, counted(num_real, "real image"), num_bytes(real_bytes), ink, faint),
        _caption(570, counted(len(synthetic), "synthetic image"), num_bytes(synthetic_bytes), ink, faint),
        _caption(880, "a trained network", "which sees no real image", ink, faint),
    ]
    fonts = "'Source Sans 3', 'Source Sans Pro', 'Segoe UI', Helvetica, Arial, sans-serif"
    top = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 990 300" font-family="{fonts}">'
    return "\n".join([top, *parts, "</svg>"])


def _image(source: str, corner: tuple[int, int], size: tuple[int, int]) -> str:
    place = f'x="{corner[0]}" y="{corner[1]}" width="{size[0]}" height="{size[1]}"'
    look = 'preserveAspectRatio="xMidYMid meet" style="image-rendering:pixelated"'
    return f'<image href="{source}" {place} {look}/>'


def _caption(middle: float, first: str, second: str, ink: str, faint: str) -> str:
    lines = ((258, 22, 600, ink, first), (284, 19, 400, faint, second))
    return "".join(
        f'<text x="{middle}" y="{y}" text-anchor="middle" font-size="{size}" font-weight="{weight}" fill="{colour}">'
        f"{html.escape(text)}</text>"
        for y, size, weight, colour, text in lines
    )


def _arrow(left: float, middle: float, length: float, colour: str) -> str:
    tip, stroke = left + length, f'stroke="{colour}" stroke-width="4" stroke-linecap="round" fill="none"'
    head = f"M{tip - 15} {middle - 11}L{tip - 2} {middle}L{tip - 15} {middle + 11}"
    return f'<path d="M{left} {middle}H{tip - 4}" {stroke}/><path d="{head}" {stroke} stroke-linejoin="round"/>'


def _network(left: float, top: float, width: float, height: float, accent: str, faint: str) -> str:
    """A small network of three layers, drawn as nodes and lines."""
    layers: Sequence[int] = (4, 5, 3)
    columns = [
        [(left + width * i / (len(layers) - 1), top + height * (j + 0.5) / size) for j in range(size)]
        for i, size in enumerate(layers)
    ]
    lines = [
        f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'
        for here, there in zip(columns[:-1], columns[1:], strict=True)
        for x1, y1 in here
        for x2, y2 in there
    ]
    nodes = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9"/>' for column in columns for x, y in column]
    drawn = f'<g stroke="{faint}" stroke-width="1" opacity="0.7">{"".join(lines)}</g>'
    return f'{drawn}<g fill="{accent}">{"".join(nodes)}</g>'
