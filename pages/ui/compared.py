"""The comparison of one run with real data, and of several runs with each other."""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

import engine
from engine import figures
from engine.results import Run, budget, looks, names, published, shared, together
from pages.ui import differences, downloads, pictures, sections, services, sets, words

MAX_OVERLAID = 12
"""Runs whose curves and images are shown together; more could not be told apart."""
ENDED = {"failed": "failed", "stopped": "was stopped", "interrupted": "was interrupted"}


# ---- one run ----


def show_one(row: engine.RunRow) -> None:
    """Everything about one run: the verdict in words, ratios, a chart and a table per architecture."""
    run, kind, key = Run(row, services.store()), engine.kind_of(row.method), f"compared {row.id}"
    st.header(words.escaped(names.run_title(row)), anchor=False)
    if not run.rows:
        st.info(_unscored(row), icon=":material/schedule:")
        if row.status == "done":
            _trained_on(row)
        return
    sections.show(kind.verdict(run), key)
    sections.show(kind.against_full(run), key)
    look = sets.look(row)
    chart, images = (st.container(), st.container()) if look.is_wide else st.columns([3, 2], gap="medium")
    with chart:
        sections.show(kind.scores(run), key)
    with images:
        _trained_on(row)
    sections.show(kind.measures(run), key)
    sections.show(budget.of_run(run), key)
    sections.show(kind.architectures(run), key)
    sections.show(kind.titled_findings(run), key)
    sections.show(published.beside([run]), key)
    downloads.show(row)
    sections.show(shared.recipes(run), key)


def _trained_on(row: engine.RunRow) -> None:
    if steps := services.store().previews(row.id):
        with st.container(border=True, height="stretch"):
            st.subheader("What it was trained on", anchor=False)
            sets.look(row).few(row, looks.result_step(row, steps))


def _unscored(row: engine.RunRow) -> str:
    if row.status == "done":
        return f"Run {row.id} has no scores. Evaluate it on its page to measure them."
    if row.status in ENDED:
        return f"Run {row.id} {ENDED[row.status]} before it was scored."
    return f"Run {row.id} has no scores yet. They are measured after its last outer step."


# ---- several runs ----


def show_together(rows: Sequence[engine.RunRow]) -> None:
    """Several runs side by side: scores, what they cost in bytes, curves, settings, sets."""
    runs = [Run(row, services.store()) for row in rows]
    sections.show(together.compared(runs), "together")
    if len(rows) > MAX_OVERLAID:
        st.caption(f"Curves and images of the first {MAX_OVERLAID} of these {len(rows)} runs.")
    shown = runs[:MAX_OVERLAID]
    _show_curves(shown)
    with st.container(border=True):
        differences.show([run.row for run in shown])
    _show_sets([run.row for run in shown])


def _show_curves(runs: Sequence[Run]) -> None:
    known = figures.chart_names(list(dict.fromkeys(name for run in runs for name in run.series)))
    if not known:
        return
    against: dict[str, Literal["step", "seconds"]] = {"Outer steps": "step", "Time": "seconds"}
    with st.container(border=True):
        st.subheader("Curves", anchor=False)
        with st.grid(4, min_column_width=180, vertical_alignment="bottom"):
            titles = {each: figures.chart_of(each).title for each in known}
            name = st.selectbox("Quantity", known, format_func=lambda each: titles[each], key="compared quantity")
            look: dict[str, Any] = {"default": "Outer steps", "required": True, "key": "compared axis"}
            axis = st.segmented_control("Over", list(against), **look)
            span = st.slider("Smoothing (steps)", 1, 200, 25, key="compared smoothing")
            log = st.toggle("Log scale", key="compared log")
        drawn = [(names.short_name(run.row), run.series) for run in runs]
        figure = figures.overlay(name, drawn, against=against[axis], span=span, log=log)
        alt = f"{figures.chart_of(name).title} of the compared runs, a line each"
        sections.show_chart(figure, "overlay", alt)
        missing = [run.row.id for run in runs if name not in run.series]
        if missing:
            st.caption(f"Not measured by {', '.join(missing)}.")


def _show_sets(rows: Sequence[engine.RunRow]) -> None:
    """What each run distilled; images with their classes in the same order."""
    steps = {row.id: services.store().previews(row.id) for row in rows}
    shown = [(row, looks.result_step(row, steps[row.id])) for row in rows if steps[row.id]]
    if not shown:
        return
    is_wide = all(sets.look(row).is_wide for row, _ in shown)
    st.subheader(f"Distilled {'sequences' if is_wide else 'images'}", anchor=False)
    order = tuple(dict.fromkeys(services.store().preview(shown[0][0].id, shown[0][1]).labels))
    with st.container() if is_wide else st.grid(min(3, len(shown)), min_column_width=250):
        for row, step in shown:
            with st.container(border=True):
                label = words.escaped(names.short_name(row))
                st.page_link("pages/runs.py", label=label, query_params={"run": row.id})
                if is_wide:
                    sets.look(row).few(row, step)
                else:
                    pictures.show(row, step, width=640, classes=order, overlay=True)
