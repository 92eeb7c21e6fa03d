"""Several runs side by side: their scores in one chart and table, against their bytes, and by inner steps."""

from collections.abc import Mapping, Sequence
from functools import partial

from engine import figures
from engine.evaluation.scores import AS_DISTILLED, NAIVE, ORDINARY, Row, by_length
from engine.figures import formats
from engine.figures.palette import PROTOCOL_NOTES
from engine.results import budget, published
from engine.results.kind import Kind
from engine.results.kinds import kind_of
from engine.results.names import run_title, short_name
from engine.results.run import Run
from engine.results.sections import Chart, Choice, Group, Section, Sentence, Table
from engine.results.shared import boxed, noted, span

Arms = Mapping[str, Row]


def compared(runs: Sequence[Run]) -> list[Section]:
    """What must be known before a set is shared, the scores of runs, apart where they are judged by different measures,
    and accuracy by inner steps.
    """
    warned = [(run, kind_of(run.row.method).warning(run)) for run in runs]
    parts: list[Section] = [Sentence(f"Run {run.row.id}: {said}", "warning") for run, said in warned if said]
    for measure in dict.fromkeys(kind_of(run.row.method).measure for run in runs):
        alike = [run for run in runs if kind_of(run.row.method).measure == measure]
        ways = {figures.protocol_name(key): partial(scores, alike, key) for key in protocols(alike)}
        parts.append(Choice("Protocol of the synthetic and the small real sets", ways, f"compared protocol {measure}"))
    return [*parts, *lengths(runs), *published.beside(runs)]


def protocols(runs: Sequence[Run]) -> list[str]:
    """Protocols to choose from: those that some distilled or small real set was scored under, or that always are."""
    always = {key for run in runs for key in kind_of(run.row.method).always}
    scored = {row.protocol for run in runs for row in run.own if row.arm not in ("full", *figures.NAIVE_ARMS)}
    known = [key for key in always | scored if key.partition("@")[0] in PROTOCOL_NOTES]
    return sorted(known, key=lambda key: (figures.protocol_place(key), key)) or [AS_DISTILLED]


def by_arm(run: Run, protocol: str) -> Arms:
    """A run's scores of its own student under one protocol.

    The full set of labelled data only has standard training, and naive forecasts are not trained.
    """
    own = [row for row in run.own if row.protocol in (protocol, NAIVE) or (row.arm, row.protocol) == ("full", ORDINARY)]
    return {row.arm: row for row in own}


def scores(runs: Sequence[Run], protocol: str) -> list[Section]:
    """Every training set of each run under one protocol: a chart, a table, and scores against bytes."""
    kind = kind_of(runs[0].row.method)
    found = [(run, by_arm(run, protocol)) for run in runs]
    named = [(short_name(run.row), row) for run, arms in found for row in arms.values()]
    title = f"Test {kind.measure}"
    if not named:
        none = "None of these runs has scores yet. They are measured after the last outer step."
        return [Group(title, [Sentence(none, "caption")], "box")]
    alt = f"{title} of the compared runs on each training set, with 95 % intervals"
    chart = Chart(partial(figures.runs, named), f"runs together {kind.measure} {protocol}", alt)
    against = budget.of_runs(found, protocol)
    return [Group(title, [chart], "box"), *_table(found, kind), *_matrix(found, kind, protocol), *against]


def _table(found: Sequence[tuple[Run, Arms]], kind: Kind) -> list[Section]:
    distilled = [arms.get("distilled") for _, arms in found]
    columns = {"Run": [_named(run, row) for (run, _), row in zip(found, distilled, strict=True)]}
    for arm in figures.ARM_NAMES:
        if any(arm in arms for _, arms in found):
            columns[figures.arm_name(arm)] = [mean_and_interval(arms.get(arm)) for _, arms in found]
    known = zip(found, distilled, strict=True)
    gaps = [run.against_full["gap_closed"].get(row.protocol) if row else None for (run, _), row in known]
    if any(gap is not None for gap in gaps):
        columns["Gap closed"] = [formats.percent(gap) for gap in gaps]
    by_class = [
        run.judged_row(row) if row and run.is_unbalanced else None
        for (run, _), row in zip(found, distilled, strict=True)
    ]
    if any(by_class):
        columns["Distilled, balanced accuracy"] = [mean_and_interval(row) for row in by_class]
    took = [run.row.summary.get("seconds_distilling") for run, _ in found]
    columns["Stored"] = [
        formats.num_bytes(row.num_bytes if row else None)
        + (f"\nmade in {formats.duration(seconds)}" if seconds else "")
        for row, seconds in zip(distilled, took, strict=True)
    ]
    note = f"Mean over n students, below it the 95 % interval over students. {kind.counted}"
    if any(kind.group(run.row.request) for run, _ in found):
        note += " Each target has its own baseline forecast, so compare skills of the same target only."
    return [Table(columns, "Scores of the compared runs with 95 % intervals"), Sentence(note, "caption")]


def _named(run: Run, distilled: Row | None) -> str:
    """A run with its number and title, below them its student and how many of these were trained on the set."""
    students = f", n\u00a0=\u00a0{distilled.n}" if distilled else ""
    return f"{run.row.id} · {run_title(run.row)}\n{run.name_of(run.student.name)}{students}"


def mean_and_interval(row: Row | None) -> str:
    """A mean, its 95 % interval on a second line."""
    if row is None:
        return formats.NOTHING
    ends = "" if row.n < 2 else f"\n{span(row.low, row.high).removesuffix(' %')}".replace(" to ", "\u00a0to\u00a0")
    return formats.percent(row.mean) + ends


def _matrix(found: Sequence[tuple[Run, Arms]], kind: Kind, protocol: str) -> list[Section]:
    """Runs of prices and their training sets as one map."""
    scored = [(run.row.id, kind.group(run.row.request), arms) for run, arms in found if "distilled" in arms]
    if len(scored) < 2 or not any(group for _, group, _ in scored):
        return []
    names = [f"{run_id} {group}" for run_id, group, _ in scored]
    cells = {run_id: arms for run_id, _, arms in scored}
    alt = f"Test {kind.measure} by run and training set: mean, standard deviation and number of students"
    draw, note = partial(figures.matrix, cells, names), f"Test {kind.measure} in %, a row per run."
    return [boxed("Runs and training sets", draw, f"skill matrix {protocol}", alt, note)]


def lengths(runs: Sequence[Run]) -> list[Section]:
    """The distilled set of each run after several numbers of inner steps, where they were measured."""
    measured = [(run, steps) for run in runs if len(steps := by_length(run.every, run.student.name)) > 1]
    if not measured:
        return []
    columns = {"Run": [f"{run.row.id} · {run_title(run.row)}" for run, _ in measured]}
    for num_steps in sorted({num_steps for _, steps in measured for num_steps in steps}):
        cells = [mean_and_interval(steps.get(num_steps, {}).get("distilled")) for _, steps in measured]
        columns[formats.count(num_steps)] = cells
    note = "Test images, own recipe. The number of inner steps is chosen on validation images, where there are any."
    return [noted("Accuracy by inner steps", columns, "Accuracy of the distilled sets by inner steps", note)]
