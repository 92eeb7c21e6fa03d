"""Sections and phrases that several kinds of result have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine import figures
from engine.evaluation.scores import LINEAR_PROBE, Row, across, baseline
from engine.figures import formats
from engine.results.kind import Kind
from engine.results.run import Run
from engine.results.sections import Chart, File, Group, Metric, Metrics, Section, Sentence, Table

NO_SCORES = "No scores yet."
RANDOM = "Random real, same size"
COUNTED = "Synthetic and small real sets count 4 bytes per value, the full data set 1 byte per value, as in its files."


# ---- phrases ----


def outcome(measure: str, run: Run, phrases: Mapping[str, tuple[str, ...]]) -> Sequence[Section]:
    """ "{measure} is **85.1 %** after training on 10 synthetic images, ... and ...", each under its best protocol.

    phrases: {arm: (phrase with {} for its samples, noun, plural if irregular)}, in order.
    """
    said = [
        f"**{formats.percent(run.best[arm].mean)}** {how.format(formats.counted(run.best[arm].num_samples, *noun))}"
        for arm, (how, *noun) in phrases.items()
        if arm in run.best
    ]
    if not said:
        return []
    listed = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    return [Sentence(f"{measure} is {listed}.", "verdict")]


def spread(row: Row | None) -> str:
    """Mean ± standard deviation in per cent; a dash where nothing was measured."""
    return formats.NOTHING if row is None else formats.percent_spread(row.mean, row.std, row.n)


def interval(row: Row) -> str:
    """The 95 % interval of a mean; a dash for a single student."""
    return formats.NOTHING if row.n < 2 else span(row.low, row.high)


def span(low: float, high: float) -> str:
    """ "82.6 to 87.6 %" """
    return f"{formats.percent(low).removesuffix(' %')} to {formats.percent(high)}"


def with_protocol(row: Row | None) -> str:
    """A mean with its number of students, and the protocol on a second line."""
    if row is None:
        return formats.NOTHING
    score, students = (text.replace(" ", "\u00a0") for text in (spread(row), f"(n = {row.n})"))
    return f"{score} {students}\n{figures.protocol_name(row.protocol)}"


def chosen_by(rows: Iterable[Row], kind: Kind) -> str:
    """Which protocol stands for a training set where there are several."""
    if any(row.protocol == LINEAR_PROBE for row in rows):
        return "the linear probe"
    return f"the protocol that scored best on validation {kind.reals}"


def shown_arms(found: Iterable[str]) -> list[str]:
    """Arms in the order they are shown."""
    known = set(found)
    return [arm for arm in figures.ARM_NAMES if arm in known]


def as_json(row: Row) -> dict[str, Any]:
    """Mean, deviation and number of students; no deviation of a single one."""
    return {"mean": row.mean, "std": None if math.isnan(row.std) else row.std, "n": row.n}


# ---- figures of merit ----


def score_metric(label: str, row: Row | None) -> Metric:
    """A test score with its standard deviation."""
    if row is None:
        return Metric(label, formats.NOTHING, "not measured")
    students = formats.counted(row.n, "student")
    note = f"± {100 * row.std:.1f}, {students}" if row.n > 1 else students
    return Metric(label, formats.percent(row.mean), note)


def finished_metrics(run: Run, label: str, *more: tuple[str, str]) -> list[Metric]:
    """The distilled set beside small real ones. more: further (label, arm), the full set last."""
    shown = [score_metric(label, run.best.get("distilled")), score_metric(RANDOM, run.best.get("random_real"))]
    if "kmeans_real" in run.best:
        shown.append(score_metric("k-means real, same size", run.best["kmeans_real"]))
    return [*shown, *(score_metric(title, run.best.get(arm)) for title, arm in more)]


def full_metric(run: Run) -> Metric:
    return score_metric("Full data", run.best.get("full"))


def loss_metric(run: Run) -> Metric:
    """The outer loss as it is now and as it was at the start, each a mean over some steps."""
    loss = run.series.get("outer_loss")
    if loss is None or not len(loss.values):
        return Metric("Outer loss", formats.NOTHING, "no step yet")
    window = max(1, min(50, len(loss.values) // 4))
    now, start = float(np.mean(loss.values[-window:])), float(np.mean(loss.values[:window]))
    return Metric("Outer loss", formats.number(now), f"{formats.number(start)} at the start")


def validation_metric(run: Run, label: str, name: str) -> Metric:
    """The last validation score of a run at work, held against random real data."""
    found, real = run.series.get(name), baseline(run.scores)
    if found is None or not len(found.values):
        return Metric(label, formats.NOTHING, "not measured yet")
    now = float(found.values[-1])
    note = f"at step {int(found.steps[-1]):,}"
    if real is not None:
        note = f"{abs(100 * (now - real.mean)):.1f} points {'above' if now >= real.mean else 'below'} random"
    return Metric(label, formats.percent(now), note)


def baseline_metric(run: Run) -> Metric:
    """Random real data on the validation split."""
    found = baseline(run.scores)
    if found is None:
        return Metric(RANDOM, formats.NOTHING, "not measured yet")
    return Metric(RANDOM, formats.percent(found.mean), f"validation, {formats.counted(found.n, 'student')}")


def ratios(run: Run, kind: Kind) -> list[Metric]:
    """The distilled set against the full one: score or error, training time, bytes."""
    found = run.row.summary
    shown = [
        Metric(label, write(value), figures.protocol_name(protocol).lower(), meaning)
        for name, label, write, meaning in (
            ("retention", "Retention", formats.percent, RETENTION),
            ("error_ratio", "Relative error", formats.percent, RELATIVE_ERROR),
            ("speed_up", "Speed-up", formats.times, SPEED_UP),
        )
        for protocol, value in timed(found.get(name, {})).items()
    ]
    if found.get("compression"):
        stored = f"{formats.num_bytes(found.get('num_bytes'))} stored"
        shown.append(Metric("Compression", formats.ratio(found["compression"]), stored, kind.counted))
    return shown


RETENTION = "Accuracy after training on the distilled set, relative to the full data set."
RELATIVE_ERROR = (
    "Test error after training on the distilled set, relative to the full data set. 100 % means equally good."
)
SPEED_UP = "Training time on the full data set, divided by that on the distilled set."


def timed(by_protocol: Mapping[str, float]) -> Mapping[str, float]:
    """The protocols to show: probes share one pre-training, so the linear one stands for all in times."""
    values = set(by_protocol.values())
    return (
        {LINEAR_PROBE: by_protocol[LINEAR_PROBE]} if LINEAR_PROBE in by_protocol and len(values) == 1 else by_protocol
    )


# ---- scores ----


def score_chart(run: Run, rows: Sequence[Row], kind: Kind, student: str, height: int = 320) -> Chart:
    """Every training set under each protocol, for one student."""
    alt = f"Test {kind.measure} of {run.name_of(student)} for each training set and protocol, with 95 % intervals"
    return Chart(partial(figures.scores, list(rows), height=height), f"scores {student}", alt)


def score_charts(run: Run, kind: Kind) -> list[Section]:
    """The chart of each student that was tested, the run's own first."""
    parts: list[Section] = []
    for student in dict.fromkeys([run.student.name, *(row.student for row in run.rows)]):
        mine = [row for row in run.rows if row.student == student]
        title = f"Test {kind.measure} of {run.name_of(student)}"
        waiting = Sentence("No student has been tested yet.", "caption")
        parts.append(Group(title, [score_chart(run, mine, kind, student, 260) if mine else waiting], "box"))
    return parts


