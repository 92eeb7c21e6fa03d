"""Pictures of a run's set, cached by step and theme, and the slider that picks the step."""

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

import engine
from engine import figures
from engine.figures.palette import Theme
from engine.results import looks
from pages.ui import sections, services

MAX_NAMED_COLUMNS = 16
"""Patches per row up to which there is room for class names."""
BY_RUN: dict[str | type, Callable[[Any], Any]] = {engine.RunRow: lambda row: (row.id, row.created)}
"""How caches tell runs apart; a deleted run's number may be given again."""


def show(row: engine.RunRow, step: int, way: str = "whole", *, caption: str = "", alt: str = "", **drawn: Any) -> bytes:
    """Draw a kept picture with a caption and an alt text, by default those of the whole; returns the picture."""
    picture = png(row, step, way, **drawn)
    name = looks.name_of(kept(row, step))
    caption, alt = caption or looks.caption(row, step, name), alt or looks.alt(row, step, name)
    sections.image(picture, alt, caption)
    return picture


def png(row: engine.RunRow, step: int, way: str = "whole", width: int = 1000, **options: Any) -> bytes:
    """A kept picture one way: "whole" as `looks.picture` has it, its "bases" or "patches", or its "reconstruction".

    options: of `looks.picture`; for a reconstruction, the `first` kept step.
    """
    return drawn(row, step, way, services.theme(), width, **options)


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs=BY_RUN)
def drawn(row: engine.RunRow, step: int, way: str, theme: Theme, width: int, **options: Any) -> bytes:
    preview = kept(row, step)
    if way == "bases":
        return looks.bases(preview, theme, width)
    if way == "reconstruction":
        return looks.reconstruction(kept(row, options["first"]), preview, theme, width)
    if way == "patches":
        columns = preview.poster.grid["patch_columns"] if preview.poster is not None else 0
        labels = preview.labels if columns <= MAX_NAMED_COLUMNS else ()
        return figures.grid_png(preview.images, labels, columns=columns, theme=theme, width=width)
    return looks.picture(preview, theme, width, **options)


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=BY_RUN)
def kept(row: engine.RunRow, step: int) -> engine.events.Preview:
    """What was kept of a set at a step."""
    return services.store().preview(row.id, step)


def name(row: engine.RunRow) -> str:
    """What the pictures of a run show, as a heading; images as long as there are none."""
    steps = services.store().previews(row.id)
    return looks.name_of(kept(row, steps[-1])) if steps else looks.IMAGES


def has_bases(row: engine.RunRow) -> bool:
    """Whether a run's images are sums of bases, as far as its pictures tell."""
    steps = services.store().previews(row.id)
    return bool(steps) and "bases" in kept(row, steps[-1]).views


@st.cache_data(max_entries=16, show_spinner="Making the time-lapse …", hash_funcs=BY_RUN)
def timelapse(row: engine.RunRow, steps: tuple[int, ...], theme: Theme) -> bytes:
    """An animated GIF over the kept pictures of a run."""
    return animation(services.store(), row.id, steps, theme, "gif")


def animation(
    store: engine.Store, run_id: str, steps: tuple[int, ...], theme: Theme, kind: Literal["gif", "webp"]
) -> bytes:
    """The kept pictures of a run as frames of one file."""
    return looks.animation([store.preview(run_id, step) for step in steps], theme, kind)


def caption(row: engine.RunRow, step: int) -> str:
    """What a picture shows, after which outer step, and whether that one was chosen."""
    return looks.caption(row, step, looks.name_of(kept(row, step)))


def shown_step(row: engine.RunRow, steps: list[int]) -> int:
    """A slider over kept pictures; until it is moved it shows the result, or the newest picture of a live run."""
    key, following = f"preview step {row.id}", f"preview follows {row.id}"
    result = looks.result_step(row, steps)
    st.session_state.setdefault(following, True)
    if st.session_state[following] or st.session_state.get(key) not in steps:
        st.session_state[key] = result
    if len(steps) < 2:
        return result

    def moved() -> None:
        st.session_state[following] = st.session_state[key] == steps[-1]

    follows = "Follows the newest picture until you move it; move it to the right end to follow again."
    return st.select_slider(
        "Outer step shown",
        options=steps,
        key=key,
        format_func=lambda step: f"{step:,}",
        on_change=moved,
        help=follows if row.status == "running" else None,
    )
