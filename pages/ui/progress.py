"""The progress of a run: one bar from its start to its end, and what it is doing."""

import streamlit as st

import engine
from engine.figures import formats

_DOING = {"prepare": "Preparing", "distil": "Distilling", "compare": "Comparing", "done": "Done"}


def bar(row: engine.RunRow) -> None:
    st.progress(row.outlook.share, text=text(row))


def text(row: engine.RunRow) -> str:
    """One line: what a run is doing, its progress, and the time left."""
    if row.status == "queued":
        return "Queued"
    parts = [part for part in (_counted(row), _phase(row)) if part]
    if row.status != "running":
        return " · ".join([*parts[:1], f"{formats.duration(row.seconds)} of work"])
    doing = "Recording" if row.action == "record" else _DOING[row.outlook.part]
    left = row.outlook.seconds_left
    return " · ".join([doing, *parts, *([f"{formats.about(left)} left"] if left is not None else [])])


def _counted(row: engine.RunRow) -> str:
    """How many epochs, outer steps or trainings of the current part are done."""
    is_recording = row.status == "running" and not row.step and 0 < row.epochs_done < row.epochs_total
    if row.epochs_total and (row.action == "record" or is_recording):
        epochs = formats.counted(row.epochs_total, "epoch")
        return f"{formats.count(row.epochs_done)} of {epochs} of the {engine.titles.recorded(row.method)}"
    if row.status == "running" and row.outlook.part == "compare":
        return f"{formats.count(row.phase_done)} of {formats.counted(row.phase_total, 'training')}"
    is_under_way = row.status != "running" or row.outlook.part == "distil"
    if row.total_steps and is_under_way:
        return f"outer step {formats.count(row.step)} of {formats.count(row.total_steps)}"
    return ""


def _phase(row: engine.RunRow) -> str:
    """The current phase, with its progress unless `_counted` has it."""
    if row.outlook.part == "compare" or not row.phase:
        return row.phase
    return f"{row.phase}, {formats.count(row.phase_done)} of {formats.count(row.phase_total)}"
