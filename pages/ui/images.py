"""A data set of images: sizes, samples, class balance, and what preparation does to the images."""

import math
from typing import cast

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results.sections import Metric
from pages.ui import imported, parts, sections, services, words

ImageSplits = engine.data.ImageSplits
MANY_VALUES = 1e6
"""Pixel values from which the preparation is shown only on request."""
FEW_CLASSES, SOME_CLASSES = 5, 12


def look(source: engine.Source) -> None:
    """Sizes, contents, preparation and, if it was imported, the files of a source."""
    own = source if isinstance(source, engine.images.FolderSource) else None
    st.markdown(f"{words.escaped(source.summary)} Source: {words.escaped(source.origin)}.")
    if own:
        imported.show_actions(own)
    _show_sizes(source)
    if own:
        imported.show_duplicates(own)
    if _is_present(source):
        _show_contents(source, _splits(source, engine.DataConfig()))
        if own:
            imported.show_files(own)
        _show_preparation(source)


def greeting(source: engine.images.FolderSource) -> str:
    """What an import brought, in one line."""
    skipped = len(source.report.skipped)
    left_out = f" {formats.counted(skipped, 'file was', 'files were')} skipped, see below." if skipped else ""
    images = formats.counted(source.num_train + source.num_test, "image")
    classes = formats.counted(len(source.class_names), "class", "classes")
    return f"{words.escaped(source.title)} is imported: {images} in {classes}.{left_out}"


def _splits(source: engine.Source, config: engine.DataConfig) -> ImageSplits:
    return cast(ImageSplits, services.splits(source.key, config.model_dump_json(), str(engine.data_root())))


def _is_present(source: engine.Source) -> bool:
    """Whether the files of a source are here; if not, the page says what to do."""
    found = source.availability(engine.data_root())
    if found.state == "downloadable":
        title = f"{words.escaped(source.title)} is not downloaded yet"
        st.info(words.escaped(found.message), title=title, icon=":material/download:")
        if st.button("Download", icon=":material/download:", type="primary", key=f"download {source.key}"):
            services.followed(source.load(engine.DataConfig(), engine.data_root()), st.empty())
            st.rerun()
    elif found.state == "missing":
        parts.missing(source, found.message)
    return found.state == "present"


def _show_sizes(source: engine.Source) -> None:
    channels, height, width = source.sample_shape
    need = engine.describe.memory_needed(source, engine.DataConfig())
    rows = [
        Metric("Training images", formats.count(source.num_train), "validation included"),
        Metric("Test images", formats.count(source.num_test), "only for scores"),
        Metric("Classes", formats.count(len(source.class_names)), "one label per image"),
        Metric("Image size", f"{height} × {width}", "grey" if channels == 1 else "colour"),
        Metric("Memory", formats.num_bytes(need.held), f"{formats.num_bytes(need.peak)} while loading"),
    ]
    sections.show_metrics(rows)


@st.cache_data(max_entries=24, show_spinner=False)
def _samples_png(_splits: ImageSplits, fingerprint: str, per_class: int, draw: int, theme: services.Theme) -> bytes:
    """A grid of random training images: one row per class if there are few classes, one column per class if not."""
    images, names = figures.class_samples(_splits, per_class, seed=draw)
    columns = per_class if len(set(names)) <= FEW_CLASSES else 0
    return figures.grid_png(images, names, columns=columns, theme=theme)


@st.cache_data(max_entries=12, show_spinner=False)
def _preparation_pngs(_splits: ImageSplits, fingerprint: str) -> list[tuple[str, bytes]]:
    """(title, picture) of each row of images before and after preparation."""
    rows = figures.prepared_rows(_splits)
    return [(name, figures.grid_png(images, columns=len(images), width=1000)) for name, images in rows]


def _show_contents(source: engine.Source, splits: ImageSplits) -> None:
    counts = engine.describe.class_counts(splits)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        _show_samples(source, splits, int(counts["train"].min()))
    with right, st.container(border=True, height="stretch"):
        st.subheader("Images per class", anchor=False)
        figure = figures.class_counts({part: each.tolist() for part, each in counts.items()}, splits.spec.class_names)
        alt = "Number of images of each class in the training, validation and test parts"
        sections.show_chart(figure, f"classes {source.key}", alt)
        totals = {part: formats.count(int(each.sum())) for part, each in counts.items()}
        least, most = (formats.count(int(end)) for end in (counts["train"].min(), counts["train"].max()))
        each = f"Every class has {least}" if least == most else f"Each class has {least} to {most}"
        parts_said = f"{totals['train']} training, {totals['validation']} validation and {totals['test']} test images"
        st.caption(f"{parts_said}. {each} training images.")


def _show_samples(source: engine.Source, splits: ImageSplits, fewest: int) -> None:
    draw = parts.draw("Samples")
    num_classes = len(source.class_names)
    per_class = 8 if num_classes <= FEW_CLASSES else 5 if num_classes <= SOME_CLASSES else 1
    if fewest >= 3:
        per_class = min(per_class, fewest)  # the same number per class, so that every row or column is one class
    picture = _samples_png(splits, splits.fingerprint, per_class, draw, services.theme())
    sections.image(picture, f"Random training images of {source.title} with their class names")
    if per_class > 1:
        st.caption(f"Up to {per_class} random training images per class.")
    elif num_classes > figures.MAX_IMAGES:
        st.caption(f"One random training image of each of the first {figures.MAX_IMAGES} classes.")
    else:
        st.caption("One random training image per class.")
    mean, std = engine.describe.channel_statistics(splits)
    table = {
        "Channel": ["grey"] if len(mean) == 1 else ["red", "green", "blue"],
        "Mean": [formats.number(float(value)) for value in mean],
        "Standard deviation": [formats.number(float(value)) for value in std],
    }
    alt = "Mean and standard deviation of the training pixels of each channel"
    st.table(table, border="horizontal", hide_index=True, alt=alt)
    on_disk = formats.num_bytes(engine.describe.bytes_on_disk(source, engine.data_root()))
    st.caption(f"Training pixels scaled to 0 … 1. Size on disk: {on_disk}.")


def _show_preparation(source: engine.Source) -> None:
    st.header("Preparation", anchor=False)
    st.caption("How images are prepared before training. Everything is fitted on the training part.")
    asked = parts.ask_preparation(source, "Preparation")
    config = asked[-1]
    is_cheap = math.prod(source.sample_shape) * source.num_train < MANY_VALUES or config == engine.DataConfig()
    need = engine.describe.memory_needed(source, config)
    cost = f"Takes {formats.num_bytes(need.peak)} of memory while computing, {formats.num_bytes(need.held)} afterwards."
    if not parts.may_show(source, config, is_cheap, cost, "Show the effect"):
        return
    splits = _splits(source, config)
    for name, picture in _preparation_pngs(splits, splits.fingerprint):
        st.caption(f"**{name}**")
        sections.image(picture, f"{name}: one training image of each of the first classes", width=720)
    parts.distil_prepared("Distil with this preparation", source, asked)
