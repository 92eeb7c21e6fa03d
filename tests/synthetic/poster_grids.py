"""Grids of posters: the published ones, and any that may exist."""

from __future__ import annotations

from hypothesis import strategies as st

from engine.synthetic.poster_grid import PosterGrid

PUBLISHED = {  # of 0.9 images per class: sizes, class cells and patches
    "cifar10": (PosterGrid(60, 153, 2, 5, 6, 16, 32, 32), 10, 0.896),
    "cifar100": (PosterGrid(303, 303, 10, 10, 20, 20, 32, 32), 100, 0.897),
    "cub200": (PosterGrid(302, 610, 10, 20, 30, 60, 32, 32), 200, 0.900),
    "tiny_imagenet": (PosterGrid(608, 1211, 10, 20, 20, 40, 64, 64), 200, 0.899),
}


@st.composite
def grids(draw) -> PosterGrid:
    """Any grid that may exist."""
    sides = []
    for _ in range(2):
        patch = draw(st.integers(1, 6))
        length = draw(st.integers(patch, 30))
        number = draw(st.integers(-(-length // patch), length - patch + 1))
        sides.append((length, draw(st.integers(1, length)), number, patch))
    return PosterGrid(*(value for pair in zip(*sides, strict=True) for value in pair))
