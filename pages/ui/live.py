"""The view of one run: its state, scores, curves, pictures and downloads."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results import Run, followed
from engine.results.sections import Metric
from pages.ui import downloads, frame, glossary, heading, pictures, progress, sections, services, sets, words

FAST, SLOW = 2.0, 8.0
"""Seconds between refreshes of what moves, and of the tabs below."""
RESULT, CURVES = "Result", "Curves"


def show(run_id: str) -> None:
    """The whole view. Its moving parts refresh by themselves while the run is queued or running."""
    row = services.store().run(run_id)
    heading.show(row)
    with st.container():  # keeps the place of what follows when a run ends, so that it is not drawn twice for a moment
        heading.state(row)
        for message in services.store().warnings(run_id):
            st.warning(words.escaped(message), icon=":material/warning:")
    frame.refreshing(_moving, FAST if row.is_active else None)(run_id, row.status)
    frame.refreshing(_tabs, SLOW if row.is_active else None)(run_id, row.status)
    if services.store().result(run_id):
        st.subheader("Downloads", anchor=False)
        downloads.show(row)
    _settings(row)


# ---- what moves: progress, figures of merit, loss and pictures ----


@services.said_plainly()
def _moving(run_id: str, status_drawn: str) -> None:
    """Progress, figures of merit, loss and pictures: refreshed often."""
    services.spare_the_collector()
    store = services.store()
    row = store.run(run_id)
    if row.status != status_drawn:
        st.rerun()
    run = Run(row, store)
    with st.container():
        if row.status != "done":
            progress.bar(row)
    sections.show_metrics(_metrics(run))
    steps = store.previews(run_id)
    is_following = followed.has_begun(run) and "outer_loss" not in run.series
    if row.action == "record" or (is_following and row.action == "distill"):
        sections.show(followed.curves(run), f"followed {run_id}")
        _notes(row)
        return
    sections.show(engine.kind_of(row.method).verdict(run), f"verdict {run_id}")
    if row.action == "evaluate":
        _evaluation(run, steps)
    elif "outer_loss" in run.series or steps:
        _distilling(run, steps)
    elif row.is_active:
        samples = engine.kind_of(row.method).samples
        st.caption(f"The loss curve and the {samples} appear here after the first outer steps.")


def _metrics(run: Run) -> list[Metric]:
    row = run.row
    if row.action == "record":
        return followed.cards(run)
    kind = engine.kind_of(row.method)
    if row.loaded_from:
        count, step = row.summary.get("num_samples"), row.summary.get("step", row.total_steps)
        label, samples = f"Distilled {kind.samples}", formats.NOTHING if count is None else formats.count(count)
        return [Metric(label, samples, f"as after outer step {step:,}"), _storage(row, kind)]
    if run.is_compared:
        work = "of evaluation" if row.action == "evaluate" else formats.counted(row.step, "outer step")
        last = Metric("Time", formats.duration(row.seconds), work)
    else:
        memory = formats.num_bytes(row.memory_bytes) if row.memory_bytes else formats.NOTHING
        last = Metric("Memory", memory, "peak of this process")
    return [*kind.cards(run), _storage(row, kind), last]


def _storage(row: engine.RunRow, kind: engine.Kind) -> Metric:
    """Bytes of the set and its compression; as planned until they are known."""
    planned, full = planned_storage(row)
    storage, compression = row.summary.get("num_bytes", planned), row.summary.get("compression")
    if compression is None and storage and full:
        compression = full / storage
    note = "of this set" if compression is None else f"{formats.ratio(compression)} of the full data"
    return Metric("Storage", formats.num_bytes(storage), note, kind.counted)


def planned_storage(row: engine.RunRow) -> tuple[int | None, int | None]:
    """Bytes of a run's synthetic set and of its training set; None if unknown."""
    source = engine.sources().get(row.source)
    size = engine.results.names.planned_size(row, source)
    if source is None or size is None:
        return None, None
    kind, data = engine.kind_of(row.method), row.request.data
    train = row.facts.get("train", kind.planned_train(source, data))  # as the page Distil says
    return size.num_bytes, kind.full_bytes(engine.data.task_of(source, data), train)


def _distilling(run: Run, steps: list[int]) -> None:
    """The loss beside the pictures; wide pictures stand below the loss and the validation curve."""
    row, look = run.row, sets.look(run.row)
    if row.loaded_from:
        with st.container(width="stretch" if look.is_wide else 640):
            _pictures(row, steps)
        return
    is_alone = look.is_wide and not run.has_validation
    left, right = (st.container(), None) if is_alone else st.columns(2 if look.is_wide else [3, 2], gap="medium")
    with left, st.container(border=True, height="stretch"):
        _loss(run)
    if right is None:
        _pictures(row, steps)
    elif look.is_wide:
        with right, st.container(border=True, height="stretch"):
            _validation(run)
        _pictures(row, steps)
    else:
        with right:
            _pictures(row, steps)


def _pictures(row: engine.RunRow, steps: list[int]) -> None:
    with st.container(border=True, height="stretch"):
        st.subheader(pictures.name(row), anchor=False)
        if steps:
            sets.look(row).live(row, steps)
        _notes(row)


