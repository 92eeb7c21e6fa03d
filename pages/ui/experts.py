"""Experts, the networks that trajectory matching follows: their curves, what they need on disk, and what is recorded."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import streamlit as st

import engine
from engine import figures
from engine.core.events import ExpertEpoch
from engine.figures import formats
from pages.ui import kept, services, words
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


# ---------------------------------------------------------------------------------------------- before a start


def need(config: engine.MethodConfig, spec: object, answer: object) -> None:
    """One line on how many experts a run needs, how many are recorded, and what the others take."""
    planned = engine.experts.plan(config, spec)
    if planned is None:
        return
    if isinstance(answer, engine.Estimate) and answer.num_experts:
        text = _need_known(answer)
    else:
        total = formats.counted(planned.num_networks, "expert")
        text = f"**{total}** to follow, {formats.num_bytes(planned.num_bytes)} on disk; those that are recorded already are used again."
    st.markdown(text, help="Networks trained on the real data, whose weights are kept after every epoch. Runs with the same data, student and expert settings share them.")  # fmt: skip


def _need_known(found: engine.Estimate) -> str:
    """The same where the trial has looked what is recorded."""
    total, missing = formats.counted(found.num_experts, "expert"), found.num_experts - found.num_recorded
    if not missing:
        return f"All **{total}** are recorded already."
    there, which = "", "The"
    if found.num_recorded:
        there, which = f"{found.num_recorded} of {total} {_are(found.num_recorded)} recorded already; ", "the other"
    takes = "takes" if missing == 1 else "take"
    time = f" and about {formats.duration(found.seconds_recording)}" if found.seconds_recording else ""
    return f"{there}{which} **{formats.counted(missing, 'expert')}** {takes} {formats.num_bytes(found.expert_bytes)}{time}."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def record_request(request: engine.RunRequest) -> engine.RunRequest:
    """The request that only records the experts of another one."""
    return request.model_copy(update={"action": "record", "start": "", "sweep": ""})


# ---------------------------------------------------------------------------------------------- on disk


def on_disk() -> None:
    """What is recorded, and the way to delete it."""
    cache_root = services.store().root / "cache"
    found = engine.experts.list_buffers(cache_root)
    if not found:
        st.caption("No experts are recorded. Runs of trajectory matching record them and use them again.")
        return
    total = sum(info.num_bytes for info in found)
    st.caption(
        f"{formats.counted(len(found), 'recording')}, {formats.num_bytes(total)}. Runs with the same data, student and expert settings use them again."
    )
    for info in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{words.escaped(engine.titles.source(info.source))}** · {words.escaped(engine.titles.architecture(info.student))}  \n"
                f":small[{_described(info)}]",
                width="content",
            )
            if st.button("Delete", icon=":material/delete:", key=f"delete experts {info.digest}"):
                delete(info)


def _described(info: object) -> str:
    accuracy = f"{formats.percent(info.accuracy)} validation · " if info.num_experts else ""
    return words.escaped(
        f"{formats.counted(info.num_experts, 'expert')} of {formats.counted(info.num_epochs, 'epoch')} · {accuracy}"
        f"{formats.num_bytes(info.num_bytes)} · {info.digest}"
    )


@st.dialog("Delete experts?", icon=":material/delete:")
def delete(info: object) -> None:
    """Ask once, then remove a recording."""
    kept.confirm(
        "experts", "experts", "them",
        f"{formats.counted(info.num_experts, 'expert')} for {words.escaped(engine.titles.source(info.source))}, "
        f"{formats.num_bytes(info.num_bytes)}. Results that followed them stay as they are; a new run records experts anew.",
        lambda: engine.experts.delete_buffer(services.store().root / "cache", info.digest),
    )  # fmt: skip
