"""Experts, the networks that trajectory matching follows: their curves, and how each of them ended."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.core.events import ExpertEpoch
from engine.figures import formats
from pages.ui import services, words
from pages.ui.pictures import QUIET

MATCHED = "matched_step"


def show(row: engine.RunRow, epochs: Sequence[ExpertEpoch], key: str = "experts") -> None:
    """The curve of every expert, and how each of them ended. key: of the widgets, one a place of the page."""
    with st.container(border=True):
        st.subheader("Experts", anchor=False)
        st.caption(
            "Networks trained on the real data, whose weights were kept after every epoch. The synthetic images are moved until "
            "a student trained on them comes where these networks went."
        )
        if not epochs:
            st.caption("The curves appear here with the first epochs." if row.status in ("queued", "running") else "No epoch was recorded.")  # fmt: skip
            return
        st.plotly_chart(
            figures.expert_curves(epochs), key=f"{key} {row.id}", config=QUIET,
            alt="Validation accuracy of each expert over its epochs, with the newest and the mean in full colour",
        )  # fmt: skip
        with st.expander("Each expert", icon=":material/table:", key=f"each of {key} {row.id}"):
            _table(epochs)
    for message in services.store().notes(row.id) if row.action == "record" else ():
        st.caption(f":material/info: {words.escaped(message)}")


def cards(row: engine.RunRow, epochs: Sequence[ExpertEpoch]) -> list[tuple[str, str, str]]:
    """Label, value and note of the figures of a run that only records."""
    curves = figures.by_expert(epochs)
    complete = [curve for curve in curves.values() if curve[-1].epoch == curve[-1].num_epochs]
    ends = [curve[-1].validation_accuracy for curve in complete]
    wanted = epochs[-1].num_experts if epochs else words.planned_experts(row)
    earlier = sum(curve[-1].cached for curve in complete)
    recorded = f"of {formats.count(wanted)}" + (f", {formats.count(earlier)} earlier" if earlier else "")
    spread = statistics.stdev(ends) if len(ends) > 1 else math.nan
    note = "at their last epoch" if ends else "none is complete yet"
    mean = formats.percent_spread(statistics.fmean(ends), spread, len(ends)) if ends else formats.NOTHING
    seconds = [point.seconds for point in epochs if point.epoch]
    pace = formats.duration(statistics.fmean(seconds)) if seconds else formats.NOTHING
    return [
        ("Experts recorded", formats.count(len(complete)), recorded),
        ("Accuracy, validation", mean, note),
        ("Weakest expert", formats.percent(min(ends)) if ends else formats.NOTHING, "validation"),
        ("An epoch", pace, "of one expert"),
        ("Time", formats.duration(row.seconds), "of work"),
    ]


def matched(row: engine.RunRow, series: dict) -> None:
    """The chosen steps of the student's path, for people who see them for the first time."""
    config = words.method_config(row)
    num_steps = getattr(config, "student_steps", 0)
    if MATCHED not in series or not num_steps:
        st.caption("The steps appear here once two outer steps are done.")
        return
    with st.container(border=True):
        st.markdown("**Step of the student nearest to the expert**")
        if getattr(config, "objective", "") == "mtt":
            st.caption(
                f"MTT always compares the last of the {formats.counted(num_steps, 'step')} that the student has. ATT would choose the nearest."
            )
        else:
            st.caption(
                f"The student has {formats.counted(num_steps, 'step')} on the synthetic images to come where the expert went. Each dot is the step "
                "that came nearest, and the images learn from the steps up to it. Dots well below the dashed line: fewer steps would "
                "do. Dots on the line: more steps might bring it nearer."
            )
        st.plotly_chart(
            figures.matched_steps(series[MATCHED], num_steps), key=f"matched {row.id}", config=QUIET,
            alt=f"The step nearest to the expert, of {num_steps}, at each outer step, with its running median",
        )  # fmt: skip


def _table(epochs: Sequence[ExpertEpoch]) -> None:
    curves = figures.by_expert(epochs)
    ends = {expert: curve[-1] for expert, curve in sorted(curves.items())}
    losses = {expert: formats.number(end.train_loss) for expert, end in ends.items()}
    columns = {
        "Expert": [str(expert + 1) for expert in ends],
        "Epochs": [f"{end.epoch} of {end.num_epochs}" for end in ends.values()],
        "Accuracy, validation": [formats.percent(end.validation_accuracy) for end in ends.values()],
        "Training loss": list(losses.values()),
        "Time": [formats.duration(sum(point.seconds for point in curves[expert])) for expert in ends],
        "Recorded": ["earlier" if end.cached else "by this run" for end in ends.values()],
    }
    st.dataframe(columns, hide_index=True, width="stretch", height=min(38 + 35 * len(ends), 420))
