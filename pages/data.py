"""Data: choose a source, look at it, and see what preparation does to its images."""

import math

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import forms, frame, imported, intake, live, price_intake, prices, services, words

frame.ensure()


MANY = 8
"""Data sets from which on they are chosen from a list."""
KINDS = {"images": ("Images", ":material/image:"), "prices": ("Prices", ":material/candlestick_chart:")}
"""What somebody can bring, what that is called, and its icon."""


def choose() -> engine.data.Source:
    """The source to look at, with what it is."""
    found = services.sources()
    keys = list(found)
    wanted = st.query_params.get("source", "")
    if wanted and wanted not in keys:  # deleted, or an address of another installation
        st.query_params.clear()
    start = wanted if wanted in keys else keys[0]
    titles = "/".join(source.title for source in found.values())
    key = f"data source {wanted} {titles}"  # a widget drawn before a renaming would go on showing the old name
    if len(keys) > MANY:
        chosen = st.selectbox(
            "Data set",
            keys,
            index=keys.index(start),
            format_func=engine.titles.source,
            key=key,
            persist_state="session",
        )
    else:
        chosen = st.segmented_control(
            "Data set", keys, default=start, required=True, wrap=True, key=key, persist_state="session",
            format_func=lambda key: words.escaped(engine.titles.source(key)),
        )  # fmt: skip
    return found[chosen if chosen in found else start]


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
    """A grid of random training images: a row a class where there are very few classes, a column a class for some more."""
    images, names = figures.class_samples(_splits, per_class, seed=draw)
    return figures.grid_png(images, names, columns=per_class if len(set(names)) <= 5 else 0, theme=theme)


@st.cache_data(max_entries=12, show_spinner=False)
def preparation_pngs(_splits: engine.data.Splits, fingerprint: str) -> list[tuple[str, bytes]]:
    """The rows of the before-and-after picture."""
    return [
        (name, figures.grid_png(images, columns=len(images), width=1000))
        for name, images in figures.prepared_rows(_splits)
    ]


def sample_caption(num_classes: int, per_class: int) -> str:
    """How many images the grid of samples shows of which classes."""
    if per_class > 1:
        return f"Up to {per_class} random training images a class."
    first = f" of each of the first {figures.MAX_IMAGES} classes" if num_classes > figures.MAX_IMAGES else " a class"
    return f"One random training image{first}."


def show_contents(source: engine.data.Source, splits: engine.data.Splits) -> None:
    """Samples, class balance and statistics of a source that is read."""
    left, right = st.columns([1, 1], gap="medium")
    with left, st.container(border=True, height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader("Samples", anchor=False)
            if st.button("Draw others", icon=":material/casino:", type="tertiary", key="draw others"):
                st.session_state["sample draw"] = st.session_state.get("sample draw", 0) + 1
        num_classes = len(source.class_names)
        per_class = 8 if num_classes <= 5 else 5 if num_classes <= 12 else 1
        fewest = int(engine.describe.class_counts(splits)["train"].min())
        if fewest >= 3:
            per_class = min(per_class, fewest)  # as many of each class, so that a row or a column is a class
        picture = samples_png(
            splits, splits.fingerprint, per_class, st.session_state.get("sample draw", 0), services.theme()
        )
        st.image(picture, width="stretch", alt=f"Random training images of {source.title}, class names beside them")
        st.caption(sample_caption(num_classes, per_class))
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
    fields = forms.fitting(forms.entries(engine.DataConfig, {}), source)
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
        frame.go_to("distill", {"source": source.key})


def look(source: engine.data.Source) -> None:
    """A source as it is: sizes, contents, preparation, and what an imported one came from."""
    if source.kind == "prices":
        prices.look(source)
        return
    is_imported = isinstance(source, engine.images.FolderSource)
    st.markdown(f"{words.escaped(source.summary)} Source: {words.escaped(source.origin)}.")
    if is_imported:
        imported.show_actions(source)
    show_sizes(source)
    if is_imported:
        imported.show_warnings(source)
    if show_availability(source):
        splits = services.splits(source.key, engine.DataConfig().model_dump_json(), str(engine.data_root()))
        show_contents(source, splits)
        if is_imported:
            imported.show_files(source)
        show_preparation(source)


def close_panel(source: str = "") -> None:
    """Back to looking at a data set."""
    st.query_params.from_dict({"source": source} if source else {})
    st.rerun()


def panel(title: str, source: str = "") -> None:
    """The head of a panel that stands in the page's place, with the way out of it."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header(title, anchor=False)
        if st.button("Back", icon=":material/arrow_back:", key="close panel"):
            close_panel(source)


def add() -> None:
    """The panel that takes new data."""
    panel("Add your own data")
    kind = st.segmented_control(
        "What it is", list(KINDS), default="images", required=True, key="import kind",
        format_func=lambda kind: f"{KINDS[kind][1]} {KINDS[kind][0]}",
    )  # fmt: skip
    arrived = price_intake.panel() if kind == "prices" else intake.panel()
    if arrived:
        st.session_state["arrived"] = arrived
        close_panel(arrived)


def make_again(source: engine.data.Source) -> None:
    """The panel that makes a data set of the same files with other options."""
    panel(f"{words.escaped(source.title)} at another size", source.key)
    st.markdown("The same files as another data set. The one you have stays as it is.")
    arrived = intake.again(source)
    if arrived:
        st.session_state["arrived"] = arrived
        close_panel(arrived)


def greet(source: engine.data.Source) -> None:
    """What just came in, said once."""
    if st.session_state.pop("arrived", "") != source.key:
        return
    if source.kind == "prices":
        prices.greet(source)
        return
    skipped = len(source.report.skipped)
    left_out = f" {formats.counted(skipped, 'file was', 'files were')} skipped; see below." if skipped else ""
    st.success(
        f"{words.escaped(source.title)} is here: {formats.counted(source.num_train + source.num_test, 'image')} of "
        f"{formats.counted(len(source.class_names), 'class', 'classes')}.{left_out}",
        icon=":material/check_circle:",
    )


with services.said_plainly():
    st.title("Data", anchor=False)
    again = services.sources().get(st.query_params.get("source", "")) if "again" in st.query_params else None
    if "add" in st.query_params:
        add()
    elif again is not None and isinstance(again, engine.images.FolderSource):
        make_again(again)
    else:
        with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
            source = choose()
            if st.button("Add your own", icon=":material/add:", key="add data"):
                st.query_params.from_dict({"add": "1"})
                st.rerun()
        greet(source)
        look(source)
