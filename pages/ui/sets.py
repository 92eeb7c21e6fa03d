"""The distilled set of a run: whole images, a poster or candles, each with several views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results import looks
from pages.ui import candles, pictures, poster

IMAGES, BASES, RECONSTRUCTION = "Images", "Bases", "Reconstruction"
NOTES = {
    BASES: "Every distilled image is a weighted sum of these pictures. Grey is zero, brighter adds, darker subtracts.",
    RECONSTRUCTION: "Real images that the set was initialised with, and what has become of them.",
}
"""What a view of the set shows."""
WIDE, NARROW = 1200, 900
"""Width of the gallery for candles and for pictures, pixels."""


@dataclass(frozen=True)
class Look:
    """How a kind of picture is shown.

    live: beside the curves of its run, with a slider over the steps. few: small, at one step. ways: names of its views
    in the gallery. show: (row, steps, way) -> the shown PNG, its step and the beginning of its file name; None for
    charts. is_wide: needs the whole width of a page.
    """

    live: Callable[[engine.RunRow, list[int]], object]
    few: Callable[[engine.RunRow, int], object]
    ways: Callable[[engine.RunRow, Sequence[int]], list[str]]
    show: Callable[[engine.RunRow, list[int], str], tuple[bytes, int, str] | None]
    is_wide: bool = False


def look(row: engine.RunRow) -> Look:
    """How a run's pictures are shown; like images as long as there are none."""
    return LOOKS[pictures.name(row)]


# ---- images ----


def _images_live(row: engine.RunRow, steps: list[int]) -> None:
    found = _image_ways(row, steps)
    way = IMAGES
    if len(found) > 1:
        way = st.segmented_control(
            "Show", found, default=IMAGES, required=True, key=f"way {row.id} {len(found)}", label_visibility="collapsed"
        )
    _image_way(row, steps, pictures.shown_step(row, steps), way, 640)


def _image_ways(row: engine.RunRow, steps: Sequence[int]) -> list[str]:
    """Images, bases if the set has some, and the reconstruction if its real images were kept."""
    began = pictures.kept(row, steps[0]).views
    return [IMAGES, *([BASES] if pictures.has_bases(row) else []), *([RECONSTRUCTION] if "real" in began else [])]


def _show_images(row: engine.RunRow, steps: list[int], way: str) -> tuple[bytes, int, str]:
    step = pictures.shown_step(row, steps)
    picture = _image_way(row, steps, step, way, 1000)
    count = len(pictures.kept(row, step).images)
    if way == IMAGES and count > figures.MAX_IMAGES:
        st.caption(f"The first {figures.MAX_IMAGES} of {count:,} images.")
    return picture, step, "" if way == IMAGES else f"{way.lower()}-"


def _image_way(row: engine.RunRow, steps: list[int], step: int, way: str, width: int) -> bytes:
    moment = pictures.caption(row, step)
    if way == IMAGES:
        return pictures.show(row, step, width=width)
    if way == BASES:
        count = len(pictures.kept(row, step).views["bases"])
        first = f"The first {figures.MAX_IMAGES} of " if count > figures.MAX_IMAGES else ""
        moment = f"{first}{formats.counted(count, 'base')} · {moment}"
        alt = f"The bases of the images of run {row.id} at step {step}"
        picture = pictures.show(row, step, "bases", width=width, caption=moment, alt=alt)
    else:
        alt = f"Real images, and the distilled ones that were initialised with them, at step {step}"
        moment = f"Real and distilled · {moment}"
        picture = pictures.show(row, step, "reconstruction", width=width, first=steps[0], caption=moment, alt=alt)
    st.caption(NOTES[way])
    return picture


# ---- posters and candles ----


def _show_poster(row: engine.RunRow, steps: list[int], way: str) -> tuple[bytes, int, str] | None:
    step = pictures.shown_step(row, steps)
    view = pictures.kept(row, step).poster
    if view is None:
        return None
    if way == "Labels":
        poster.show_labels(row, view)
        return None
    if way == "Patches":
        return poster.show_patches(row, step, view), step, "patches-"
    return poster.show_large(row, step, view), step, ""


def _show_candles(row: engine.RunRow, steps: list[int], way: str) -> tuple[bytes, int, str]:
    if way == "Candles":
        step = candles.show(row, steps, starts_with_all=True)
        return pictures.png(row, step), step, ""
    step = pictures.shown_step(row, steps)
    return pictures.show(row, step), step, ""


FEW = partial(pictures.show, width=640, overlay=True)
LOOKS = {
    looks.IMAGES: Look(_images_live, FEW, _image_ways, _show_images),
    looks.POSTER: Look(poster.show_live, FEW, lambda row, steps: ["Poster", "Patches", "Labels"], _show_poster),
    looks.SEQUENCES: Look(
        candles.show, candles.show_few, lambda row, steps: ["Candles", "Small pictures"], _show_candles, is_wide=True
    ),
}
"""By what the pictures show, see `looks.name_of`."""
