"""Gallery: the distilled images of a run, large and over time, to look at and to take home."""

from functools import partial

import streamlit as st

import engine
from engine import figures
from pages.ui import downloads, frame, live, pictures, services, words

frame.ensure()


def choose(rows: list[engine.RunRow]) -> engine.RunRow:
    """The run to show: the one in the address, or the newest."""
    by_id = {row.id: row for row in rows}
    wanted = st.query_params.get("run")
    if wanted and wanted not in by_id:
        services.store().run(wanted)  # says so if there is no such run
        st.info(f"Run {words.escaped(wanted)} has no pictures yet.", icon=":material/schedule:")
    ids = list(by_id)
    chosen = st.selectbox(
        "Run",
        ids,
        index=ids.index(wanted) if wanted in by_id else 0,
        format_func=lambda run_id: f"{run_id} · {words.run_title(by_id[run_id])}",
        key=f"gallery run {wanted}",
    )
    return by_id[chosen]


def show(row: engine.RunRow) -> None:
    """The grid at one step or as a time-lapse, and the downloads."""
    steps = services.store().previews(row.id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        live.badge(row.status, row.stop_requested)
        st.page_link("pages/runs.py", label="Open the run", icon=":material/monitoring:", query_params={"run": row.id})
    is_moving = (
        st.segmented_control("Show", ["One step", "Time-lapse"], default="One step", required=True, key="gallery mode")
        == "Time-lapse"
        and len(steps) > 1
    )
    theme = services.theme()
    if is_moving:
        picture = pictures.timelapse(row.id, row.created, tuple(steps), theme)
        with st.container(width=760):
            st.image(
                picture,
                caption=f"{len(steps)} pictures from step {steps[0]:,} to step {steps[-1]:,}",
                width="stretch",
                alt="The synthetic images over the run, as an animation",
            )
        name, mime = f"run-{row.id}-timelapse.gif", "image/gif"
    else:
        with st.container(width=900):
            step = pictures.shown_step(row, steps)
        picture = pictures.preview_png(row.id, row.created, step, theme)
        with st.container(width=900):
            st.image(
                picture,
                caption=pictures.caption(row, step),
                width="stretch",
                alt=f"Grid of the synthetic images at step {step}, class names beside them",
            )
        num_images = len(services.store().preview(row.id, step).images)
        if num_images > figures.MAX_IMAGES:
            st.caption(f"The first {figures.MAX_IMAGES} of {num_images:,} images.")
        picture = partial(engine.export.marked, picture, row, step)
        name, mime = f"run-{row.id}-step-{step}.png", "image/png"
    st.download_button(
        "Download picture", picture, name, mime, icon=":material/image:", on_click="ignore", key="download picture"
    )
    st.subheader("Take it home", anchor=False)
    downloads.show(row)


with services.said_plainly():
    st.title("Gallery", anchor=False)
    pictured = [row for row in services.store().runs() if services.store().previews(row.id)]
    if pictured:
        show(choose(pictured))
    else:
        st.write("The distilled images of your runs are shown here: large, over time, and to download.")
        if st.button("Start a run", type="primary", icon=":material/science:"):
            st.switch_page("pages/distill.py")
