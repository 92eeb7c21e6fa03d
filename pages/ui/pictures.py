"""Composed pictures of a run's previews, made once for each step and theme."""

from __future__ import annotations

import streamlit as st

import engine
from engine import figures
from pages.ui import services


@st.cache_data(max_entries=256, show_spinner=False)
def preview_png(run_id: str, created: float, step: int, version: str, theme: str, width: int = 1000) -> bytes:
    """The grid of one kept preview; `created` and `version` (see `version`) only tell pictures apart."""
    preview = services.store().preview(run_id, step)
    return figures.grid_png(preview.images, preview.labels, theme=theme, width=width)


def version(row: engine.RunRow, step: int, steps: list[int]) -> str:
    """Changes whenever the picture of a step may have: the last one is written again when the best set is chosen."""
    return f"{row.step} {row.status} {row.phase}" if step == steps[-1] else ""


@st.cache_data(max_entries=16, show_spinner="Making the time-lapse …")
def timelapse(run_id: str, created: float, steps: tuple[int, ...], theme: str) -> bytes:
    """An animated GIF over the kept previews of a run."""
    kept = [services.store().preview(run_id, step) for step in steps]
    return figures.timelapse_gif([preview.images for preview in kept], kept[-1].labels, theme=theme)


def caption(row: engine.RunRow, step: int) -> str:
    """What a grid shows: how many images of how many classes, after which step."""
    kept = row.summary.get("step")
    if step == row.total_steps and kept not in (None, step):
        return f"Synthetic images after step {kept:,} of {row.total_steps:,}: the best on validation data"
    moment = "before the first step" if step == 0 else f"after step {step:,}"
    return f"Synthetic images {moment} of {row.total_steps:,}"


def shown_step(run_id: str, steps: list[int], is_live: bool) -> int:
    """A slider over kept previews; while a run is live it follows the newest, until it is moved."""
    key, following = f"preview step {run_id}", f"preview follows {run_id}"
    st.session_state.setdefault(following, True)
    if st.session_state[following] or st.session_state.get(key) not in steps:
        st.session_state[key] = steps[-1]
    if len(steps) < 2:
        return steps[-1]

    def moved() -> None:
        st.session_state[following] = st.session_state[key] == steps[-1]

    help_text = (
        "Follows the newest picture until you move it; move it to the right end to follow again." if is_live else None
    )
    return st.select_slider(
        "Outer step shown",
        options=steps,
        key=key,
        format_func=lambda step: f"{step:,}",
        on_change=moved,
        help=help_text,
    )
