"""Pictures of a run's set, made once for each step and theme, and the slider that picks the step."""

from typing import Literal

import streamlit as st

import engine
from engine import figures
from engine.figures.palette import Theme
from engine.results import looks
from pages.ui import services

MAX_NAMED_COLUMNS = 16
"""Up to so many patches a row there is room for a class name below each."""


@st.cache_data(max_entries=256, show_spinner=False)
def preview_png(
    run_id: str,
    created: float,
    step: int,
    theme: Theme,
    width: int = 1000,
    classes: tuple[str, ...] = (),
    overlay: bool = False,
    patch_grid: bool = False,
) -> bytes:
    """One kept picture, see `looks.picture`. `created` tells runs apart that had the same number."""
    preview = services.store().preview(run_id, step)
    return looks.picture(preview, theme, width, classes=classes, overlay=overlay, patch_grid=patch_grid)


@st.cache_data(max_entries=64, show_spinner=False)
def bases_png(run_id: str, created: float, step: int, theme: Theme, width: int = 1000) -> bytes:
    """The pictures that all images of a set are sums of."""
    return looks.bases(services.store().preview(run_id, step), theme, width)


@st.cache_data(max_entries=64, show_spinner=False)
def reconstruction_png(run_id: str, created: float, first: int, step: int, theme: Theme, width: int = 1000) -> bytes:
    """Real images above those that were initialised with them, at the `first` step and at another."""
    store = services.store()
    return looks.reconstruction(store.preview(run_id, first), store.preview(run_id, step), theme, width)


@st.cache_data(max_entries=64, show_spinner=False)
def patches_png(run_id: str, created: float, step: int, theme: Theme, width: int = 1000) -> bytes:
    """The patches of a poster as they lie on it, the likeliest class below each where there is room."""
    preview = services.store().preview(run_id, step)
    columns = preview.poster.grid["patch_columns"] if preview.poster is not None else 0
    labels = preview.labels if columns <= MAX_NAMED_COLUMNS else ()
    return figures.grid_png(preview.images, labels, columns=columns, theme=theme, width=width)


@st.cache_data(max_entries=256, show_spinner=False)
def about(run_id: str, created: float, step: int) -> tuple[str, dict[str, int]]:
    """What a kept picture shows, as a heading, and how many further pictures of each name it has."""
    preview = services.store().preview(run_id, step)
    return looks.name_of(preview), {name: len(view) for name, view in preview.views.items()}


def view_names(run_id: str, created: float, step: int) -> dict[str, int]:
    """How many further pictures of each name a kept picture has."""
    return about(run_id, created, step)[1]


def name(row: engine.RunRow) -> str:
    """What the pictures of a run show, as a heading; images where there is none yet."""
    steps = services.store().previews(row.id)
    return about(row.id, row.created, steps[-1])[0] if steps else looks.IMAGES


def has_bases(row: engine.RunRow) -> bool:
    """Whether a run's images are sums of bases, as far as its pictures tell."""
    steps = services.store().previews(row.id)
    return bool(steps) and "bases" in view_names(row.id, row.created, steps[-1])


@st.cache_data(max_entries=64, show_spinner=False)
def poster(run_id: str, created: float, step: int) -> engine.events.PosterView | None:
    """The poster of a kept picture, if it is one."""
    return services.store().preview(run_id, step).poster


@st.cache_data(max_entries=64, show_spinner=False)
def candles(run_id: str, created: float, step: int) -> engine.events.CandleView | None:
    """The sequences of price bars of a kept picture, if it shows some."""
    return services.store().preview(run_id, step).candles


@st.cache_data(max_entries=16, show_spinner="Making the time-lapse...")
def timelapse(run_id: str, created: float, steps: tuple[int, ...], theme: Theme) -> bytes:
    """An animated GIF over the kept pictures of a run."""
    return animation(services.store(), run_id, steps, theme, "gif")


def animation(
    store: engine.Store, run_id: str, steps: tuple[int, ...], theme: Theme, kind: Literal["gif", "webp"]
) -> bytes:
    """The kept pictures of a run as frames of one file."""
    return looks.animation([store.preview(run_id, step) for step in steps], theme, kind)


def result_step(row: engine.RunRow, steps: list[int]) -> int:
    """The kept picture that shows the result."""
    return looks.result_step(row, steps)


def caption(row: engine.RunRow, step: int) -> str:
    """What a picture shows, after which outer step, and whether that one was chosen."""
    return looks.caption(row, step, about(row.id, row.created, step)[0])


def alt(row: engine.RunRow, step: int) -> str:
    """The same for those who cannot see the picture."""
    return looks.alt(row, step, about(row.id, row.created, step)[0])


def shown_step(row: engine.RunRow, steps: list[int]) -> int:
    """A slider over kept pictures; until it is moved it shows the result, which in a live run is the newest."""
    key, following = f"preview step {row.id}", f"preview follows {row.id}"
    result = result_step(row, steps)
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
