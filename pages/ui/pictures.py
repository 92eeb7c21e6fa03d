"""Pictures of a run's set, made once for each step and theme, and the slider that picks the step."""

from typing import Any, Literal

import streamlit as st

import engine
from engine import figures
from engine.figures.palette import Theme
from engine.results import looks
from pages.ui import sections, services

MAX_NAMED_COLUMNS = 16
"""Up to so many patches a row there is room for a class name below each."""


def show(row: engine.RunRow, step: int, way: str = "whole", *, caption: str = "", alt: str = "", **drawn: Any) -> bytes:
    """Draw a kept picture with a caption and a description, by default those of the whole; the picture."""
    picture = png(row, step, way, **drawn)
    name = looks.name_of(kept(row, step))
    caption, alt = caption or looks.caption(row, step, name), alt or looks.alt(row, step, name)
    sections.image(picture, alt, caption)
    return picture


def png(row: engine.RunRow, step: int, way: str = "whole", width: int = 1000, **options: Any) -> bytes:
    """A kept picture one way: "whole" as `looks.picture` has it, its "bases" or "patches", or its "reconstruction".

    options: of `looks.picture`; for a reconstruction, the `first` kept step.
    """
    return drawn(row.id, row.created, step, way, services.theme(), width, **options)


@st.cache_data(max_entries=512, show_spinner=False)
def drawn(run_id: str, created: float, step: int, way: str, theme: Theme, width: int, **options: Any) -> bytes:
    """See `png`. `created` tells runs apart that had the same number."""
    preview = services.store().preview(run_id, step)
    if way == "bases":
        return looks.bases(preview, theme, width)
    if way == "reconstruction":
        return looks.reconstruction(services.store().preview(run_id, options["first"]), preview, theme, width)
    if way == "patches":
        columns = preview.poster.grid["patch_columns"] if preview.poster is not None else 0
        labels = preview.labels if columns <= MAX_NAMED_COLUMNS else ()
        return figures.grid_png(preview.images, labels, columns=columns, theme=theme, width=width)
    return looks.picture(preview, theme, width, **options)


def kept(row: engine.RunRow, step: int) -> engine.events.Preview:
    """What was kept of a set at a step."""
    return _kept(row.id, row.created, step)


@st.cache_resource(max_entries=16, show_spinner=False)
def _kept(run_id: str, created: float, step: int) -> engine.events.Preview:
    return services.store().preview(run_id, step)


def name(row: engine.RunRow) -> str:
    """What the pictures of a run show, as a heading; images where there is none yet."""
    steps = services.store().previews(row.id)
    return looks.name_of(kept(row, steps[-1])) if steps else looks.IMAGES


def has_bases(row: engine.RunRow) -> bool:
    """Whether a run's images are sums of bases, as far as its pictures tell."""
    steps = services.store().previews(row.id)
    return bool(steps) and "bases" in kept(row, steps[-1]).views


@st.cache_data(max_entries=16, show_spinner="Making the time-lapse...")
def timelapse(run_id: str, created: float, steps: tuple[int, ...], theme: Theme) -> bytes:
    """An animated GIF over the kept pictures of a run."""
    return animation(services.store(), run_id, steps, theme, "gif")


def animation(
    store: engine.Store, run_id: str, steps: tuple[int, ...], theme: Theme, kind: Literal["gif", "webp"]
) -> bytes:
    """The kept pictures of a run as frames of one file."""
    return looks.animation([store.preview(run_id, step) for step in steps], theme, kind)


def caption(row: engine.RunRow, step: int) -> str:
    """What a picture shows, after which outer step, and whether that one was chosen."""
    return looks.caption(row, step, looks.name_of(kept(row, step)))


def shown_step(row: engine.RunRow, steps: list[int]) -> int:
    """A slider over kept pictures; until it is moved it shows the result, which in a live run is the newest."""
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
