"""The view of one run: what it is, how far, how good, better than what, what it looks like, what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import (
    actions,
    candles,
    downloads,
    experts,
    forecasts,
    pictures,
    poster,
    representations,
    services,
    teacher,
    words,
)
from pages.ui.pictures import QUIET

_ACROSS = {6: 3, 7: 4}
"""Cards a row where rows of five would leave one or two alone."""
FAST, SLOW = 2.0, 8.0
"""Seconds between refreshes of what moves, and of the charts below."""
_FAILED = {"evaluate": "The evaluation failed", "record": "The recording failed"}
_KEPT = {"experts": "The experts recorded so far are safe", "teacher": "The teacher's epochs so far are safe"}
"""What an interrupted recording keeps, by what was recorded."""
_STOPPED = {
    "evaluate": "You stopped this evaluation. Start it again to measure all students.",
    "record": "You stopped this recording. The epochs recorded so far are kept; resume to record the others.",
}


def show(run_id: str) -> None:
    """The whole view. Its moving parts refresh by themselves while the run is queued or running."""
    row = services.store().run(run_id)
    is_live = row.status in ("queued", "running")
    _header(row)
    with st.container():  # so that what follows keeps its place when a run ends, and is not there twice for a moment
        _state(row)
        for message in services.store().warnings(run_id):
            st.warning(words.escaped(message), icon=":material/warning:")
    st.fragment(_moving, run_every=FAST if is_live else None)(run_id, row.status)
    st.fragment(_further_charts, run_every=SLOW if is_live else None)(run_id)
    if services.store().result(run_id):
        st.subheader("Take it home", anchor=False)
        downloads.show(row)
    _settings(row)


def badge(status: str, stop_requested: bool = False) -> None:
    """The state of a run as a coloured word with an icon."""
    name, colour, icon = words.STATES[status]
    st.badge("Stopping" if stop_requested and status == "running" else name, color=colour, icon=icon)


def _header(row: engine.RunRow) -> None:
    """Name, one line of facts, and what can be done in this state."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link("pages/runs.py", label="All runs", icon=":material/arrow_back:")
        badge(row.status, row.stop_requested)
    st.title(words.escaped(words.run_title(row)), anchor=False)
    facts = [
        f"run {row.id}",
        f"started {words.clock(row.started)}" if row.started else f"asked for {words.clock(row.created)}",
        words.student_name(row),
        engine.titles.settings(row.request),
        f"seed {row.seed}",
    ]
    if row.facts.get("device"):
        facts.append(str(row.facts["device"]).upper())
    st.caption(" · ".join(words.escaped(fact) for fact in facts))
    if row.start:
        _origin(row)
    if row.tags or row.sweep:
        tags_and_sweep(row)
    if row.note:
        st.markdown(words.escaped_lines(row.note))
    with st.container(horizontal=True, gap="small"):
        actions.show(row)


