"""Scores against the bytes that sets are stored in: of one run, or of several runs on one data set."""

from collections.abc import Mapping, Sequence
from functools import partial

from engine import figures
from engine.evaluation.scores import Row, baselines, judged
from engine.results import looks, published, titles
from engine.results.kinds import kind_of
from engine.results.names import short_name
from engine.results.run import Run
from engine.results.sections import Chart, Choice, Group, Section, Sentence


def of_run(run: Run) -> list[Section]:
    """Every training set of a run, each under the protocol that was best on validation data."""
    is_known = "distilled" in run.best and run.best["distilled"].num_bytes
    return [*against_bytes([(run, run.best)]), *by_bits([run])] if is_known else []


def of_runs(runs: Sequence[tuple[Run, Mapping[str, Row]]], protocol: str) -> list[Section]:
    """A chart for each data set, and for each target of forecasts. runs: with their scores by arm under `protocol`."""
    axes = [(run.row.source, kind_of(run.row.method).group(run.row.request)) for run, _ in runs]
    found: list[Section] = []
    for axis in dict.fromkeys(axes):
        alike = [each for each, its in zip(runs, axes, strict=True) if its == axis and "distilled" in each[1]]
        found += [*against_bytes(alike, protocol), *by_bits([run for run, _ in alike])] if alike else []
    return found


def against_bytes(runs: Sequence[tuple[Run, Mapping[str, Row]]], protocol: str = "") -> list[Section]:
    """Test scores of runs on one data set against stored bytes; published results beside them."""
    first, is_one = runs[0][0], len(runs) == 1
    kind, source = kind_of(first.row.method), first.row.source
    group, marks = kind.group(first.row.request), published.marks(source)
    labels = ["" if is_one else run.row.id for run, _ in runs]
    shown = [
        figures.Budgeted(label, short_name(run.row), _form(run), arms)
        for label, (run, arms) in zip(labels, runs, strict=True)
    ]
    is_chosen = not protocol and first.has_validation
    chosen = "Each set is scored under its best protocol on validation data." if is_chosen else ""
    labelled = "" if is_one else "Labels are run numbers; each run is scored with its own student."

    def drawn(beside: Sequence[figures.Published]) -> list[Section]:
        whose = "this run's sets" if is_one else "the sets of the compared runs"
        alt = f"Test {kind.measure} of {whose} against the bytes they are stored in, with 95 % intervals"
        draw = partial(figures.accuracy_against_bytes, shown, beside)
        note = " ".join(filter(None, (labelled, "Whiskers: 95 % interval of the mean.", chosen, _published(beside))))
        return [Chart(draw, f"bytes {source} {group} {protocol}", alt), Sentence(f"Test scores. {note}", "caption")]

    ways = {"With published results": partial(drawn, marks), "These runs only": partial(drawn, [])}
    parts = [Choice("Shown", ways, f"published {source}", is_another_view=True)] if marks else drawn([])
    where = f"{titles.source(source)}{f', {group}' if group else ''}"
    return [Group(f"{kind.measure.capitalize()} against bytes: {where}", parts, "box")]


def by_bits(runs: Sequence[Run]) -> list[Section]:
    """Validation scores of the bits per value that were tried, at their bytes, beside random real data."""
    tried = [(run, widths) for run in runs if len(widths := _widths(run)) > 1]
    if not tried:
        return []
    first = tried[0][0]
    kind, source = kind_of(first.row.method), first.row.source
    measure = "balanced accuracy" if first.is_unbalanced else kind.measure
    shown = [
        figures.Budgeted(
            "", short_name(run.row), _form(run), baselines(run.scores, judged), widths, run.analyses["storage"]["bits"]
        )
        for run, widths in tried
    ]
    group = kind.group(first.row.request)
    alt = f"Validation {measure} of sets in several bits per value against the bytes that they then take"
    note = (
        "Validation scores, by which the width is chosen: do not compare them with test scores. The larger mark is the "
        "stored width. Sets are trained as in the validations of the run, random real data by standard training."
    )
    chart = Chart(partial(figures.bits_against_bytes, shown, measure), f"bits {source} {group}", alt)
    return [Group(f"{measure.capitalize()} by bits per value", [chart, Sentence(note, "caption")], "box")]


def _widths(run: Run) -> dict[int, tuple[int, float]]:
    """{bits per value: (bytes, validation score)} of those that were tried."""
    found = run.analyses.get("storage", {}).get("widths", {})
    return {int(bits): (each["bytes"], each["score"]) for bits, each in found.items() if "score" in each}


def _form(run: Run) -> str:
    """What a run's set is drawn as: its last picture tells."""
    steps = run.store.previews(run.row.id)
    return looks.name_of(run.store.preview(run.row.id, steps[-1])) if steps else looks.IMAGES


def _published(marks: Sequence[figures.Published]) -> str:
    """What the hollow marks are, and how far to trust them."""
    if not marks:
        return ""
    note = "Hollow marks are published results, not measured here; bytes of their images as float32, without labels."
    if any(one.is_second_hand for one in marks):
        note += " Second-hand results are taken from other authors' accounts."
    return note
