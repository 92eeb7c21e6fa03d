"""Data: choose a source, look at it, and see what preparation does to its images."""

import math

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import forms, frame, live, services, words

frame.ensure()


def choose() -> engine.data.Source:
    """The source to look at, with what it is."""
    keys = list(engine.SOURCES)
    wanted = st.query_params.get("source", keys[0])
    key = st.segmented_control(
        "Data set", keys, default=wanted if wanted in keys else keys[0], required=True, format_func=words.source_title, key=f"data source {wanted}", persist_state="session"
    )  # fmt: skip
    return engine.SOURCES[key]


def show_availability(source: engine.data.Source) -> bool:
    """Whether the source is here; where it is not, what to do about it."""
    found = source.availability(engine.data_root())
    if found.state == "downloadable":
        st.info(
            words.escaped(found.message),
            title=f"{words.escaped(source.title)} is not here yet",
            icon=":material/download:",
        )
        if st.button("Download", icon=":material/download:", type="primary", key=f"download {source.key}"):
            services.download(source.key)
            st.rerun()
    elif found.state == "missing":
        st.error(
            words.escaped(found.message),
            title=f"{words.escaped(source.title)} is not here",
            icon=":material/folder_off:",
        )
    return found.state == "present"


def show_sizes(source: engine.data.Source) -> None:
    """What is known before anything is read."""
    channels, height, width = source.sample_shape
    need = engine.describe.memory_needed(source, engine.DataConfig())
    with st.grid(5, min_column_width=165):
        for label, value, note in (
            ("Training images", formats.count(source.num_train), "validation included"),
            ("Test images", formats.count(source.num_test), "for scores alone"),
            ("Classes", formats.count(len(source.class_names)), "one label an image"),
            ("Image", f"{height} × {width}", "grey" if channels == 1 else "colour"),
            ("Memory", formats.num_bytes(need.held), f"{formats.num_bytes(need.peak)} while reading"),
        ):
            st.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch")


@st.cache_data(max_entries=24, show_spinner=False)
def samples_png(_splits: engine.data.Splits, fingerprint: str, per_class: int, draw: int, theme: str) -> bytes:
    """A grid of random training images, a column a class where there are few classes."""
    images, names = figures.class_samples(_splits, per_class, seed=draw)
    return figures.grid_png(images, names, theme=theme)


@st.cache_data(max_entries=12, show_spinner=False)
def preparation_pngs(_splits: engine.data.Splits, fingerprint: str) -> list[tuple[str, bytes]]:
    """The rows of the before-and-after picture."""
    return [
        (name, figures.grid_png(images, columns=len(images), width=1000))
        for name, images in figures.prepared_rows(_splits)
    ]


def show_contents(source: engine.data.Source, splits: engine.data.Splits) -> None:
    """Samples, class balance and statistics of a source that is read."""
    left, right = st.columns([1, 1], gap="medium")
    with left, st.container(border=True, height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader("Samples", anchor=False)
            if st.button("Draw others", icon=":material/casino:", type="tertiary", key="draw others"):
                st.session_state["sample draw"] = st.session_state.get("sample draw", 0) + 1
        few = len(source.class_names) <= 12
        picture = samples_png(
            splits, splits.fingerprint, 5 if few else 1, st.session_state.get("sample draw", 0), services.theme()
        )
        st.image(picture, width="stretch", alt=f"Random training images of {source.title}, class names beside them")
        st.caption("Five random training images a class." if few else "One random training image a class.")
        mean, std = engine.describe.channel_statistics(splits)
        names = ["grey"] if len(mean) == 1 else ["red", "green", "blue"]
        st.table(
            {"Channel": names, "Mean": [formats.number(float(value)) for value in mean], "Deviation": [formats.number(float(value)) for value in std]},
            border="horizontal", hide_index=True, alt="Mean and deviation of the training pixels in each channel",
        )  # fmt: skip
        st.caption(
            f"Of training pixels scaled to 0 … 1. On disk: {formats.num_bytes(engine.describe.bytes_on_disk(source, engine.data_root()))}."
        )
    with right, st.container(border=True, height="stretch"):
        st.subheader("Images a class", anchor=False)
        counts = engine.describe.class_counts(splits)
        st.plotly_chart(
            figures.class_counts(counts, splits.spec.class_names),
            key=f"classes {source.key}",
            config=live.QUIET,
            alt="Number of images of each class in train, validation and test",
        )
        train = counts["train"]
        st.caption(
            f"{formats.count(int(train.sum()))} to train on, {formats.count(int(counts['validation'].sum()))} to choose with, {formats.count(int(counts['test'].sum()))} to test on. "
            f"The smallest class has {formats.count(int(train.min()))} training images, the largest {formats.count(int(train.max()))}."
        )


def show_preparation(source: engine.data.Source) -> None:
    """The choices of preparation with the same images before and after."""
    st.header("Preparation", anchor=False)
    st.caption(
        "What is done to the images before anything is trained on them. All that is fitted is fitted on the training part alone."
    )
    answers: dict = {}
    fields = forms.entries(engine.DataConfig, {})
    forms.ask(fields, f"preparation/{source.key}", answers)
    config = engine.checked(engine.DataConfig, forms.nested(answers), "Preparation")
    wanted = config.model_dump_json()
    need = engine.describe.memory_needed(source, config)
    is_small = math.prod(source.sample_shape) * source.num_train < 1e6
    if (
        not is_small
        and wanted != engine.DataConfig().model_dump_json()
        and st.session_state.get("prepared") != (source.key, wanted)
    ):
        st.caption(
            f"This takes {formats.num_bytes(need.peak)} of memory while it is made, {formats.num_bytes(need.held)} after."
        )
        if not st.button("Show what it does", icon=":material/visibility:", key="show preparation"):
            return
        st.session_state["prepared"] = (source.key, wanted)
    splits = services.splits(source.key, wanted, str(engine.data_root()))
    for name, picture in preparation_pngs(splits, splits.fingerprint):
        st.caption(f"**{name}**")
        st.image(picture, width=720, alt=f"{name}: one training image of each of the first classes")
    if st.button("Distil with this preparation", icon=":material/science:", key="distil prepared"):
        st.session_state.setdefault("preparation", {})[source.key] = {
            field.name: answers[field.path] for field in forms.changed(fields, answers)
        }
        st.switch_page("pages/distill.py", query_params={"source": source.key})


with services.said_plainly():
    st.title("Data", anchor=False)
    source = choose()
    st.markdown(f"{words.escaped(source.summary)} Source: {words.escaped(source.origin)}.")
    show_sizes(source)
    if show_availability(source):
        splits = services.splits(source.key, engine.DataConfig().model_dump_json(), str(engine.data_root()))
        show_contents(source, splits)
        show_preparation(source)