def tags_and_sweep(row: engine.RunRow) -> None:
    """A run's tags as badges, and the way to the sweep it is part of."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        for tag in row.tags:
            text = words.escaped(tag).replace(r"\[", "[").replace(r"\]", "]")  # a badge escapes brackets by itself
            st.badge(text, icon=":material/sell:", color="gray")
        if row.sweep:
            st.page_link(
                "pages/compare.py",
                label="Part of a sweep",
                icon=":material/linear_scale:",
                query_params={"sweep": row.sweep},
            )


def _origin(row: engine.RunRow) -> None:
    """The way to the run whose result this one evaluates or began from."""
    label = (
        f"Evaluates the result of run {row.start}"
        if row.action == "evaluate"
        else f"Began from the result of run {row.start}"
    )
    try:
        services.store().run(row.start)
    except engine.UserError:
        st.caption(f"{words.escaped(label)}, which was deleted.")
    else:
        st.page_link(
            "pages/runs.py", label=words.escaped(label), icon=":material/link:", query_params={"run": row.start}
        )


def _state(row: engine.RunRow) -> None:
    """A sentence where the run did not simply go on."""
    if row.status == "failed":
        where = _FAILED.get(row.action, f"The run failed at step {row.error_step:,}")
        st.error(words.escaped(row.error), title=where, icon=":material/error:")
        if row.details:
            with st.expander("Show details", icon=":material/code:"):
                st.code(row.details, language=None, wrap_lines=True)
    elif row.status == "interrupted":
        if row.action == "record":
            kept = f"{_KEPT[engine.titles.recorded(row.method)]}; resume to go on from there."
        elif row.checkpoint_step:
            kept = "What its last checkpoint holds is safe; resume to go on from there."
        else:
            kept = "It had kept no checkpoint yet; start it again."
        st.warning(
            f"The program ended while this run was working. {kept}",
            title="Interrupted",
            icon=":material/power_off:",
        )
    elif row.status == "stopped":
        after = (
            f"You stopped this run after {formats.counted(row.step, 'outer step')}. Resume to go on to the same result."
        )
        st.info(_STOPPED.get(row.action, after), icon=":material/stop_circle:")
    elif row.status == "queued":
        ahead = sum(
            other.status == "running" or (other.status == "queued" and other.created < row.created)
            for other in services.store().runs()
        )
        st.info(
            f"This run starts by itself when the {'run' if ahead == 1 else 'runs'} before it {'is' if ahead == 1 else 'are'} done."
            if ahead
            else "This run starts in a moment.",
            icon=":material/schedule:",
        )
    elif words.loaded_from(row):
        file = words.escaped(words.loaded_from(row))
        st.info(f"Loaded from {file}. Evaluate it again to measure it.", icon=":material/upload_file:")


@services.said_plainly()
def _moving(run_id: str, status_drawn: str) -> None:
    """Progress, figures, loss and images: what is refreshed every moment."""
    services.spare_the_collector()
    store = services.store()
    row = store.run(run_id)
    if row.status != status_drawn:
        st.rerun()
    with st.container():
        if row.status != "done":
            st.progress(words.progress_share(row), text=words.progress_text(row))
    series, scores = store.series(run_id), store.scores(run_id)
    followed, epochs = _followed(row)
    is_loaded = bool(words.loaded_from(row))
    if row.action == "record":
        cards = followed.cards(row, epochs)
    else:
        cards = _loaded_cards(row) if is_loaded else _cards(row, series, scores)
    with st.grid(_ACROSS.get(len(cards), 5), min_column_width=165):
        for label, value, note in cards:
            st.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch")
    steps = store.previews(run_id)
    if row.action == "record":
        followed.show(row, epochs)
        return
    if row.action == "evaluate":
        _evaluation(row, scores, steps)
        return
    if "outer_loss" not in series and epochs:
        followed.show(row, epochs)
        return
    if "outer_loss" not in series and not steps:
        if row.status in ("queued", "running"):
            what = "sequences" if words.is_forecast(row) else "images"
            st.caption(f"The loss curve and the {what} appear here with the first outer steps.")
        return
    if words.is_forecast(row):
        _forecast_run(row, series, scores, steps)
        return
    if is_loaded:
        right = st.container(width=640)
    else:
        left, right = st.columns([3, 2], gap="medium")
        with left, st.container(border=True, height="stretch"):
            _loss(row, series)
    with right, st.container(border=True, height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader("Poster" if pictures.is_poster(row) else "Synthetic images", anchor=False)
        if steps and not words.has_labels(row):
            way = representations.ask_way(row, steps)
            representations.show_picture(row, steps, pictures.shown_step(row, steps), way)
        elif steps:
            _picture(row, pictures.shown_step(row, steps))
        for message in store.notes(run_id):
            st.caption(f":material/info: {words.escaped(message)}")


def _forecast_run(row: engine.RunRow, series: dict, scores: Sequence, steps: list[int]) -> None:
    """Loss and skill side by side, below them the distilled sequences, whose candles need the width."""
    forecasts.show_verdict(row)
    if not words.loaded_from(row):
        left, right = st.columns(2, gap="medium")
        with left, st.container(border=True, height="stretch"):
            _loss(row, series)
        with right, st.container(border=True, height="stretch"):
            forecasts.show_validation(row, series, scores)
    with st.container(border=True):
        st.subheader("Distilled sequences", anchor=False)
        if steps:
            candles.show(row, steps)
        for message in services.store().notes(row.id):
            st.caption(f":material/info: {words.escaped(message)}")


def _followed(row: engine.RunRow) -> tuple[ModuleType, Sequence]:
    """What shows the networks that a run follows, experts or a teacher, and their epochs."""
    if engine.titles.recorded(row.method) == "teacher":
        return teacher, services.store().teacher_epochs(row.id)
    return experts, services.store().expert_epochs(row.id)


def _picture(row: engine.RunRow, step: int) -> None:
    """The synthetic set at one step."""
    if words.is_forecast(row):
        candles.show_few(row, step)
        return
    if pictures.is_poster(row):
        poster.show_live(row, step)
        return
    st.image(
        pictures.preview_png(row.id, row.created, step, services.theme(), 640),
        caption=pictures.caption(row, step), width="stretch", alt=pictures.alt(row, step),
    )  # fmt: skip


def _evaluation(row: engine.RunRow, scores: Sequence, steps: list[int]) -> None:
    """What an evaluation shows in place of a loss: the scores so far, a chart an architecture, and the images."""
    found = engine.headlines(engine.summarise(scores))
    students = list(dict.fromkeys([row_student(row), *(score.student for score in found)]))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        for student in students:
            with st.container(border=True):
                name = words.student_name(row) if student == row_student(row) else engine.titles.architecture(student)
                st.subheader(f"Test {words.judged_by(row)} of {words.escaped(name)}", anchor=False)
                mine = [score for score in found if score.student == student]
                if not mine:
                    st.caption("No student has been tested yet.")
                    continue
                st.plotly_chart(
                    figures.scores(mine, height=260), key=f"evaluated {row.id} {student}", config=QUIET,
                    alt=f"Test {words.judged_by(row)} of {name} on each arm under each protocol, with 95 % intervals",
                )  # fmt: skip
    with right, st.container(border=True):
        st.subheader("What is evaluated", anchor=False)
        if steps:
            _picture(row, steps[-1])
        else:
            what = "sequences" if words.is_forecast(row) else "images"
            st.caption(f"The {what} appear here when the data have been read.")


def _cards(row: engine.RunRow, series: dict, scores: Sequence) -> list[tuple[str, str, str]]:
    """Label, value and note of the figures of a run; the note is never empty, so that the cards are equally high."""
    best = engine.best_by_arm(scores, row_student(row))
    is_over = row.status == "done" or row.action == "evaluate"
    has_labels = words.has_labels(row)
    if words.is_forecast(row):
        first = forecasts.cards(row, series, scores)
    elif is_over:
        first = [
            _score_card("Distilled, test" if has_labels else "Distilled, linear probe", best.get("distilled")),
            _score_card("Random real, same size", best.get("random_real")),
            *([] if has_labels else [_score_card("Random initialisation", best.get("untrained"))]),
            *([_score_card("k-means real, same size", best["kmeans_real"])] if "kmeans_real" in best else []),
            _score_card("Full data", best.get("full")),
        ]
    else:
        judged = "Accuracy, validation" if has_labels else "Linear probe, validation"
        first = [_loss_card(series), _validation_card(judged, series, scores), _baseline_card(scores)]
    if is_over:
        work = "of evaluation" if row.action == "evaluate" else formats.counted(row.step, "outer step")
        last = ("Time", formats.duration(row.seconds), work)
    else:
        last = (
            "Memory",
            formats.num_bytes(row.memory_bytes) if row.memory_bytes else formats.NOTHING,
            "peak of this process",
        )
    return [*first, _storage_card(row), last]


def _loaded_cards(row: engine.RunRow) -> list[tuple[str, str, str]]:
    """What is known of a result that came as a file: nothing was measured here."""
    count, step = row.summary.get("num_samples"), row.summary.get("step", row.total_steps)
    label = "Distilled sequences" if words.is_forecast(row) else "Synthetic images"
    samples = formats.NOTHING if count is None else formats.count(count)
    return [(label, samples, f"as after outer step {step:,}"), _storage_card(row)]


def _storage_card(row: engine.RunRow) -> tuple[str, str, str]:
    """Bytes of the set and how many times the full data that is; as planned where it is not known yet."""
    planned, full = planned_storage(row)
    storage, compression = row.summary.get("num_bytes", planned), row.summary.get("compression")
    if compression is None and storage and full:
        compression = full / storage
    full_name = "all windows" if words.is_forecast(row) else "full data"  # a bar is in many windows
    note = "of this set" if compression is None else f"{formats.ratio(compression)} of {full_name}"
    return "Storage", formats.num_bytes(storage), note


def row_student(row: engine.RunRow) -> str:
    """The architecture the run distils for."""
    return words.student_config(row).name


def planned_storage(row: engine.RunRow) -> tuple[int | None, int | None]:
    """Bytes a run's synthetic set will take, and those of its training set; None if unknown."""
    source = services.sources().get(row.source)
    size = words.planned_size(row, source)
    if source is None or size is None:
        return None, None
    train = row.facts.get("train", words.planned_train(source, row.request.data))  # as the page Distil says
    return words.planned_storage(source, size, train, row.request.data)


