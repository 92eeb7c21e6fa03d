"""An imported data set: its files, duplicates and skipped files, and the buttons to use, rename or delete it."""

from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results import names
from pages.ui import forms, frame, parts, sections, services, words

Own = engine.images.FolderSource | engine.prices.PriceSource
LIBRARIES = {"images": engine.images, "prices": engine.prices}
"""Where the data sets of each kind are renamed and deleted."""
KEPT = {"images": "copied files and decoded images", "prices": "bars"}
"""What is deleted with a data set of each kind."""


def show_actions(source: Own) -> None:
    """Distil it, import it again at another size, rename it, delete it."""
    with st.container(horizontal=True, gap="small"):
        if st.button("Distil", icon=":material/science:", type="primary", key="distil imported"):
            frame.go_to("distill", {"source": source.key})
        if isinstance(source, engine.images.FolderSource) and st.button(
            "Use at another size", icon=":material/aspect_ratio:", key="import again"
        ):
            st.query_params.from_dict({"source": source.key, "again": "1"})
            st.rerun()
        if st.button("Rename", icon=":material/label:", key="rename data"):
            _rename(source)
        if st.button("Delete", icon=":material/delete:", key="delete data"):
            _confirm_delete(source)


def show_duplicates(source: engine.images.FolderSource) -> None:
    """The test images that are also training images."""
    twins = source.report.duplicates
    if not twins:
        return
    said = f"{formats.counted(len(twins), 'test image is', 'test images are')} also among the training images."
    advice = "Scores are slightly inflated; remove the duplicates and import again."
    st.warning(f"{said} {advice}", title="Duplicates between training and test", icon=":material/content_copy:")
    with st.expander(f"Duplicates ({formats.count(len(twins))})", icon=":material/content_copy:"):
        pairs = {"Training image": [train for train, _ in twins], "The same test image": [test for _, test in twins]}
        parts.table(pairs, "Names of training images and of the identical test images")


def show_files(source: engine.images.FolderSource) -> None:
    """The image sizes, how the files were read, and the skipped ones."""
    st.header("Files", anchor=False)
    right = st.container()
    if len(source.report.sizes) > 1:
        left, right = st.columns(2, gap="medium")
        with left, st.container(border=True, height="stretch"):
            _show_sizes(source)
    with right, st.container(border=True, height="stretch"):
        _show_origin(source)
    _show_classes(source)
    show_skipped(source.report.skipped)


def _show_sizes(source: engine.images.FolderSource) -> None:
    sizes = source.report.sizes
    st.subheader("Image sizes", anchor=False)
    figure = figures.image_sizes(sizes, source.options.image_size)
    alt = "Width and height of the images; a larger mark stands for more images"
    sections.show_chart(figure, f"sizes {source.key}", alt)
    widths, heights = [width for width, _, _ in sizes], [height for _, height, _ in sizes]
    st.caption(f"{min(widths):,} to {max(widths):,} pixels wide, {min(heights):,} to {max(heights):,} pixels high.")


def _show_origin(source: engine.images.FolderSource) -> None:
    report = source.report
    st.subheader("How they were read", anchor=False)
    facts = {"Layout": report.layout, "Files": f"{report.num_files:,}, {formats.num_bytes(report.total_bytes)}"}
    if len(report.sizes) == 1:
        width, height, _ = report.sizes[0]
        facts["Image sizes"] = f"{width:,} × {height:,} pixels (all)"
    facts["Imported"] = words.clock(source.created)
    for field in forms.entries(engine.images.ImportOptions, source.options.model_dump()):
        if field.name != "name":
            facts[field.label] = f"{field.shown(field.start)} {field.option.unit}".strip()
    table = {"Option": list(facts), "Value": [words.escaped(value) for value in facts.values()]}
    st.table(table, border="horizontal", hide_index=True, alt="Layout, files and import options")
    for note in report.notes:
        st.markdown(f"- {words.escaped(note)}")


def _show_classes(source: engine.images.FolderSource) -> None:
    """A table of all classes, since a chart cannot name many of them."""
    counts = {name: values for name, values in source.report.counts.items() if sum(values)}
    number = formats.counted(len(source.class_names), "class", "classes")
    with st.expander(f"Images per class ({number})", icon=":material/format_list_numbered:"):
        columns: dict[str, list[str | int]] = {"Class": list(source.class_names)}
        columns |= {name.capitalize(): list(values) for name, values in counts.items()}
        parts.table(columns, "Number of images of each class in each part", {"Class": 130})


def show_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    if not skipped:
        st.caption("No files were skipped.")
        return
    with st.expander(f"Skipped files ({formats.count(len(skipped))})", icon=":material/rule:"):
        reasons = {"File": [name for name, _ in skipped], "Reason": [reason for _, reason in skipped]}
        parts.table(reasons, "Skipped files with the reason for each", {"File": 160})


@st.dialog("Rename this data set", icon=":material/label:")
def _rename(source: Own) -> None:
    new = st.text_input("Name", value=source.title, max_chars=80)
    if st.button("Save", type="primary", key="save name"):
        with services.said_plainly():
            engine.data.check_title(new, engine.data_root(), source.key)
            LIBRARIES[source.kind].rename(source.key, new, engine.data_root())
            st.query_params.from_dict({"source": source.key})
            st.rerun()


@st.dialog("Delete this data set?", icon=":material/delete:")
def _confirm_delete(source: Own) -> None:
    title = words.escaped(source.title)
    runs = [row for row in services.store().runs() if row.source == source.key]
    busy = [f"{row.id} ({words.escaped(names.run_title(row))})" for row in runs if row.is_active]
    if busy:
        st.error(f"Runs in progress use {title}: {', '.join(busy)}. Stop them or wait.", icon=":material/error:")
        return
    st.markdown(f"Deletes {title} with its {KEPT[source.kind]}. This cannot be undone. The original files stay.")
    if runs:
        used = formats.counted(len(runs), "run")
        st.markdown(f"{used} used it. Their results are kept, but they cannot be resumed or repeated.")
    if parts.confirmed("delete data"):
        with services.said_plainly():
            LIBRARIES[source.kind].delete(source.key, engine.data_root())
            services.splits.clear()
            st.rerun()
