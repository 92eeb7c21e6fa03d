"""Composed pictures of a run's previews, made once for each step and theme."""

from __future__ import annotations

import streamlit as st

import engine
from engine import figures
from pages.ui import services


@st.cache_data(max_entries=256, show_spinner=False)
def preview_png(
    run_id: str, created: float, step: int, theme: str, width: int = 1000, classes: tuple[str, ...] = ()
) -> bytes:
    """The grid of one kept preview; `created` only tells runs apart that had the same number.

    classes: sort the images into this order of class names, those of other classes last; as they are if empty.
    """
    preview = services.store().preview(run_id, step)
    images, labels = preview.images, preview.labels
    if classes:
        place = {name: number for number, name in enumerate(classes)}
        order = sorted(range(len(labels)), key=lambda index: place.get(labels[index], len(place)))
        images, labels = images[order], tuple(labels[index] for index in order)
    return figures.grid_png(images, labels, theme=theme, width=width)


def result_step(row: engine.RunRow, steps: list[int]) -> int:
    """The kept preview that shows the result: the set that was chosen, or the newest while there is none."""
    chosen = row.summary.get("step")
    return chosen if chosen in steps else steps[-1]


@st.cache_data(max_entries=16, show_spinner="Making the time-lapse …")
def timelapse(run_id: str, created: float, steps: tuple[int, ...], theme: str) -> bytes:
    """An animated GIF over the kept previews of a run."""
    kept = [services.store().preview(run_id, step) for step in steps]
    return figures.timelapse_gif([preview.images for preview in kept], kept[-1].labels, theme=theme)


def caption(row: engine.RunRow, step: int) -> str:
    """What a grid shows: the set after which step, and whether it is the one that was chosen."""
    if not row.total_steps:
        return f"The result as it was after step {step:,}"
    moment = "before the first step" if step == 0 else f"after step {step:,}"
    is_chosen = step == row.summary.get("step") and step != row.total_steps
    return f"Synthetic images {moment} of {row.total_steps:,}" + (", the best on validation data" if is_chosen else "")


def shown_step(row: engine.RunRow, steps: list[int]) -> int:
    """A slider over kept previews; until it is moved it shows the result, which in a live run is the newest."""
    key, following = f"preview step {row.id}", f"preview follows {row.id}"
    result = result_step(row, steps)
    st.session_state.setdefault(following, True)
    if st.session_state[following] or st.session_state.get(key) not in steps:
        st.session_state[key] = result
    if len(steps) < 2:
        return result

    def moved() -> None:
        st.session_state[following] = st.session_state[key] == steps[-1]

    help_text = "Follows the newest picture until you move it; move it to the right end to follow again."
    return st.select_slider(
        "Outer step shown",
        options=steps,
        key=key,
        format_func=lambda step: f"{step:,}",
        on_change=moved,
        help=help_text if row.status == "running" else None,
    )
