"""Sweeps: the widgets that set one up, and the table and plot of its scores."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results import Run, together
from pages.ui import cards, differences, forms, frame, plan, sections, services, words

Scores = Mapping[str, Mapping[str, engine.Row]]
"""Run -> arm -> its score."""


def ask(request: engine.RunRequest, key: str, answer: plan.Answer | None = None) -> list[engine.RunRequest]:
    """An expander that makes several requests of one, by a list of values for one or two options.

    Returns [request] if it is not used, [] with a message if the sweep cannot start. key: of the widgets. answer: the
    estimate of the request.
    """
    known = _options(request)
    with st.expander("Sweep", icon=":material/linear_scale:", key=f"{key}/sweep"):
        about = "One run per value, or per pair of values of two options. Their scores share a table and a plot."
        look: dict[str, Any] = {"placeholder": "None: a single run", "persist_state": "session", "help": about}
        look |= {"max_selections": engine.sweep.MAX_OPTIONS, "key": f"{key}/sweep options"}
        chosen = st.multiselect("Options to vary", list(known), format_func=lambda name: known[name][0], **look)
        if not chosen:
            return [request]
        typed = {name: _ask_values(name, *known[name], key) for name in chosen}
        if not all(typed.values()):
            st.caption("Enter the values to try, separated by commas.")
            return []
        try:
            requests = engine.sweep.expand(request, typed)
        except engine.UserError as error:
            st.error(words.escaped(str(error)), icon=":material/error:")
            return []
        product = " × ".join(str(len(set(values))) for values in typed.values())
        runs = formats.counted(len(requests), "run") + (f" ({product})" if len(typed) > 1 else "")
        time = _together(len(requests), typed, answer)
        st.caption(f"{runs}, one after the other{time}. The estimate above is for one run with the values in the form.")
        return requests


def _together(num_runs: int, varied: Iterable[str], answer: plan.Answer | None) -> str:
    """The time of all runs if each takes as long as the estimated one; "" if unknown.

    Experts or a teacher are trained once, unless the sweep varies what they depend on.
    """
    if not isinstance(answer, engine.Estimate) or answer.is_out_of_memory:
        return ""
    seconds = num_runs * answer.seconds
    if not any(part in name for name in varied for part in ("experts", "teacher", "student.", "data.")):
        seconds -= (num_runs - 1) * answer.seconds_recording
    return f", {'at least' if answer.lower_bound else 'about'} {formats.duration(seconds)} in total"


def may_start(requests: Sequence[engine.RunRequest]) -> bool:
    """Whether the most demanding runs of a sweep fit this machine; the page names the first that does not.

    A single run was tried before.
    """
    for request in engine.sweep.extremes(requests) if requests[0].sweep else []:
        with st.spinner("Trying an outer step of the most demanding runs …"):
            answer = plan.trials().wait(request, requests[0].sweep)
        if sentence := plan.refused(answer, request):
            title = words.escaped(f"{request.name} cannot start")
            st.error(words.escaped(sentence), title=title, icon=":material/block:")
            return False
    return True


def _options(request: engine.RunRequest) -> dict[str, tuple[str, str]]:
    fields = forms.of_request(request)
    found = {field.dotted: (field.label_with_unit, field.shown(field.start)) for field in fields}
    return found | {"seed": ("Seed", str(request.seed))}


def _ask_values(name: str, label: str, now: str, key: str) -> list[str]:
    look: dict[str, Any] = {"help": "Separated by commas.", "persist_state": "session"}
    hint = "0, 1, 2" if name == "seed" else f"Now {now}"
    text = st.text_input(f"Values: {label}", key=f"{key}/sweep {name}", placeholder=hint, **look)
    return [part.strip() for part in text.split(",") if part.strip()]


def show(sweep_id: str) -> None:
    """One sweep, refreshed while its runs are queued or running."""
    rows = _rows(sweep_id)
    if not rows:
        st.info("All runs of this sweep were deleted.", icon=":material/linear_scale:")
        return
    is_active = any(row.is_active for row in rows)
    labels = ", ".join(option.label for option in differences.varied(rows))
    st.header(words.escaped(f"Sweep: {labels or 'one value'}"), anchor=False)
    frame.refreshing(_results, cards.REFRESH if is_active else None)(sweep_id, is_active)
    started = [row.id for row in rows if row.status != "queued"]
    label = "Compare these runs in full"
    if len(started) > 1 and st.button(label, icon=":material/compare_arrows:", key="compare sweep"):
        frame.go_to("compare", {"run": started})


def _rows(sweep_id: str) -> list[engine.RunRow]:
    """The runs of a sweep in the order of their values."""
    return [row for row in reversed(services.store().runs()) if row.sweep == sweep_id]


@services.said_plainly()
def _results(sweep_id: str, was_active: bool) -> None:
    services.spare_the_collector()
    rows = _rows(sweep_id)
    if was_active and not any(row.is_active for row in rows):
        st.rerun()
    test, validation = ({row.id: _best(row, split) for row in rows} for split in ("test", "validation"))
    varied = differences.varied(rows)
    done = sum(not row.is_active for row in rows)
    kind, students = engine.kind_of(rows[0].method), {words.student_name(row) for row in rows}
    whose = words.escaped(students.pop()) if len(students) == 1 else "each run's own student"
    finished = f"{done} of {formats.counted(len(rows), 'run')} finished."
    if any(Run(row, services.store()).has_validation for row in rows):
        measure = figures.measure(row for arms in validation.values() for row in arms.values())
        measure = measure if any(validation.values()) else kind.measure
        st.caption(
            f"{finished} {measure.capitalize()} of {whose} on validation {kind.reals}, with the protocol "
            f"that the table names and 95 % intervals. Choose settings by this score, not by the test {kind.measure} "
            "in the table."
        )
        with st.container(border=True):
            _plot(sweep_id, rows, varied, validation)
    else:
        st.caption(f"{finished} These runs train on all images, so there is no validation score.")
    _table(rows, varied, test, validation)


def _best(row: engine.RunRow, split: str) -> Mapping[str, engine.Row]:
    return engine.best_by_arm(services.store().scores(row.id), engine.results.student_of(row).name, split)


def _plot(
    sweep_id: str, rows: Sequence[engine.RunRow], varied: Sequence[differences.Option], validation: Scores
) -> None:
    scored = [number for number, row in enumerate(rows) if "distilled" in validation[row.id]]
    measure = f"Validation {figures.measure(row for arms in validation.values() for row in arms.values())}"
    if not scored:
        st.caption("The plot appears with the first scores.")
    elif len(varied) == 2:
        first, second = varied
        cells = {(first.texts[n], second.texts[n]): _mean(validation[row.id]) for n, row in enumerate(rows)}
        figure = figures.sweep_map(cells, (first.label, second.label))
        sections.show_chart(figure, f"sweep {sweep_id}", f"{measure} over {first.label} and {second.label}")
    elif len(varied) == 1:
        (option,) = varied
        points = [(_place(option, n), validation[rows[n].id]) for n in scored]
        sets = "the distilled set, of what it started as and of few real samples"
        alt = f"{measure} over {option.label} of {sets}, with 95 % intervals"
        sections.show_chart(figures.sweep_line(points, option.label), f"sweep {sweep_id}", alt)
    else:
        st.caption("A plot needs one or two options that differ between the runs.")


def _mean(arms: Mapping[str, engine.Row]) -> float | None:
    return arms["distilled"].mean if "distilled" in arms else None


def _place(option: differences.Option, number: int) -> float | str:
    """The position of a value on an axis: a number, or else its name."""
    value = option.values[number]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else option.texts[number]


def _score(arms: Mapping[str, engine.Row], arm: str) -> str:
    row = arms.get(arm)
    by = "" if row is None else f"\n{figures.protocol_name(row.protocol)}"
    return sections.cell(together.mean_and_interval(row) + by)


def _table(
    rows: Sequence[engine.RunRow], varied: Sequence[differences.Option], test: Scores, validation: Scores
) -> None:
    """A row per run: its values, its validation score, and the test score of each training set."""
    columns: dict[str, list[str]] = {"Run": [f"[{row.id}](runs?run={row.id})" for row in rows]}
    for option in varied:
        columns[option.label] = [words.escaped(text) for text in option.texts]
    columns["State"] = [words.STATES[row.status][0] for row in rows]
    if any(validation.values()):
        columns["Distilled, validation"] = [_score(validation[row.id], "distilled") for row in rows]
    for arm in figures.ARM_NAMES:
        if any(arm in test[row.id] for row in rows):
            columns[f"{figures.arm_name(arm)}, test"] = [_score(test[row.id], arm) for row in rows]
    columns["Time"] = [formats.duration(row.seconds) if row.seconds else formats.NOTHING for row in rows]
    st.table(columns, border="horizontal", hide_index=True, alt="The runs of the sweep with their values and scores")
