"""Gallery: the distilled samples of a run, large and over time, to look at and to download."""

from functools import partial

import streamlit as st

import engine
from engine.results import names
from pages.ui import downloads, frame, heading, parts, pictures, sections, services, sets, words

frame.ensure()


def choose(rows: list[engine.RunRow]) -> engine.RunRow:
    """The run to show: the one in the address, or the newest."""
    by_id = {row.id: row for row in rows}
    wanted = st.query_params.get("run")
    if wanted and wanted not in by_id:
        services.store().run(wanted)  # says so if there is no such run
        st.info(f"Run {words.escaped(wanted)} has no pictures yet.", icon=":material/schedule:")
    ids = list(by_id)
    index = ids.index(wanted) if wanted in by_id else 0
    titles = {run_id: f"{run_id} · {names.run_title(row)}" for run_id, row in by_id.items()}
    return by_id[st.selectbox("Run", ids, index, lambda run_id: titles[run_id], f"gallery run {wanted}")]


def show(row: engine.RunRow) -> None:
    """One step in one of its views, or a time-lapse, and the downloads."""
    steps = services.store().previews(row.id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        heading.badge(row.status, row.stop_requested)
        st.page_link("pages/runs.py", label="Open the run", icon=":material/monitoring:", query_params={"run": row.id})
    ways = sets.look(row).ways(row, steps)
    way = st.segmented_control(
        "Show", [*ways, "Time-lapse"], default=ways[0], required=True, key=f"gallery mode {ways[0]} {len(ways)}"
    )
    with st.container(width=sets.WIDE if sets.look(row).is_wide else sets.NARROW):
        if way == "Time-lapse":
            show_over_time(row, steps)
        elif found := sets.look(row).show(row, steps, way):
            picture, step, kind = found
            marked = partial(engine.export.marked, picture, row, step)
            name = f"run-{row.id}-{kind}step-{step}.png"
            downloads.button(row, ("Download picture", "image/png", "image"), marked, name)
    st.subheader("Downloads", anchor=False)
    downloads.show(row)


def show_over_time(row: engine.RunRow, steps: list[int]) -> None:
    if len(steps) < 2:
        st.caption("A time-lapse needs at least two pictures; there is one so far.")
        return
    theme = services.theme()
    picture = pictures.timelapse(row, tuple(steps), theme)
    with st.container(width=760):
        alt = f"{pictures.caption(row, steps[-1])}, as an animation from the first step"
        caption = f"{len(steps)} pictures from step {steps[0]:,} to step {steps[-1]:,}"
        sections.image(picture, alt, caption)
    webp = partial(pictures.animation, services.store(), row.id, tuple(steps), theme, "webp")
    with st.container(horizontal=True, gap="small"):
        downloads.button(row, ("Download GIF", "image/gif", "image"), picture, f"run-{row.id}-timelapse.gif")
        downloads.button(row, ("Download WebP", "image/webp", "image"), webp, f"run-{row.id}-timelapse.webp")


with services.said_plainly():
    st.title("Gallery", anchor=False)
    pictured = [row for row in services.store().runs() if services.store().previews(row.id)]
    if pictured:
        show(choose(pictured))
    else:
        st.write("The distilled samples of your runs appear here: large, over time, and to download.")
        parts.start_button()
