"""The teacher of self-supervised distillation: how it learned."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.core.events import TeacherEpoch
from engine.figures import formats
from pages.ui import services, words
from pages.ui.pictures import QUIET


def show(row: engine.RunRow, epochs: Sequence[TeacherEpoch], key: str = "teacher") -> None:
    """Its loss and the accuracy of its nearest neighbours over the epochs. key: of the widgets, one a place of the page."""
    with st.container(border=True):
        st.subheader("Teacher", anchor=False)
        st.caption(
            "A network trained on the images alone: two changed views of one image are to look alike to it. The distilled images "
            "pass on how it represents images. No label trains it; classes only measure how well its nearest neighbours agree."
        )
        if not epochs:
            st.caption("The curves appear here with the first epochs." if row.status in ("queued", "running") else "No epoch was trained.")  # fmt: skip
            return
        with st.grid(2, min_column_width=300):
            with st.container():
                st.markdown("**Nearest neighbours, validation**")
                st.plotly_chart(
                    figures.teacher_accuracy(epochs), key=f"{key} accuracy {row.id}", config=QUIET,
                    alt="Accuracy of the teacher's nearest neighbours on validation images over its epochs",
                )  # fmt: skip
            with st.container():
                st.markdown("**Loss**")
                st.plotly_chart(
                    figures.teacher_loss(epochs), key=f"{key} loss {row.id}", config=QUIET,
                    alt="Loss of the teacher over its epochs",
                )  # fmt: skip
        if all(point.cached for point in epochs):
            st.caption(":material/history: It was trained by an earlier run.")
    for message in services.store().notes(row.id) if row.action == "record" else ():
        st.caption(f":material/info: {words.escaped(message)}")


def cards(row: engine.RunRow, epochs: Sequence[TeacherEpoch]) -> list[tuple[str, str, str]]:
    """Label, value and note of the figures of a run that only trains a teacher."""
    trained = [point for point in epochs if point.train_loss is not None]
    loss = (formats.NOTHING, "no epoch yet")
    if trained:
        loss = formats.number(trained[-1].train_loss), f"from {formats.number(trained[0].train_loss)} in epoch 1"
    neighbours = (formats.NOTHING, "not measured yet")
    if epochs:
        before = f"{formats.percent(epochs[0].knn_accuracy)} before training"
        neighbours = formats.percent(epochs[-1].knn_accuracy), before if trained else "before training"
    pace = formats.duration(statistics.fmean(point.seconds for point in trained)) if trained else formats.NOTHING
    return [
        ("Loss", *loss),
        ("Neighbours, validation", *neighbours),
        ("Linear probe, test", *_probe(row)),
        ("An epoch", pace, "of training"),
        ("Time", formats.duration(row.seconds), "of work"),
    ]


def _probe(row: engine.RunRow) -> tuple[str, str]:
    rows = engine.headlines(engine.summarise(services.store().scores(row.id)))
    found = next((score for score in rows if (score.arm, score.protocol) == ("teacher", "linear_probe")), None)
    if found is None:
        return formats.NOTHING, "measured at the end" if row.status in ("queued", "running") else "not measured"
    return formats.percent(found.mean), "of a linear classifier"
