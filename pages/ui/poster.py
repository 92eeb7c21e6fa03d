"""A poster on the pages: its class areas, its patches and their labels."""

from typing import Any

import streamlit as st

import engine
from engine import figures
from engine.core.events import PosterView
from engine.figures import formats
from pages.ui import pictures, sections, services, words

LARGE = 1000
"""Width of the poster's picture where it has a page of its own, pixels."""


def show_live(row: engine.RunRow, steps: list[int]) -> None:
    """The poster beside the curves of its run, with a slider over the steps and what may be drawn over it."""
    step = pictures.shown_step(row, steps)
    place, about = st.container(), "The patches as the student sees them."
    with st.container(horizontal=True, gap="small"):
        overlay, patch_grid = _ask_overlays(row)
        as_patches = st.toggle("Patches", key=f"patches {row.id}", persist_state="session", help=about)
    with place:
        if as_patches:
            pictures.show(row, step, "patches", width=640, alt=f"The patches at step {step}")
        else:
            pictures.show(row, step, width=640, overlay=overlay, patch_grid=patch_grid)


def show_large(row: engine.RunRow, step: int, view: PosterView) -> bytes:
    """The poster with overlays to choose; returns the picture."""
    with st.container(horizontal=True, gap="small"):
        overlay, patch_grid = _ask_overlays(row)
    picture = pictures.show(row, step, width=LARGE, overlay=overlay, patch_grid=patch_grid)
    st.caption(_facts(view))
    if overlay and (numbered := figures.numbered_classes(view, LARGE)):
        with st.expander("Classes by number", icon=":material/tag:"):
            st.markdown(" · ".join(f"**{number}** {words.escaped(name)}" for number, name in numbered))
    return picture


def show_patches(row: engine.RunRow, step: int, view: PosterView) -> bytes:
    """The poster, describing the patch under the pointer, and below it all patches; returns their picture."""
    num = view.grid["patch_rows"] * view.grid["patch_columns"]
    if num <= figures.MAX_POINTED:
        st.html(figures.poster_html(view, services.theme()))
    st.subheader("As the student sees them", anchor=False)
    first = "" if num <= figures.MAX_IMAGES else f"The first {figures.MAX_IMAGES} of "
    caption = f"{first}{formats.counted(num, 'patch', 'patches')} in their order on the poster"
    alt = f"The patches of the poster at step {step}, row by row"
    return pictures.show(row, step, "patches", caption=caption, alt=alt)


def show_labels(row: engine.RunRow, view: PosterView) -> None:
    """The weight of each class in the label of each patch: a map per class, the learned map, and all together."""
    is_map = view.label_map is not None and _asks_for_map(row)
    shown = order = [label for label in view.order if label >= 0]
    if len(order) > figures.FEW_CLASSES:
        look: dict[str, Any] = {"max_selections": figures.FEW_CLASSES, "placeholder": "Choose some classes"}
        key, names = f"classes of {row.id}", view.class_names
        shown = st.multiselect("Classes", order, order[:10], lambda label: names[label], key, **look)
    if shown:
        with st.grid(min(5, len(shown)), min_column_width=150):
            for label in shown:
                with st.container(gap=None):
                    st.markdown(f"**{words.escaped(view.class_names[label])}**")
                    _show_class(row, view, label, is_map)
        cell = "Each cell of the learned map" if is_map else "Each cell is a patch"
        st.caption(f"{cell}, where it lies on the poster. The stronger the colour, the larger the weight of the class.")
    if view.label_map is not None:
        _show_map(row, view)
    st.subheader("All patches and classes", anchor=False)
    alt = "Weight of every class in the label of every patch"
    sections.show_chart(figures.label_heatmap(view, services.theme()), f"labels {row.id}", alt)


def _asks_for_map(row: engine.RunRow) -> bool:
    """Whether to show classes in the learned map rather than in the patches read from it."""
    ways, key = ["Patches", "Learned map"], f"weights in {row.id}"
    return st.segmented_control("Weights in", ways, default=ways[0], required=True, key=key) == ways[1]


def _show_class(row: engine.RunRow, view: PosterView, label: int, is_map: bool) -> None:
    cell = "cell of the learned map" if is_map else "patch"
    alt = f"Weight of class {view.class_names[label]} in each {cell} over the poster"
    figure = figures.class_weights(view, label, services.theme(), of_map=is_map)
    sections.show_chart(figure, f"weights {row.id} {label}", alt)


def _show_map(row: engine.RunRow, view: PosterView) -> None:
    st.subheader("The learned map", anchor=False)
    alt = "Largest weight of a class in each cell of the learned label map"
    sections.show_chart(figures.learned_map(view, services.theme()), f"map {row.id}", alt)
    st.caption("Colour shows the largest weight; point at a cell for its classes. A patch's label averages its cells.")


def _ask_overlays(row: engine.RunRow) -> tuple[bool, bool]:
    """Whether to draw class areas and the patch grid; remembered for the session."""
    about = "The centre of each patch, and one patch in full."
    overlay = st.toggle("Class areas", value=True, key=f"class areas {row.id}", persist_state="session")
    return overlay, st.toggle("Patch grid", key=f"patch grid {row.id}", persist_state="session", help=about)


def _facts(view: PosterView) -> str:
    """Sizes of a poster and its patches in one line."""
    grid = view.grid
    num = formats.counted(grid["patch_rows"] * grid["patch_columns"], "patch", "patches")
    patches = f"{num} of {grid['patch_height']} × {grid['patch_width']} pixels"
    rows = f"{formats.counted(grid['patch_rows'], 'row')} of {grid['patch_columns']}"
    classes = formats.counted(len(view.class_names), "class", "classes")
    return f"{grid['height']} × {grid['width']} pixels · {patches} in {rows} · {classes}"
