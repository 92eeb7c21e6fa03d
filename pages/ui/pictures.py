"""Composed pictures of a run's previews, made once for each step and theme."""

from __future__ import annotations

from typing import Literal

import streamlit as st

import engine
from engine import figures
from pages.ui import services, words

QUIET = {"displayModeBar": False, "scrollZoom": False}
"""How charts behave: nothing to press, and the page scrolls over them."""


@st.cache_data(max_entries=256, show_spinner=False)
def preview_png(
    run_id: str,
    created: float,
    step: int,
    theme: str,
    width: int = 1000,
    classes: tuple[str, ...] = (),
    overlay: bool = False,
    patch_grid: bool = False,
) -> bytes:
    """One kept preview, a poster in its true aspect or else a grid; `created` only tells runs apart that had the same number.

    classes: sort the images into this order of class names, those of other classes last; as they are if empty.
    overlay, patch_grid: what is drawn over a poster.
    """
    preview = services.store().preview(run_id, step)
    if preview.poster is not None:
        return figures.poster_png(preview.poster, theme, width, overlay=overlay, patch_grid=patch_grid)
    images, labels = preview.images, preview.labels
    if classes:
        place = {name: number for number, name in enumerate(classes)}
        order = sorted(range(len(labels)), key=lambda index: place.get(labels[index], len(place)))
        images, labels = images[order], tuple(labels[index] for index in order)
    return figures.grid_png(images, labels, theme=theme, width=width)


@st.cache_data(max_entries=256, show_spinner=False)
def view_names(run_id: str, created: float, step: int) -> dict[str, int]:
    """How many further pictures of each name a kept preview has."""
    return {name: len(view) for name, view in services.store().preview(run_id, step).views.items()}


def has_bases(row: engine.RunRow) -> bool:
    """Whether a run's images are sums of bases, as far as its pictures tell."""
    steps = services.store().previews(row.id)
    return bool(steps) and "bases" in view_names(row.id, row.created, steps[-1])


@st.cache_data(max_entries=64, show_spinner=False)
def bases_png(run_id: str, created: float, step: int, theme: str, width: int = 1000) -> bytes:
    """The pictures that all images of a kept preview are sums of."""
    return figures.grid_png(services.store().preview(run_id, step).views["bases"], theme=theme, width=width)


@st.cache_data(max_entries=64, show_spinner=False)
def reconstruction_png(run_id: str, created: float, first: int, step: int, theme: str, width: int = 1000) -> bytes:
    """Real images, those that stood for them at the `first` step, and what these are at another."""
    start, now = (services.store().preview(run_id, each) for each in (first, step))
    rows = [("Real", start.views["real"])]
    if "bases" in start.views:
        rows.append(("From the bases, before the first step", start.images))
    if step != first:
        rows.append((f"After step {step:,}", now.images))
    count = min(RECONSTRUCTED, *(len(images) for _, images in rows))
    return figures.rows_png([(name, images[:count]) for name, images in rows], theme=theme, width=width)


RECONSTRUCTED = 8
"""Images of a row that shows what became of real ones."""


@st.cache_data(max_entries=64, show_spinner=False)
def patches_png(run_id: str, created: float, step: int, theme: str, width: int = 1000) -> bytes:
    """The patches of a poster as they lie on it, each as the student sees it, the likeliest class below where there is room."""
    preview = services.store().preview(run_id, step)
    columns = preview.poster.grid["patch_columns"]
    labels = preview.labels if columns <= MAX_NAMED_COLUMNS else ()
    return figures.grid_png(preview.images, labels, columns=columns, theme=theme, width=width)


MAX_NAMED_COLUMNS = 16
"""Up to so many patches a row there is room for a class name below each."""


@st.cache_data(max_entries=64, show_spinner=False)
def poster(run_id: str, created: float, step: int) -> engine.events.PosterView | None:
    """The poster of a kept preview; None where the run makes whole images."""
    return services.store().preview(run_id, step).poster


def is_poster(row: engine.RunRow) -> bool:
    """Whether the run makes a poster, as far as its pictures tell."""
    steps = services.store().previews(row.id)
    return bool(steps) and poster(row.id, row.created, steps[-1]) is not None


@st.cache_data(max_entries=64, show_spinner=False)
def candles(run_id: str, created: float, step: int) -> engine.events.CandleView | None:
    """The sequences of price bars of a kept preview; None where the run makes images."""
    return services.store().preview(run_id, step).candles


def result_step(row: engine.RunRow, steps: list[int]) -> int:
    """The kept preview that shows the result: the set that was chosen, or the newest while there is none."""
    chosen = row.summary.get("step")
    return chosen if chosen in steps else steps[-1]


@st.cache_data(max_entries=16, show_spinner="Making the time-lapse …")
def timelapse(run_id: str, created: float, steps: tuple[int, ...], theme: str) -> bytes:
    """An animated GIF over the kept previews of a run."""
    return animation(services.store(), run_id, steps, theme, "gif")


def animation(
    store: engine.Store, run_id: str, steps: tuple[int, ...], theme: str, kind: Literal["gif", "webp"]
) -> bytes:
    """The kept previews of a run as frames of one file."""
    kept = [store.preview(run_id, step) for step in steps]
    if kept[-1].poster is not None:
        return figures.poster_timelapse([preview.poster for preview in kept], kind)
    return figures.timelapse([preview.images for preview in kept], kept[-1].labels, kind, theme=theme)


def caption(row: engine.RunRow, step: int) -> str:
    """What a picture shows: the set after which step, and whether it is the one that was chosen."""
    if not row.total_steps:
        return f"The result as it was after step {step:,}"
    what = "Poster" if poster(row.id, row.created, step) is not None else "Synthetic images"
    what = "Distilled sequences" if words.is_forecast(row) else what
    moment = "before the first step" if step == 0 else f"after step {step:,}"
    is_chosen = step == row.summary.get("step") and step != row.total_steps
    return f"{what} {moment} of {row.total_steps:,}" + (", the best on validation data" if is_chosen else "")


def alt(row: engine.RunRow, step: int) -> str:
    """What a picture of a preview is, for those who cannot see it."""
    if poster(row.id, row.created, step) is not None:
        return f"The poster of run {row.id} at step {step}"
    if words.is_forecast(row):
        return (
            f"The distilled sequences of run {row.id} at step {step} as small candle charts, their tokens beside them"
        )
    beside = ", class names beside them" if words.has_labels(row) else ""
    return f"Grid of the synthetic images of run {row.id} at step {step}{beside}"


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