def own_scores(run: Run, kind: Kind) -> list[Section]:
    """The chart of the run's own student, and how to read it."""
    if not run.own:
        return []
    chart = score_chart(run, run.own, kind, run.student.name)
    note = f"Whiskers: 95 % interval of the mean. The summary above uses {chosen_by(run.own, kind)}."
    caption = Sentence(f"{note} {figures.protocol_notes(run.own)}", "caption")
    return [Group(f"Test {kind.measure} of {run.name_of(run.student.name)}", [chart, caption], "box")]


def score_table(rows: Sequence[Row], kind: Kind) -> list[Section]:
    """A line per training set and protocol: score, interval, time, size."""
    if not rows:
        return [Sentence(NO_SCORES, "caption")]
    note = f"Mean ± standard deviation over n students, each trained from its own seed. {kind.counted}"
    if any(row.cached for row in rows):
        note += " Cached scores come from an earlier run with the same recipe."
    columns = score_columns(sorted(rows, key=figures.shown_order), kind)
    return [Table(columns, "Scores of each training set and protocol"), Sentence(note, "caption")]


def score_columns(lines: Sequence[Row], kind: Kind) -> dict[str, list[str]]:
    """A line per row, in order."""
    return {
        "Trained on": [figures.arm_name(row.arm) for row in lines],
        "Protocol": [figures.protocol_name(row.protocol) for row in lines],
        kind.measure.capitalize(): [spread(row) for row in lines],
        "n": [str(row.n) for row in lines],
        "95 % interval": [interval(row) for row in lines],
        "Training": [formats.duration(row.seconds) + (" (cached)" if row.cached else "") for row in lines],
        "Samples": [formats.count(row.num_samples) for row in lines],
        "Stored": [formats.num_bytes(row.num_bytes) for row in lines],
    }


