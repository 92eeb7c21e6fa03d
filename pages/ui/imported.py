"""What there is to see and do about a data set that somebody imported: its files, its defects, its name, its end."""

from __future__ import annotations

from typing import Any

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import forms, frame, live, services, words

KEPT = {"images": "its copied files and decoded images", "prices": "its bars"}
"""What is deleted with a data set, by its kind."""


def show_actions(source: Any) -> None:
    """Distil it, make it again with other options, rename it, delete it."""
    with st.container(horizontal=True, gap="small"):
        if st.button("Distil", icon=":material/science:", type="primary", key="distil imported"):
            frame.go_to("distill", {"source": source.key})
        if source.kind == "images" and st.button(
            "Use at another size", icon=":material/aspect_ratio:", key="import again"
        ):
            st.query_params.from_dict({"source": source.key, "again": "1"})
            st.rerun()
        if st.button("Rename", icon=":material/label:", key="rename data"):
            _rename(source)
        if st.button("Delete", icon=":material/delete:", key="delete data"):
            _confirm_delete(source)


def show_warnings(source: Any) -> None:
    """What makes scores on this data set doubtful."""
    twins = source.report.duplicates
    if not twins:
        return
    st.warning(
        f"{formats.counted(len(twins), 'test image is', 'test images are')} also among the training images. "
        "Scores are a little too good for that; take them out of one side and import again.",
        title="Duplicates between training and test",
        icon=":material/content_copy:",
    )
    with st.expander(f"Duplicates ({formats.count(len(twins))})", icon=":material/content_copy:"):
        st.dataframe(
            {"Training image": [train for train, _ in twins], "The same test image": [test for _, test in twins]},
            hide_index=True,
            width="stretch",
            alt="Names of training images and of the test images that equal them",
        )


def show_files(source: Any) -> None:
    """Sizes of the files, how they were read, and which of them could not be used."""
    st.header("Files", anchor=False)
    if len(source.report.sizes) == 1:
        with st.container(border=True):
            _show_origin(source)
    else:
        left, right = st.columns([1, 1], gap="medium")
        with left, st.container(border=True, height="stretch"):
            _show_sizes(source)
        with right, st.container(border=True, height="stretch"):
            _show_origin(source)
    _show_classes(source)
    show_skipped(source.report.skipped)


def _show_sizes(source: Any) -> None:
    """How wide and high the images were."""
    sizes = source.report.sizes
    st.subheader("Sizes of the images", anchor=False)
    st.plotly_chart(
        figures.image_sizes(sizes, source.options.image_size),
        key=f"sizes {source.key}",
        config=live.QUIET,
        alt="Width and height of the images, the larger the mark the more images",
    )
    widths, heights = [width for width, _, _ in sizes], [height for _, height, _ in sizes]
    st.caption(
        f"From {min(widths):,} to {max(widths):,} pixels wide, from {min(heights):,} to {max(heights):,} pixels high."
    )


def _show_origin(source: Any) -> None:
    """What was found, and the options it was made with."""
    report = source.report
    st.subheader("How they were read", anchor=False)
    facts = {"Layout": report.layout, "Files": f"{report.num_files:,}, {formats.num_bytes(report.total_bytes)}"}
    if len(report.sizes) == 1:
        width, height, _ = report.sizes[0]
        facts["Sizes of the images"] = f"{width:,} × {height:,} pixels, all of them"
    facts["Imported"] = words.clock(source.created)
    fields = forms.entries(engine.images.ImportOptions, source.options.model_dump())
    facts |= {field.label: _option(field) for field in fields if field.name != "name"}
    st.table(
        {"Option": list(facts), "Value": [words.escaped(value) for value in facts.values()]},
        border="horizontal", hide_index=True, alt="How this data set was made",
    )  # fmt: skip
    for note in report.notes:
        st.markdown(f"- {words.escaped(note)}")


def _option(field: forms.Entry) -> str:
    """An option's value with its unit."""
    return f"{field.shown(field.start)} {field.option.unit}".strip()


def _show_classes(source: Any) -> None:
    """Every class with its counts: a chart of many classes cannot name them all."""
    counts = {name: values for name, values in source.report.counts.items() if sum(values)}
    with st.expander(
        f"Images of each class ({formats.counted(len(source.class_names), 'class', 'classes')})",
        icon=":material/format_list_numbered:",
    ):
        st.dataframe(
            {"Class": list(source.class_names)} | {name.capitalize(): list(values) for name, values in counts.items()},
            hide_index=True,
            width="stretch",
            column_config={"Class": st.column_config.TextColumn(width=130)},
            alt="Number of images of each class in each part",
        )


def show_skipped(skipped: Any) -> None:
    """Every file that is not in the data set, with the reason."""
    if not skipped:
        st.caption("No file was skipped.")
        return
    with st.expander(f"Skipped files ({formats.count(len(skipped))})", icon=":material/rule:"):
        st.dataframe(
            {"File": [name for name, _ in skipped], "Why it was skipped": [reason for _, reason in skipped]},
            hide_index=True,
            width="stretch",
            column_config={"File": st.column_config.TextColumn(width=160)},
            alt="Skipped files with the reason for each",
        )


def _library(source: Any) -> Any:
    """Where data sets of its kind are renamed and deleted."""
    return engine.prices if source.kind == "prices" else engine.images


@st.dialog("Rename this data set", icon=":material/label:")
def _rename(source: Any) -> None:
    new = st.text_input("Name", value=source.title, max_chars=80)
    if st.button("Save", type="primary", key="save name"):
        with services.said_plainly():
            engine.data.check_title(new, engine.data_root(), source.key)
            _library(source).rename(source.key, new, engine.data_root())
            st.query_params.from_dict({"source": source.key})
            st.rerun()


@st.dialog("Delete this data set?", icon=":material/delete:")
def _confirm_delete(source: Any) -> None:
    key, title = source.key, source.title
    mine = [row for row in services.store().runs() if row.source == key]
    busy = [row for row in mine if row.status in ("queued", "running")]
    if busy:
        names = ", ".join(f"{row.id} ({words.escaped(words.run_title(row))})" for row in busy)
        verb = "is" if len(busy) == 1 else "are"
        st.error(
            f"{words.escaped(title)} is in use: run {names} {verb} queued or running. Stop it first, or wait for its end.",
            icon=":material/error:",
        )
        return
    st.markdown(
        f"{words.escaped(title)} goes with {KEPT[source.kind]}. This cannot be undone. "
        "Files on the server that it was read from stay as they are."
    )
    if mine:
        st.markdown(
            f"{formats.counted(len(mine), 'run')} used it. What was distilled from it stays, but cannot be resumed or repeated without it."
        )
    with st.container(horizontal=True):
        if st.button("Delete it", type="primary", key="confirm delete data"):
            with services.said_plainly():
                _library(source).delete(key, engine.data_root())
                services.splits.clear()
                st.rerun()
        if st.button("Keep it", key="keep data"):
            st.rerun()
