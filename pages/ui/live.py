"""The view of one run: what it is, how far, how good, better than what, what it looks like, what can be done."""

from collections.abc import Callable, Sequence

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.figures.curves import Line
from engine.results import Run, followed, shared
from engine.results.sections import Metric
from pages.ui import downloads, glossary, heading, pictures, progress, sections, services, sets, words

FAST, SLOW = 2.0, 8.0
"""Seconds between refreshes of what moves, and of the tabs below."""
RESULT, CURVES = "Result", "Curves"


def show(run_id: str) -> None:
    """The whole view. Its moving parts refresh by themselves while the run is queued or running."""
    row = services.store().run(run_id)
    is_live = row.is_active
    heading.show(row)
    with st.container():  # so that what follows keeps its place when a run ends, and is not there twice for a moment
        heading.state(row)
        for message in services.store().warnings(run_id):
            st.warning(words.escaped(message), icon=":material/warning:")
    st.fragment(_moving, run_every=FAST if is_live else None)(run_id, row.status)
    st.fragment(_tabs, run_every=SLOW if is_live else None)(run_id, row.status)
    if services.store().result(run_id):
        st.subheader("Downloads", anchor=False)
        downloads.show(row)
    _settings(row)


# ---- what moves: progress, figures of merit, loss and pictures ----


@services.said_plainly()
def _moving(run_id: str, status_drawn: str) -> None:
    """Progress, figures of merit, loss and pictures: what is refreshed every moment."""
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
        st.caption(f"The loss curve and the {samples} appear here with the first outer steps.")


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
    """Bytes of the set and how many times the full data that is; as planned where it is not known yet."""
    planned, full = planned_storage(row)
    storage, compression = row.summary.get("num_bytes", planned), row.summary.get("compression")
    if compression is None and storage and full:
        compression = full / storage
    note = "of this set" if compression is None else f"{formats.ratio(compression)} of the full data"
    return Metric("Storage", formats.num_bytes(storage), note, kind.counted)


def planned_storage(row: engine.RunRow) -> tuple[int | None, int | None]:
    """Bytes a run's synthetic set will take, and those of its training set; None if unknown."""
    source = engine.sources().get(row.source)
    size = engine.results.names.planned_size(row, source)
    if source is None or size is None:
        return None, None
    kind, data = engine.kind_of(row.method), row.request.data
    train = row.facts.get("train", kind.planned_train(source, data))  # as the page Distil says
    return size.num_bytes, kind.full_bytes(engine.data.task_of(source, data), train)


def _distilling(run: Run, steps: list[int]) -> None:
    """The loss beside the pictures; above them where they need the width of the page, beside the validation curve."""
    row, look = run.row, sets.look(run.row)
    if row.loaded_from:
        with st.container(width="stretch" if look.is_wide else 640):
            _pictures(row, steps)
        return
    left, right = st.columns(2 if look.is_wide else [3, 2], gap="medium")
    with left, st.container(border=True, height="stretch"):
        _loss(run)
    if look.is_wide:
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
            st.caption(f"The {engine.kind_of(run.row.method).samples} appear here when the data have been read.")


def _loss(run: Run) -> None:
    run_id, method = run.row.id, engine.METHODS.get(run.row.method)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        terms = glossary.explained("outer step", "inner step", "student", "retention")
        st.subheader("Outer loss", anchor=False, help=terms)
        log = st.toggle("Log scale", key=f"log {run_id}", persist_state="session")
    if "outer_loss" not in run.series:
        st.caption("No step has been measured.")
        return
    place, key = st.container(), f"smoothing {run_id}"
    about = "The bold line averages over about this many outer steps; the faint one is each step."
    span = st.slider("Smoothing (steps)", 1, 200, 25, key=key, persist_state="session", help=about)
    axis = method.outer_loss if method else ""
    figure = figures.curve("outer_loss", run.series, span=span, log=log, height=300, axis=axis)
    alt = "Outer loss over the outer steps, each step faint, smoothed in full colour"
    with place:
        sections.show_chart(figure, f"loss {run_id}", alt)


def _validation(run: Run) -> None:
    """The validation score over the outer steps, beside that of random real data."""
    name = engine.kind_of(run.row.method).validated
    chart = figures.chart_of(name)
    st.subheader(chart.title, anchor=False)
    if name not in run.series:
        st.caption("Students are scored on validation data at regular intervals; the first score appears here.")
        return
    figure = figures.curve(name, run.series, height=300, reference=_reference(run, name))
    alt = f"{chart.title} over the outer steps, with that of random real data of the same size"
    sections.show_chart(figure, f"validation {run.row.id}", alt)


def _reference(run: Run, name: str) -> tuple[str, float] | None:
    """Random real data of the same size, as a line in the chart of the validation score."""
    real = engine.baseline(run.scores)
    is_judged = name == engine.kind_of(run.row.method).validated
    return (shared.RANDOM.lower(), real.mean) if is_judged and real is not None else None


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
    # of another key when the run ends, so that the tab chosen while it worked is not kept
    key = f"tabs {run_id} {'ended' if is_over else 'at work'}"
    first = RESULT if is_over or CURVES not in tabs else CURVES
    for draw, tab in zip(tabs.values(), st.tabs(list(tabs), default=first, key=key), strict=True):
        with tab:
            draw()


def _drawers(run: Run) -> dict[str, Callable[[], None]]:
    """What draws each tab, by its title."""
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
    series: dict[str, Line] = dict(run.series)
    with st.grid(2 if len(names) in (2, 4) else 3, min_column_width=300):
        for name in names:
            chart, log = figures.chart_of(name), figures.spans_decades(series[name].values)
            figure = figures.curve(name, series, span=25, log=log, height=220, reference=_reference(run, name))
            alt = f"{chart.title} over the outer steps"
            with st.container(border=True):
                st.markdown(f"**{words.escaped(chart.title)}**")
                sections.show_chart(figure, f"chart {name} {run.row.id}", alt)


def _settings(row: engine.RunRow) -> None:
    """The request, as the command line and Python take it."""
    with st.expander("Settings of this run", icon=":material/list_alt:"):
        st.caption("Save this request as REQUEST.json; `distillery distill REQUEST.json` then gives the same result.")
        st.code(row.request.model_dump_json(indent=2), language="json")
