"""The report of a run: one HTML file with verdict, scores, pictures, curves, recipe and versions."""

from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import Any

from engine import figures
from engine.core.program import version
from engine.figures import formats
from engine.methods import METHODS, config_of
from engine.results import budget, followed, looks, published, shared, titles
from engine.results.kinds import kind_of
from engine.results.names import size_in_words
from engine.results.run import Run
from engine.results.sections import Code, Group, Section, Sentence, Table
from engine.runs import command, html
from engine.runs.store import Store

SMOOTHED = 25  # outer steps that a curve's bold line averages, as on the run's page
MACHINE = ("torch", "python", "system", "processor", "cores", "gpu", "device")  # shown of the machine


def report_html(store: Store, run_id: str) -> str:
    """The report of a run in any state, always the same text; about 5 MB, most of it the code that draws charts.

    Raises RunError if there is no such run or it only trained networks, ConfigError if this version cannot read it.
    """
    row = store.run(run_id)
    if row.action == "record":
        store.needed_result(row.id)  # raises, because there is none
    config_of(row.request)
    run, kind = Run(row, store), kind_of(row.method)
    sections = [
        *_verdict(run),
        *(Sentence(message, "note") for message in store.warnings(row.id)),
        *kind.against_full(run),
        *kind.scores(run),
        *(kind.measures(run) if run.rows else []),
        *budget.of_run(run),
        *kind.architectures(run),
        *published.beside([run]),
        *looks.pictures(run),
        *(Sentence(message, "caption") for message in store.notes(row.id)),
        *(kind.titled_findings(run) if run.analyses else []),
        *(followed.curves(run) if followed.has_begun(run) else []),
        *_curves(run),
        *_recipe(run),
        *_machine(run),
    ]
    title = row.name or f"{titles.source(row.source)} · {titles.method(row.method)}"
    return html.page(title, sections, _header(run, title))


# ---- the sections ----


def _header(run: Run, title: str) -> str:
    row = run.row
    facts = [f"Run {row.id}", row.status, f"data set {titles.source(row.source)}", titles.student(run.student)]
    facts += [size] if (size := size_in_words(row)) else []
    facts += [f"seed {row.seed}", _moment(row.started or row.created)]
    note = f'<p class="note">{escape(row.note)}</p>' if row.note else ""
    return f'<h1>{escape(title)}</h1>\n<p class="faint">{escape(" · ".join(facts))}</p>{note}'


def _verdict(run: Run) -> list[Section]:
    """The outcome, or why there is none."""
    found = kind_of(run.row.method).verdict(run)
    if found:
        return found
    row = run.row
    if row.status == "failed":
        where = "" if row.action == "evaluate" else f" at outer step {row.error_step:,}"
        return [Sentence(f"The run failed{where}. {row.error}", "verdict")]
    return [Sentence(f"This run is {row.status}; there are no scores yet.", "verdict")]


def _curves(run: Run) -> list[Section]:
    """A chart of every metric over the outer steps."""
    kind = kind_of(run.row.method)
    series = {name: line for name, line in run.series.items() if len(line.steps) > 1}
    parts: list[Section] = []
    for name in figures.chart_names(list(series)):
        chart, is_log = figures.chart_of(name), figures.spans_decades(series[name].values)
        axis = METHODS[run.row.method].outer_loss if name == "outer_loss" else ""
        look: dict[str, Any] = {"span": SMOOTHED, "height": 260, "references": kind.references(run, name)}
        draw = partial(figures.curve, name, series, log=is_log, axis=axis, **look)
        parts.append(shared.boxed(chart.title, draw, name, f"{chart.title} over the outer steps"))
    return [Group("Curves", [Group("", parts, "grid")])] if parts else []


def _recipe(run: Run) -> list[Section]:
    """Settings, how each network was trained, and how to repeat the run."""
    row = run.row
    facts = {"Data set": titles.source(row.source), "Method": titles.method(row.method)}
    facts |= {"Preset": titles.settings(row.request), "Seed": str(row.seed)}
    facts["Outer steps"] = f"{row.step:,} of {row.total_steps:,}" if row.total_steps else formats.NOTHING
    facts["Time"] = formats.duration(row.seconds)
    if row.start:
        facts["Evaluates" if row.action == "evaluate" else "Starts from"] = f"the result of run {row.start}"
    parts: list[Section] = [_facts(facts, "The recipe")]
    chosen = command.settings(row.request)
    if chosen:
        cells = [(setting.name, _value(setting.value), _value(setting.default)) for setting in chosen]
        columns = dict(zip(("Setting", "Here", "Default"), map(list, zip(*cells, strict=True)), strict=True))
        title = "Settings that differ from the defaults"
        parts.append(Group(title, [Table(columns, title)]))
    request = row.request.model_dump_json(indent=2)
    whole = Group("The whole request, as a file request.json", [Code(request)], "fold")
    repeat: list[Section] = [Code(command.command_line(row.request)), whole]
    return [Group("Recipe", [*parts, *shared.recipes(run)]), Group("How to repeat it", repeat)]


def _machine(run: Run) -> list[Section]:
    """Versions, machine and sizes."""
    row = run.row
    known: dict[str, Any] = row.summary.get("machine", {}) | {"device": row.facts.get("device")}
    facts = {"Dataset Distillery": version()}
    titled = {name: name.capitalize() for name in MACHINE} | {"torch": "PyTorch", "gpu": "GPU"}
    facts |= {title: str(known[name]) for name, title in titled.items() if known.get(name)}
    sizes = {"Memory of the machine": known.get("memory_bytes"), "Peak memory of the run": row.memory_bytes}
    facts |= {title: formats.num_bytes(size) for title, size in sizes.items() if size}
    reals = kind_of(row.method).reals
    counted = {f"Training {reals}": "train", f"Validation {reals}": "validation", f"Test {reals}": "test"}
    counts = {title: row.facts.get(name) for title, name in (counted | {"Student weights": "student_params"}).items()}
    facts |= {title: formats.count(number) for title, number in counts.items() if number}
    if row.summary.get("compression"):
        stored = formats.num_bytes(row.summary.get("num_bytes"))
        facts["Stored"] = f"{stored}, {formats.ratio(row.summary['compression'])} of the full data set"
    return [Group("Versions and machine", [_facts(facts, "Versions and machine")])]


def _facts(facts: dict[str, str], alt: str) -> Table:
    """A table of names and values without a header."""
    return Table({"": list(facts), " ": list(facts.values())}, alt)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