def _notes(row: engine.RunRow) -> None:
    for message in services.store().notes(row.id):
        st.caption(f":material/info: {words.escaped(message)}")


def _evaluation(run: Run, steps: list[int]) -> None:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        sections.show(engine.kind_of(run.row.method).charts(run), f"evaluated {run.row.id}")
    with right, st.container(border=True):
        st.subheader("What is evaluated", anchor=False)
        if steps:
            sets.look(run.row).few(run.row, steps[-1])
        else:
            st.caption(f"The {engine.kind_of(run.row.method).samples} appear here once the data is loaded.")


def _loss(run: Run) -> None:
    run_id, method = run.row.id, engine.METHODS.get(run.row.method)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        terms = "outer step", "inner step", "student", "retention", "gap closed", "balanced accuracy"
        st.subheader("Outer loss", anchor=False, help=glossary.explained(*terms))
        log = st.toggle("Log scale", key=f"log {run_id}", persist_state="session")
    if "outer_loss" not in run.series:
        st.caption("No steps yet.")
        return
    place, key = st.container(), f"smoothing {run_id}"
    about = "Outer steps that the bold line averages over; the faint line shows every step."
    span = st.slider("Smoothing (steps)", 1, 200, 25, key=key, persist_state="session", help=about)
    axis = method.outer_loss if method else ""
    with place:
        _curve(run, "outer_loss", f"loss {run_id}", span=span, log=log, height=300, axis=axis)


def _validation(run: Run) -> None:
    name = engine.kind_of(run.row.method).validated
    st.subheader(figures.chart_of(name).title, anchor=False)
    if name not in run.series:
        st.caption("Students are scored on validation data at regular intervals; the first score appears here.")
        return
    _curve(run, name, f"validation {run.row.id}", height=300)


def _curve(run: Run, name: str, key: str, **look: Any) -> None:
    """A quantity over the outer steps; a validation score beside those of random real data."""
    references = engine.kind_of(run.row.method).references(run, name)
    figure = figures.curve(name, run.series, references=references, **look)
    sections.show_chart(figure, key, f"{figures.chart_of(name).title} over the outer steps")


# ---- the tabs below ----


@services.said_plainly()
def _tabs(run_id: str, status_drawn: str) -> None:
    """Result, curves and findings, in a fixed order. A live run opens on its curves, a finished one on its result."""
    store = services.store()
    row = store.run(run_id)
    run = Run(row, store)
    if row.action == "record" or not (run.rows or run.series):
        return
    tabs = _drawers(run)
    is_over = bool(run.rows) and status_drawn not in ("queued", "running")
    # another key once the run has ended, so that the tab chosen before is not kept
    key = f"tabs {run_id} {'ended' if is_over else 'at work'}"
    first = RESULT if is_over or CURVES not in tabs else CURVES
    for draw, tab in zip(tabs.values(), st.tabs(list(tabs), default=first, key=key), strict=True):
        with tab:
            draw()


def _drawers(run: Run) -> dict[str, Callable[[], None]]:
    """The drawing function of each tab, by title."""
    row, kind = run.row, engine.kind_of(run.row.method)
    series = {name: line for name, line in run.series.items() if len(line.steps) > 1}
    beside = {"outer_loss", followed.MATCHED, *([kind.validated] if sets.look(row).is_wide else [])}
    names = [name for name in figures.chart_names(list(series)) if name not in beside]
    found: dict[str, Callable[[], None]] = {RESULT: lambda: _result(run)}
    if names:
        found[CURVES] = lambda: _charts(run, sorted(names, key=lambda name: name != kind.validated))
    if kind.findings_title and row.action == "distill":
        found[kind.findings_title] = lambda: sections.show(kind.findings(run), f"findings {row.id}")
    if followed.has_begun(run):
        if run.expert_epochs:
            found["Student's path"] = lambda: sections.show(followed.student_path(run), f"path {row.id}")
        found[followed.title(run)] = lambda: sections.show(followed.curves(run), f"followed below {row.id}")
    return found


def _result(run: Run) -> None:
    if run.rows:
        sections.show(engine.kind_of(run.row.method).measures(run), f"result {run.row.id}")
    elif run.row.is_active:
        st.caption("Scores appear here after the last outer step.")
    else:
        st.caption("This run ended before it was scored.")


def _charts(run: Run, names: Sequence[str]) -> None:
    with st.grid(2 if len(names) in (2, 4) else 3, min_column_width=300):
        for name in names:
            with st.container(border=True):
                st.markdown(f"**{words.escaped(figures.chart_of(name).title)}**")
                log = figures.spans_decades(run.series[name].values)
                _curve(run, name, f"chart {name} {run.row.id}", span=25, log=log, height=220)


def _settings(row: engine.RunRow) -> None:
    with st.expander("Settings of this run", icon=":material/list_alt:"):
        st.caption("Save this request as REQUEST.json; `distillery distill REQUEST.json` then gives the same result.")
        st.code(row.request.model_dump_json(indent=2), language="json")