def architectures(run: Run, kind: Kind) -> list[Section]:
    """Every training set with every architecture, where there are several: a map, a table, a file, all scores."""
    cells = {student: arms for student, arms in across(run.scores).items() if "distilled" in arms}
    if len(cells) < 2:
        return []
    names = [run.name_of(student) for student in cells]
    what = f"Test {kind.measure} by architecture and training set"
    note = (
        f"Mean ± standard deviation over n students on test {kind.reals}, in %. "
        f"Each cell uses {chosen_by(run.rows, kind)}."
    )
    columns = {"Architecture": names} | {
        figures.arm_name(arm): [with_protocol(of.get(arm)) for of in cells.values()]
        for arm in figures.matrix_arms(cells)
    }
    name = f"run-{run.row.id}-architectures.csv"
    others = [_all_scores(run, kind, student) for student in cells if student != run.student.name]
    return [
        Group(
            "Across architectures",
            [
                Group(
                    "", [Chart(partial(figures.matrix, cells, names), "matrix", what), Sentence(note, "caption")], "box"
                ),
                Table(columns, what),
                File("Download table (.csv)", name, "text/csv", partial(figures.matrix_csv, cells)),
                *others,
            ],
        )
    ]


def _all_scores(run: Run, kind: Kind, student: str) -> Group:
    """A chart and a table of another student."""
    rows = [row for row in run.rows if row.student == student]
    parts = [score_chart(run, rows, kind, student), *score_table(rows, kind)]
    return Group(f"All scores of {run.name_of(student)}", parts, "fold")


def recipes(run: Run) -> list[Section]:
    """How each student was trained."""
    users: dict[str, list[str]] = {}
    for row in run.rows:
        if row.recipe:
            protocol = figures.protocol_name(row.protocol).lower()
            users.setdefault(row.recipe, []).append(
                f"{figures.arm_name(row.arm)} ({protocol}, {run.name_of(row.student)})"
            )
    if not users:
        return []
    columns = {"Students": [", ".join(who) for who in users.values()], "Recipe": list(users)}
    return [Group("Training recipes", [Table(columns, "How each student was trained")], "fold")]


def boxed(title: str, draw: Callable[[], go.Figure], key: str, alt: str, caption: str = "") -> Group:
    """A chart in a frame, with its title and a caption."""
    notes = [Sentence(caption, "caption")] if caption else []
    return Group(title, [Chart(draw, key, alt), *notes], "box")


def ratio_section(run: Run, kind: Kind) -> list[Section]:
    found = ratios(run, kind)
    return [Metrics(found)] if found else []
