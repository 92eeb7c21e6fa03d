"""The teacher of self-supervised distillation: how it learned, what it takes before a start, and what is kept on disk."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.core.events import TeacherEpoch
from engine.figures import formats
from pages.ui import kept, services, words
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


# ---------------------------------------------------------------------------------------------- before a start


def need(answer: object) -> None:
    """One line on the teacher a run needs: whether it is there, and else what it takes."""
    if isinstance(answer, engine.Estimate) and answer.num_experts:
        text = _need_known(answer)
    else:
        text = "A **teacher** comes first; where one of the same data and settings was trained, it is used again."
    st.markdown(text, help="A network trained on the images alone. Runs with the same data and teacher settings share it.")  # fmt: skip


def _need_known(found: engine.Estimate) -> str:
    """The same where the trial has looked what is there."""
    if found.num_recorded >= found.num_experts:
        return "The **teacher** is there already."
    time = f" and about {formats.duration(found.seconds_recording)}" if found.seconds_recording else ""
    return f"The **teacher** comes first; it takes {formats.num_bytes(found.expert_bytes)}{time}."


# ---------------------------------------------------------------------------------------------- on disk


def on_disk() -> None:
    """Teachers that are kept, and the way to delete one."""
    found = engine.teachers.list_teachers(services.store().root / "cache")
    if not found:
        st.caption("No teacher is kept. Runs of self-supervised distillation train one and use it again.")
        return
    total = sum(info.num_bytes for info in found)
    st.caption(
        f"{formats.counted(len(found), 'teacher')}, {formats.num_bytes(total)}. Runs with the same data and teacher settings use them again."
    )
    for info in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{words.escaped(engine.titles.source(info.source))}** · {words.escaped(info.title)}  \n:small[{_described(info)}]",
                width="content",
            )
            if st.button("Delete", icon=":material/delete:", key=f"delete teacher {info.digest}"):
                delete(info)


def _described(info: object) -> str:
    trained = f"{info.epochs_done} of " if info.epochs_done < info.num_epochs else ""
    facts = [f"{trained}{formats.counted(info.num_epochs, 'epoch')}" if info.num_epochs else "not trained here"]
    if info.probe_accuracy is not None:
        facts.append(f"{formats.percent(info.probe_accuracy)} linear probe, validation")
    return words.escaped(" · ".join([*facts, formats.num_bytes(info.num_bytes), info.digest]))


@st.dialog("Delete teacher?", icon=":material/delete:")
def delete(info: object) -> None:
    """Ask once, then remove a teacher."""
    kept.confirm(
        "teacher", "teacher", "it",
        f"The teacher of {words.escaped(engine.titles.source(info.source))}, {formats.num_bytes(info.num_bytes)}. "
        "Results made with it stay as they are; a new run, or another evaluation, trains a teacher anew.",
        lambda: engine.teachers.delete_teacher(services.store().root / "cache", info.digest),
    )  # fmt: skip
