"""Results without labels: images with a teacher's representations, the bases they are sums of, and what a network learns from them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import pictures, services, words
from pages.ui.pictures import QUIET

IMAGES, BASES, RECONSTRUCTION = "Images", "Bases", "Reconstruction"
NOTES = {
    BASES: "All distilled images are sums of these pictures, each with weights of its own. Grey is nothing, brighter adds, darker takes away.",
    RECONSTRUCTION: "Real images that the distilled ones began as, what the bases made of them before the first step, and what they have become.",
}
"""What a way to look at the set shows, in a sentence."""
WHOLE_NOTE = "Real images that the distilled ones began as, and what they have become."
"""The same of images that are stored whole."""


def ways(row: engine.RunRow, steps: Sequence[int]) -> list[str]:
    """The ways there are to look at a set without labels: bases where it has some, what it began as where that was kept."""
    began = pictures.view_names(row.id, row.created, steps[0])
    return [IMAGES, *([BASES] if pictures.has_bases(row) else []), *([RECONSTRUCTION] if "real" in began else [])]


def ask_way(row: engine.RunRow, steps: Sequence[int]) -> str:
    """The way that is chosen; nothing is asked where there is only one."""
    found = ways(row, steps)
    if len(found) < 2:
        return IMAGES
    return st.segmented_control(
        "Show", found, default=IMAGES, required=True, key=f"way {row.id} {len(found)}", label_visibility="collapsed"
    )


def show_picture(row: engine.RunRow, steps: Sequence[int], step: int, way: str, width: int = 640) -> bytes:
    """The set at one step, seen in one way, with what that shows; the picture."""
    theme = services.theme()
    if way == BASES:
        picture = pictures.bases_png(row.id, row.created, step, theme, width)
        count = pictures.view_names(row.id, row.created, step)["bases"]
        shown = min(count, figures.MAX_IMAGES)
        what = f"{f'The first {shown} of ' if shown < count else ''}{formats.counted(count, 'base')}"
        alt = f"The bases of the images of run {row.id} at step {step}"
    elif way == RECONSTRUCTION:
        picture = pictures.reconstruction_png(row.id, row.created, steps[0], step, theme, width)
        what, alt = "Real and distilled", f"Real images, and the distilled ones that began as them, at step {step}"
    else:
        picture = pictures.preview_png(row.id, row.created, step, theme, width)
        what, alt = "", pictures.alt(row, step)
    moment = pictures.caption(row, step)
    st.image(picture, caption=f"{what} · {moment}" if what else moment, width="stretch", alt=alt)
    if way != IMAGES:
        st.caption(NOTES[way] if pictures.has_bases(row) else WHOLE_NOTE)
    return picture


# ---------------------------------------------------------------------------------------------- analyses


def show_analyses(row: engine.RunRow, key: str = "") -> None:
    """Map, spectrum and errors of the approximation networks, as far as they are known. key: one a place of the page."""
    found = services.store().analyses(row.id)
    maps = [name for name in figures.MAPS if name in found]
    if not found:
        st.caption("A map of the representations and the spectrum of the bases appear here.")
        return
    others = [(draw, found[name]) for name, draw in OTHERS.items() if name in found]
    if not maps or not others:
        rest = st.grid(2, min_column_width=300)
    else:
        left, rest = st.columns(2, gap="small")
    if maps:
        with left if others else rest, st.container(border=True, height="stretch"):
            _map(row, found, maps, key)
    with rest:
        for draw, values in others:
            with st.container(border=True, height="content" if maps else "stretch"):
                draw(row, values, key)


def _map(row: engine.RunRow, found: dict, maps: Sequence[str], key: str) -> None:
    st.markdown("**Map of the representations**")
    name = maps[0]
    if len(maps) > 1:
        name = st.segmented_control(
            "Laid out by",
            maps,
            default=maps[0],
            required=True,
            format_func=figures.MAPS.get,
            key=f"{key}map way {row.id}",
        )
    st.plotly_chart(
        figures.representation_map(found[name]), key=f"{key}{name} {row.id}", config=QUIET,
        alt="Representations in two dimensions: real validation images as dots by class, distilled images as larger diamonds",
    )  # fmt: skip
    st.caption(
        "Dots: validation images as the teacher represents them, coloured by class. Diamonds: the distilled images' own representations. "
        "No class was used to make them."
    )


def _spectrum(row: engine.RunRow, values: dict, key: str) -> None:
    st.markdown("**Spectrum of the principal components**")
    st.plotly_chart(
        figures.spectrum(values), key=f"{key}spectrum {row.id}", config=QUIET,
        alt="Share of the variance that the first bases of images and of representations explain together",
    )  # fmt: skip
    parts = []
    for name, used in values.get("used", {}).items():
        shares = values.get(name, ())
        if 0 < used <= len(shares):
            parts.append(f"{formats.percent(sum(shares[:used]))} of the variance of the {name} by {used:,} bases")
    kept = f"The set began with {' and '.join(parts)}. " if parts else ""
    st.caption(f"{kept}Lines: the first bases together; dotted: each alone.")


def _approximation(row: engine.RunRow, values: dict, key: str) -> None:
    st.markdown("**Representations of augmented images**")
    st.plotly_chart(
        figures.approximation_errors(values), key=f"{key}approximation {row.id}", config=QUIET,
        alt="Relative error of the representations under each augmentation, with and without the approximation networks",
    )  # fmt: skip
    st.caption(
        "How far the stored representations are from the teacher's under each fixed change of the images. A small network a change "
        "predicts the shift it causes, in place of storing one for each image; without it, the unshifted ones would serve."
    )


OTHERS = {"spectrum": _spectrum, "approximation": _approximation}
"""Analyses beside a map, and what draws each."""

# ---------------------------------------------------------------------------------------------- the comparison


def verdict(scores: Sequence[engine.Scored], student: str) -> str:
    """The outcome in one sentence: a network pre-trained on the set against others, each frozen and probed linearly."""
    parts = [f"{said} **{share}**" for said, share in figures.outcomes(engine.best_by_arm(scores, student))]
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]} of test images right." if parts else "No score has been measured yet."


def show_transfer(row: engine.RunRow, rows: Sequence[engine.Row]) -> None:
    """Linear probes of the same frozen networks on other data sets, a column each, where some were asked for.

    rows: of one architecture, every metric.
    """
    others = engine.transfers(rows)
    if not others:
        return
    own = {score.arm: score for score in engine.headlines(rows) if score.protocol == "linear_probe"}
    arms = [arm for arm in figures.ARM_NAMES if any(arm in found for found in others.values())]
    st.subheader("Transfer", anchor=False)
    columns = {"Pre-trained on": [figures.arm_name(arm) for arm in arms]}
    if row.source not in others:
        title = f"{words.escaped(engine.titles.source(row.source))}, its own"
        columns[title] = [_accuracy(own.get(arm)) for arm in arms]
    for source, found in others.items():
        columns[words.escaped(engine.titles.source(source))] = [_accuracy(found.get(arm)) for arm in arms]
    st.table(columns, border="horizontal", hide_index=True, alt="Linear probes on other data sets, a line an arm")
    st.caption(
        "Linear probe, test images of each data set. The networks stay as they were pre-trained; only a linear classifier is fitted to "
        "the other data set's training images."
    )


def show_likeness(rows: Sequence[engine.Row]) -> None:
    """How alike the representations of each arm and of the teacher are, where that was measured. rows: of one architecture."""
    found = engine.likeness(rows)
    if not found:
        return
    arms = [arm for arm in figures.ARM_NAMES if arm in found]
    st.subheader("Likeness to the teacher", anchor=False)
    columns = {"Pre-trained on": [figures.arm_name(arm) for arm in arms]}
    for metric, title in (("cosine", "Mean cosine"), ("cka", "Linear CKA")):
        columns[title] = [_likeness(found[arm].get(metric)) for arm in arms]
    st.table(
        columns, border="horizontal", hide_index=True, alt="Likeness of each arm's representations to the teacher's"
    )
    st.caption(
        "On test images. Cosine: between the network's representation and the teacher's, both centred; 1 is the same direction. "
        "CKA (Kornblith et al. 2019): whether they find the same images alike, whatever the axes; 1 is alike."
    )


def _accuracy(score: engine.Row | None) -> str:
    return formats.NOTHING if score is None else formats.percent_spread(score.mean, score.std, score.n)


def _likeness(score: engine.Row | None) -> str:
    return formats.NOTHING if score is None else formats.likeness(score.mean, score.std, score.n)
