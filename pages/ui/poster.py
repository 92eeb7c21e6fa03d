"""A poster on the pages: with its class areas and patches, what each patch is told to be, its patches one by one."""

from __future__ import annotations

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import pictures, services, words
from pages.ui.sections import QUIET

LARGE = 1000
"""Width of the poster's picture where it has a page of its own, pixels."""


def show_live(row: engine.RunRow, step: int) -> None:
    """The poster at one step beside the curves of its run, and what may be drawn over it."""
    place = st.container()
    with st.container(horizontal=True, gap="small"):
        overlay, patch_grid = _ask_overlays(row)
        as_patches = st.toggle(
            "Patches", key=f"patches {row.id}", persist_state="session", help="The patches as the student sees them."
        )
    if as_patches:
        picture, alt = (
            pictures.patches_png(row.id, row.created, step, services.theme(), 640),
            f"The patches at step {step}",
        )
    else:
        picture, alt = (
            pictures.preview_png(row.id, row.created, step, services.theme(), 640, (), overlay, patch_grid),
            pictures.alt(row, step),
        )
    place.image(picture, caption=pictures.caption(row, step), width="stretch", alt=alt)


def show_large(row: engine.RunRow, step: int) -> bytes:
    """The poster with what is wanted over it; the picture."""
    with st.container(horizontal=True, gap="small"):
        overlay, patch_grid = _ask_overlays(row)
    picture = pictures.preview_png(row.id, row.created, step, services.theme(), LARGE, (), overlay, patch_grid)
    st.image(picture, caption=pictures.caption(row, step), width="stretch", alt=pictures.alt(row, step))
    view = pictures.poster(row.id, row.created, step)
    st.caption(_facts(view))
    if overlay and (numbered := figures.numbered_classes(view, LARGE)):
        with st.expander("Classes by number", icon=":material/tag:"):
            st.markdown(" · ".join(f"**{number}** {words.escaped(name)}" for number, name in numbered))
    return picture


def show_patches(row: engine.RunRow, step: int) -> bytes:
    """The poster with the patch under the pointer described, and below it all patches; their picture."""
    view = pictures.poster(row.id, row.created, step)
    num = view.grid["patch_rows"] * view.grid["patch_columns"]
    if num <= figures.MAX_POINTED:
        st.html(figures.poster_html(view, services.theme()))
    st.subheader("As the student sees them", anchor=False)
    picture = pictures.patches_png(row.id, row.created, step, services.theme())
    shown = "" if num <= figures.MAX_IMAGES else f"the first {figures.MAX_IMAGES} of "
    st.image(
        picture, width="stretch", alt=f"The patches of the poster at step {step}, row by row",
        caption=f"{shown}{formats.counted(num, 'patch', 'patches')} in the order in which they lie on the poster".capitalize(),
    )  # fmt: skip
    return picture


def show_labels(row: engine.RunRow, step: int) -> None:
    """How much each patch is told to be of each class: a map of the poster a class, the learned map, and all of it in one."""
    view = pictures.poster(row.id, row.created, step)
    is_map = view.label_map is not None and _asks_for_map(row)
    order = [label for label in view.order if label >= 0]
    shown = order
    if len(order) > figures.FEW_CLASSES:
        shown = st.multiselect(
            "Classes", order, default=order[:10], format_func=lambda label: view.class_names[label],
            max_selections=figures.FEW_CLASSES, key=f"classes of {row.id}", placeholder="Choose some classes",
        )  # fmt: skip
    if shown:
        with st.grid(min(5, len(shown)), min_column_width=150):
            for label in shown:
                with st.container(gap=None):
                    st.markdown(f"**{words.escaped(view.class_names[label])}**")
                    _show_class(row, view, label, is_map)
        st.caption(
            "A cell of the learned map, where it lies on the poster: the stronger its colour, the more this class weighs in it."
            if is_map
            else "A cell a patch, where it lies on the poster: the stronger its colour, the more of its label is this class."
        )
    if view.label_map is not None:
        _show_map(row, view)
    st.subheader("All patches and classes", anchor=False)
    st.plotly_chart(
        figures.label_heatmap(view, services.theme()), key=f"labels {row.id}", config=QUIET,
        alt="Weight of every class in the label of every patch",
    )  # fmt: skip


def _asks_for_map(row: engine.RunRow) -> bool:
    """Whether classes are shown in the learned map itself and not in the patches that are read from it."""
    chosen = st.segmented_control(
        "Weights in", ["Patches", "Learned map"], default="Patches", required=True, key=f"weights in {row.id}"
    )
    return chosen == "Learned map"


def _show_class(row: engine.RunRow, view: engine.events.PosterView, label: int, is_map: bool) -> None:
    """The weight of one class over the poster, in its patches or in the learned map."""
    draw, cell = (figures.class_map, "cell of the learned map") if is_map else (figures.class_weights, "patch")
    st.plotly_chart(
        draw(view, label, services.theme()), key=f"weights {row.id} {label}", config=QUIET,
        alt=f"Weight of class {view.class_names[label]} in each {cell} over the poster",
    )  # fmt: skip


def _show_map(row: engine.RunRow, view: engine.events.PosterView) -> None:
    """The learned label map in one."""
    rows, columns = view.label_map.shape[1:]
    st.subheader("The learned map", anchor=False)
    st.plotly_chart(
        figures.learned_map(view, services.theme()), key=f"map {row.id}", config=QUIET,
        alt="Largest weight of a class in each cell of the learned label map",
    )  # fmt: skip
    st.caption(
        f"{formats.counted(rows, 'row')} of {formats.counted(columns, 'cell')}: the stronger the colour, the more the heaviest class "
        "of the cell weighs. Point at a cell to see its classes. A patch's label is the mean of the cells it lies over, scaled to a sum of one."
    )


def _ask_overlays(row: engine.RunRow) -> tuple[bool, bool]:
    """Whether class areas and the patch grid are drawn; said once for all pages of a session."""
    overlay = st.toggle("Class areas", value=True, key=f"class areas {row.id}", persist_state="session")
    patch_grid = st.toggle(
        "Patch grid", key=f"patch grid {row.id}", persist_state="session",
        help="The middle of each patch, and one patch in full.",
    )  # fmt: skip
    return overlay, patch_grid


def _facts(view: engine.events.PosterView) -> str:
    """Sizes of a poster and its patches in one line."""
    grid = view.grid
    num = grid["patch_rows"] * grid["patch_columns"]
    return (
        f"{grid['height']} × {grid['width']} pixels · {formats.counted(num, 'patch', 'patches')} of "
        f"{grid['patch_height']} × {grid['patch_width']} pixels in {formats.counted(grid['patch_rows'], 'row')} of {grid['patch_columns']} · "
        f"{formats.counted(len(view.class_names), 'class', 'classes')}"
    )