def _score_card(label: str, found: object | None) -> tuple[str, str, str]:
    if found is None:
        return label, formats.NOTHING, "not measured"
    students = formats.counted(found.n, "student")
    return label, formats.percent(found.mean), f"± {100 * found.std:.1f}, {students}" if found.n > 1 else students


def _loss_card(series: dict) -> tuple[str, str, str]:
    loss = series.get("outer_loss")
    if loss is None or not len(loss.values):
        return "Outer loss", formats.NOTHING, "no step yet"
    window = max(1, min(50, len(loss.values) // 4))
    now, start = float(np.mean(loss.values[-window:])), float(np.mean(loss.values[:window]))
    return "Outer loss", formats.number(now), f"from {formats.number(start)} at the start"


def _validation_card(label: str, series: dict, scores: Sequence) -> tuple[str, str, str]:
    found, real = series.get("validation_accuracy"), engine.baseline(scores)
    if found is None or not len(found.values):
        return label, formats.NOTHING, "not measured yet"
    now = float(found.values[-1])
    note = f"at step {int(found.steps[-1]):,}"
    if real is not None:
        note = f"{abs(100 * (now - real.mean)):.1f} points {'better' if now >= real.mean else 'worse'}"
    return label, formats.percent(now), note


def _baseline_card(scores: Sequence) -> tuple[str, str, str]:
    found = engine.baseline(scores)
    if found is None:
        return "Random real, same size", formats.NOTHING, "not measured yet"
    return "Random real, same size", formats.percent(found.mean), f"validation, {formats.counted(found.n, 'student')}"


def _loss(row: engine.RunRow, series: dict) -> None:
    """The loss curve with its two controls."""
    run_id, method = row.id, engine.METHODS.get(row.method)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Outer loss", anchor=False)
        log = st.toggle("Log scale", key=f"log {run_id}", persist_state="session")
    if "outer_loss" not in series:
        st.caption("No step has been measured.")
        return
    place = st.container()
    span = st.slider(
        "Smoothing (steps)",
        1,
        200,
        25,
        key=f"smoothing {run_id}",
        persist_state="session",
        help="The bold line averages over about this many outer steps; the faint one is each step.",
    )
    place.plotly_chart(
        figures.curve("outer_loss", series, span=span, log=log, height=300, axis=method.outer_loss if method else ""),
        key=f"loss {run_id}", config=QUIET,
        alt="Outer loss over the outer steps, each step faint, smoothed in full colour",
    )  # fmt: skip


@services.said_plainly()
def _further_charts(run_id: str) -> None:
    """All other measured quantities, a small chart each; beside them the experts where the run follows some."""
    store = services.store()
    series = {name: line for name, line in store.series(run_id).items() if len(line.steps) > 1}
    shown = ("outer_loss", "validation_skill", experts.MATCHED)
    names = [name for name in figures.chart_names(list(series)) if name not in shown]
    row = store.run(run_id)
    if words.is_forecast(row):
        _further_of_forecasts(row, names, series)
        return
    if not names:
        return
    followed, epochs = _followed(row)
    if not words.has_labels(row):
        _further_of_representations(row, names, series, epochs)
        return
    if not epochs:
        _charts(run_id, names, series)
        return
    path, measured, recorded = st.tabs(["Student's path", "Measured", "Experts"], key=f"charts {run_id}")
    with path:
        experts.matched(row, series)
    with measured:
        _charts(run_id, names, series)
    with recorded:
        followed.show(row, epochs, "experts followed")


def _further_of_representations(row: engine.RunRow, names: Sequence[str], series: dict, epochs: Sequence) -> None:
    """The same of a set without labels: what is measured, what is known of its representations, and its teacher."""
    titles = ["Measured", "Representations", *(["Teacher"] if epochs else [])]
    measured, known, *rest = st.tabs(titles, key=f"charts {row.id}")
    with measured:
        _charts(row.id, sorted(names, key=lambda name: name != "validation_accuracy"), series)
    with known:
        representations.show_analyses(row)
    for tab in rest:
        with tab:
            teacher.show(row, epochs, "teacher followed")


def _further_of_forecasts(row: engine.RunRow, names: Sequence[str], series: dict) -> None:
    """The same of forecasts: how they came out, what the set reveals and keeps, and what was measured on the way."""
    scores = services.store().scores(row.id)
    found = {
        "Forecasts": bool(engine.headlines(engine.summarise(scores))),
        "Privacy and fidelity": forecasts.has_findings(row),
        "Measured": bool(names),
    }
    titles = [title for title, is_there in found.items() if is_there]
    for title, tab in zip(titles, st.tabs(titles, key=f"charts {row.id} {len(titles)}") if titles else (), strict=True):
        with tab:
            if title == "Forecasts":
                forecasts.show_results(row, scores)
            elif title == "Measured":
                _charts(row.id, names, series)
            else:
                forecasts.show_findings(row)


def _charts(run_id: str, names: Sequence[str], series: dict) -> None:
    real = engine.baseline(services.store().scores(run_id))
    with st.grid(2 if len(names) in (2, 4) else 3, min_column_width=300):
        for name in names:
            chart = figures.chart_of(name)
            reference = (
                ("random real, same size", real.mean) if name == "validation_accuracy" and real is not None else None
            )
            with st.container(border=True):
                st.markdown(f"**{words.escaped(chart.title)}**")
                st.plotly_chart(
                    figures.curve(name, series, span=25, log=figures.spans_decades(series[name].values), height=220, reference=reference), key=f"chart {name} {run_id}", config=QUIET,
                    alt=f"{chart.title} over the outer steps",
                )  # fmt: skip


def _settings(row: engine.RunRow) -> None:
    """The request, as the command line and Python take it."""
    with st.expander("Settings of this run", icon=":material/list_alt:"):
        st.caption(
            "The whole request. Save it as REQUEST.json and run `python -m engine distill REQUEST.json` for the same result without the dashboard."
        )
        st.code(row.request.model_dump_json(indent=2), language="json")
