"""One run as one HTML file that says all of it: verdict, scores, images, curves, recipe, versions. It loads nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from html import escape
from typing import Any

from plotly.offline import get_plotlyjs

from engine import figures
from engine.core.config import MethodConfig, StudentConfig, checked
from engine.core.errors import ConfigError
from engine.core.events import Preview, Scored
from engine.core.program import version
from engine.evaluation.ranking import about_labels, ranking
from engine.evaluation.scores import LINEAR_PROBE, Row, across, baseline, best_by_arm, by_length, headlines, summarise
from engine.figures import formats
from engine.figures.palette import Palette
from engine.methods import METHODS
from engine.results import titles
from engine.runs import command
from engine.runs import report_forecasts as forecasts
from engine.runs import report_representations as representations
from engine.runs.report_pieces import Charts, accuracy, data_url, in_script, table
from engine.runs.report_template import PAGE
from engine.runs.store import RunRow, Store

STRIP = 6
"""Pictures of the set along the run."""
SMOOTHED = 25
"""Outer steps that a curve's bold line averages over, as on the run's page."""
ARMS = {
    "distilled": "synthetic image",
    "random_real": "random real image",
    "kmeans_real": "real image chosen by k-means",
    "full": "real image, all there are",
}


def method_config(row: RunRow) -> MethodConfig:
    """The config of a run's method. Raises ConfigError where this version does not know the method or its options."""
    if row.method not in METHODS:
        raise ConfigError(f"There is no method '{row.method}' in this version. It has: {', '.join(METHODS)}.")
    return checked(METHODS[row.method].config, row.request.config, f"run {row.id}")


def student_config(row: RunRow) -> StudentConfig:
    """The network a run distils for. Raises as `method_config` does."""
    return method_config(row).student


def report_html(store: Store, run_id: str) -> str:
    """The report of a run in any state, with what there is of it; about 5 MB, most of it the code that draws charts.

    The same text each time for the same run. Raises RunError if there is no such run or it recorded experts, ConfigError where this version
    cannot read its request.
    """
    row = store.run(run_id)
    if row.action == "record":
        raise store.no_result(row.id)
    student, scores = student_config(row), store.scores(row.id)
    every = summarise(scores)
    rows = headlines(every)
    charts = Charts()
    final = _final(store, row)
    result = METHODS[row.method].result
    if result == "labelled":
        outcome = _outcome(scores, student, is_poster=final is not None and final.poster is not None)
        measures = _numbers(row, scores, student)
        analyses = []
    elif result == "forecasts":
        outcome = forecasts.verdict(store, row, best_by_arm(scores, student.name))
        measures = forecasts.measures(store, row, scores, student.name)
        analyses = forecasts.analyses(store, row, charts)
    else:
        outcome = representations.verdict(best_by_arm(scores, student.name))
        measures = representations.measures(row, every, student.name)
        analyses = representations.analyses(store, row, charts)
    body = [
        _header(row, student),
        _verdict(row, outcome),
        *(f'<p class="note">{escape(message)}</p>' for message in store.warnings(row.id)),
        *_scores(rows, student, charts),
        *_lengths(every, student),
        *_architectures(scores, student, charts),
        *measures,
        *_images(store, row, final, charts),
        *(f'<p class="faint">{escape(message)}</p>' for message in store.notes(row.id)),
        *analyses,
        *_curves(store, row, charts),
        *_recipe(row, rows),
        *_repeat(row),
        _machine(row),
    ]
    return PAGE.substitute(
        title=escape(_title(row)),
        body="\n".join(body),
        colours=_json({theme: _colours(theme) for theme in ("light", "dark")}),
        charts="\n".join(charts.scripts),
        plotly=get_plotlyjs(),
    )


# ---- the sections ----


def _header(row: RunRow, student: StudentConfig) -> str:
    facts = [f"Run {row.id}", row.status, f"data set {titles.source(row.source)}", titles.student(student), f"seed {row.seed}"]  # fmt: skip
    facts.append(_moment(row.started or row.created))
    note = f'<p class="note">{escape(row.note)}</p>' if row.note else ""
    return f'<h1>{escape(_title(row))}</h1>\n<p class="faint">{escape(" · ".join(facts))}</p>{note}'


def _verdict(row: RunRow, outcome: str) -> str:
    """The outcome; or why there is none."""
    if outcome:
        sentence = outcome
    elif row.status == "failed":
        where = "" if row.action == "evaluate" else f" at outer step {row.error_step:,}"
        sentence = f"The run failed{where}. {escape(row.error)}"
    else:
        sentence = f"This run is {row.status}; no score has been measured yet."
    return f'<p class="verdict">{sentence}</p>'


def _outcome(scores: Sequence[Scored], student: StudentConfig, is_poster: bool) -> str:
    """One sentence, each arm under its better protocol; empty without scores."""
    best = best_by_arm(scores, student.name)
    parts = [
        (_amount(arm, best[arm].num_samples, is_poster), formats.percent(best[arm].mean)) for arm in ARMS if arm in best
    ]
    if not parts:
        return ""
    (images, share), *others = parts
    sentence = f"A network trained on {images} gets <strong>{share}</strong> of the test images right"
    return sentence + "".join(f"; on {images} <strong>{share}</strong>" for images, share in others) + "."


def _amount(arm: str, count: int, is_poster: bool) -> str:
    """ "10 random real images", "all 1,294 real images"."""
    if is_poster and arm == "distilled":
        return f"one poster of {formats.counted(count, 'patch', 'patches')}"
    if arm == "full":
        return f"all {formats.counted(count, 'real image')}"
    one = ARMS[arm]
    return formats.counted(count, one, one.replace("image", "images", 1))


def _scores(rows: Sequence[Row], student: StudentConfig, charts: Charts) -> list[str]:
    """A chart and a table for each architecture, the one that was distilled for first."""
    architectures = dict.fromkeys([student.name, *(row.student for row in rows)])
    parts = []
    for name in architectures:
        mine = [row for row in rows if row.student == name]
        if not mine:
            continue
        title = titles.student(student) if name == student.name else titles.architecture(name)
        measure = figures.measure(mine)
        chart = charts.add(figures.scores(mine), f"Test {measure} of {title} on each arm, with 95 % intervals")
        parts += [
            f"<section><h2>Test {measure} of {escape(title)}</h2>",
            f'<div class="chart-alone">{chart}</div>',
            _score_table(mine),
            "</section>",
        ]
    if parts:
        protocols = figures.protocol_notes(rows)
        parts.append(
            f'<p class="faint">Mean ± standard deviation over n networks, each with a seed of its own; whiskers and intervals: 95 % of the mean. {escape(protocols)} The verdict takes {_counted(rows)}.</p>'
        )
    return parts


def _lengths(rows: Sequence[Row], student: StudentConfig) -> list[str]:
    """A table for each architecture that was measured after several lengths of training."""
    parts = []
    for name in dict.fromkeys([student.name, *(row.student for row in rows)]):
        found = by_length(rows, name)
        if not found:
            continue
        title = titles.student(student) if name == student.name else titles.architecture(name)
        arms = [arm for arm in figures.ARM_NAMES if any(arm in at for at in found.values())]
        lines = [
            (
                figures.arm_name(arm),
                *(accuracy(at.get(arm)) for at in found.values()),
                _chosen(rows, name, arm),
            )
            for arm in arms
        ]  # fmt: skip
        head = ("Trained on", *(formats.counted(num_steps, "step") for num_steps in found), "Chosen")
        parts += [
            f"<section><h3>{escape(title)} as distilled, after so many steps</h3>",
            f'<div class="wide">{table(lines, head, "scores")}</div>',
            '<p class="faint">Test images. The length that counts above was chosen on validation images.</p></section>',
        ]
    return parts


def _chosen(rows: Sequence[Row], student: str, arm: str) -> str:
    """The length that was chosen for an arm as distilled, and the accuracy there."""
    wanted = (arm, student, "as_distilled")
    row = next((row for row in headlines(rows) if (row.arm, row.student, row.protocol) == wanted), None)
    if row is None or "num_steps" not in row.training:
        return formats.NOTHING
    return f"{accuracy(row)} after {formats.count(row.training['num_steps'])}"


def _architectures(scores: Sequence[Scored], student: StudentConfig, charts: Charts) -> list[str]:
    """Every arm with every architecture as a map and a table; nothing for one architecture alone."""
    cells = across(scores)
    if len(cells) < 2:
        return []
    names = [titles.student(student) if name == student.name else titles.architecture(name) for name in cells]
    arms, every = figures.matrix_arms(cells), headlines(summarise(scores))
    lines = [
        (name, *(_cell(of.get(arm)) for arm in arms)) for name, of in zip(names, cells.values(), strict=True)
    ]  # fmt: skip
    chart = charts.add(
        figures.matrix(cells, names),
        f"Test {figures.measure(every)} by architecture and arm, mean, deviation and number of students",
    )
    return [
        "<section><h2>Across architectures</h2>",
        f'<div class="chart-alone">{chart}</div>',
        f'<div class="wide">{table(lines, ("Architecture", *map(figures.arm_name, arms)), "")}</div>',
        f'<p class="faint">Mean ± standard deviation over n networks on test {"windows" if figures.measure(every) == "skill" else "images"}, each under {_counted(every)}.</p></section>',
    ]


def _counted(rows: Sequence[Row]) -> str:
    """The protocol that an arm is known by."""
    is_probed = any(row.protocol == LINEAR_PROBE for row in rows)
    judges = "windows" if figures.measure(rows) == "skill" else "images"
    return "the linear probe" if is_probed else f"the protocol that did best on validation {judges}"


def _numbers(row: RunRow, scores: Sequence[Scored], student: StudentConfig) -> list[str]:
    """What papers tell beside accuracy, each with a sentence; of a finished run that was scored."""
    if row.status != "done" or not scores:
        return []
    labels = row.summary.get("labels", "")
    numbers = ranking(scores, student.name, labels)
    lines = [
        (number.title, formats.field_number(number.value, number.is_score), f"{number.meaning} {number.lack}".strip())
        for number in numbers
    ]
    return [
        "<section><h2>Numbers of the field</h2>",
        table(lines, (), "numbers"),
        f'<p class="faint">As DD-Ranking defines them (Li et al. 2025), from the accuracies above, improvement and recovery weighed alike.{about_labels(labels)}</p></section>',
    ]


def _cell(row: Row | None) -> str:
    """A cell of the matrix: accuracy, students, protocol."""
    if row is None:
        return formats.NOTHING
    return f"{accuracy(row)} (n = {row.n}), {figures.protocol_name(row.protocol).lower()}"


def _score_table(rows: Sequence[Row]) -> str:
    lines = sorted(rows, key=figures.shown_order)
    head = (
        "Trained on",
        "Protocol",
        figures.measure(rows).capitalize(),
        "n",
        "95 % interval",
        "Training",
        "Samples",
        "Stored",
    )
    cells = [
        (
            figures.arm_name(row.arm),
            figures.protocol_name(row.protocol),
            formats.percent_spread(row.mean, row.std, row.n),
            str(row.n),
            formats.NOTHING
            if row.n < 2
            else f"{formats.percent(row.low).removesuffix(' %')} to {formats.percent(row.high)}",
            formats.duration(row.seconds),
            formats.count(row.num_samples),
            formats.num_bytes(row.num_bytes),
        )
        for row in lines
    ]
    return f'<div class="wide">{table(cells, head, "scores")}</div>'


def _final(store: Store, row: RunRow) -> Preview | None:
    """The kept preview that shows the result, or the newest; None where none is kept."""
    steps = store.previews(row.id)
    if not steps:
        return None
    chosen = row.summary.get("step")
    return store.preview(row.id, chosen if chosen in steps else steps[-1])


def _images(store: Store, row: RunRow, final: Preview | None, charts: Charts) -> list[str]:
    """The result in large, and the set as it was along the run."""
    if final is None:
        return []
    steps, result = store.previews(row.id), final.step
    one, many = (
        ("patch", "patches") if final.poster else ("sequence", "sequences") if final.candles else ("image", "images")
    )
    made = f"{formats.counted(len(final.images), one, many)} after outer step {result:,}"
    if result == row.summary.get("step") and result != row.total_steps:
        made += ", the best on validation data"
    parts = _poster(final)
    if final.candles is not None:
        parts += forecasts.sequences(store, row, final.candles, charts, made)
    else:
        parts += _grid(final, made)
    if len(steps) > 1:
        parts += ["<section><h3>Along the run</h3>", '<div class="strip">']
        for step in _spread(steps, STRIP):
            picture = data_url(_small(store.preview(row.id, step)))
            parts.append(
                f'<figure><img src="{picture}" alt="The {many} after outer step {step}"><figcaption>outer step {step:,}</figcaption></figure>'
            )
        parts.append("</div></section>")
    return parts + representations.pictures(store.preview(row.id, steps[0]), final)


def _grid(final: Preview, made: str) -> list[str]:
    """The images beside each other. made: what they are."""
    png = figures.grid_png(final.images, final.labels, theme="page")
    named = ", class names beside them" if any(final.labels) else ""
    if len(final.images) > figures.MAX_IMAGES:
        made += f", the first {figures.MAX_IMAGES} of them"
    return [
        f"<section><h2>The {'patches as a network sees them' if final.poster else 'distilled images'}</h2>",
        f'<figure class="grid"><img src="{data_url(png)}" alt="Grid of the distilled images{named}"><figcaption>{made}</figcaption></figure></section>',
    ]


def _poster(preview: Preview) -> list[str]:
    """The poster in large, plain and with its classes; nothing for other sets."""
    view = preview.poster
    if view is None:
        return []
    height, width, _ = view.pixels.shape
    pictures = [
        (figures.poster_png(view), f"The poster, {height} x {width} pixels"),
        (figures.poster_png(view, overlay=True), "The same with the area of each class"),
    ]
    parts = [
        f'<figure class="grid"><img src="{data_url(png)}" alt="{said}"><figcaption>{said}</figcaption></figure>'
        for png, said in pictures
    ]
    return ["<section><h2>The distilled poster</h2>", *parts, "</section>"]


def _small(preview: Preview) -> bytes:
    """A preview as one of several beside each other."""
    if preview.poster is not None:
        return figures.poster_png(preview.poster, width=400)
    return figures.grid_png(preview.images, width=400)


def _curves(store: Store, row: RunRow, charts: Charts) -> list[str]:
    series = {name: line for name, line in store.series(row.id).items() if len(line.steps) > 1}
    if not series:
        return []
    real = baseline(store.scores(row.id))
    parts = ["<section><h2>Curves</h2>", '<div class="charts">']
    for name in figures.chart_names(list(series)):
        chart = figures.chart_of(name)
        is_judged = name in ("validation_accuracy", "validation_skill") and real is not None
        reference = ("random real, same size", real.mean) if is_judged else None
        is_log = figures.spans_decades(series[name].values)
        axis = METHODS[row.method].outer_loss if name == "outer_loss" else ""
        figure = figures.curve(name, series, span=SMOOTHED, log=is_log, height=260, reference=reference, axis=axis)
        drawn = charts.add(figure, f"{chart.title} over the outer steps")
        parts.append(f"<div><h3>{escape(chart.title)}</h3>{drawn}</div>")
    return [*parts, "</div></section>"]


def _recipe(row: RunRow, rows: Sequence[Row]) -> list[str]:
    """What was chosen, and how each network was trained."""
    facts = [
        ("Data set", titles.source(row.source)),
        ("Method", titles.method(row.method)),
        ("Preset", titles.settings(row.request)),
        ("Seed", str(row.seed)),
        ("Outer steps", f"{row.step:,} of {row.total_steps:,}" if row.total_steps else formats.NOTHING),
        ("Time", formats.duration(row.seconds)),
    ]
    if row.start:
        verb = "Evaluates" if row.action == "evaluate" else "Begins from"
        facts.append((verb, f"the result of run {row.start}"))
    chosen = [
        (setting.name, _value(setting.value), _value(setting.default)) for setting in command.settings(row.request)
    ]
    parts = ["<section><h2>Recipe</h2>", table(facts, (), "facts")]
    if chosen:
        parts += [
            "<h3>Settings that differ from the defaults</h3>",
            f'<div class="wide">{table(chosen, ("Setting", "Here", "Default"), "")}</div>',
        ]
    recipes = dict.fromkeys(
        (f"{figures.arm_name(score.arm)}, {figures.protocol_name(score.protocol).lower()}, {titles.architecture(score.student)}", score.recipe)
        for score in rows if score.recipe
    )  # fmt: skip
    if recipes:
        parts += ["<h3>How each network was trained</h3>", table(list(recipes), (), "facts")]
    return [*parts, "</section>"]


def _repeat(row: RunRow) -> list[str]:
    """The command and the request in full."""
    return [
        "<section><h2>To repeat it</h2>",
        f"<pre>{escape(command.command_line(row.request))}</pre>",
        f"<details><summary>The whole request, for a file request.json</summary><pre>{escape(row.request.model_dump_json(indent=2))}</pre></details>",
        "</section>",
    ]


def _machine(row: RunRow) -> str:
    """Versions, machine and places of the figures above."""
    facts: list[tuple[str, str]] = [("Dataset Distillery", version())]
    known: dict[str, Any] = row.summary.get("machine", {})
    for name, title in (("torch", "PyTorch"), ("python", "Python"), ("system", "System"), ("processor", "Processor"), ("cores", "Cores"), ("gpu", "GPU")):  # fmt: skip
        if known.get(name):
            facts.append((title, str(known[name])))
    if known.get("memory_bytes"):
        facts.append(("Memory of the machine", formats.num_bytes(known["memory_bytes"])))
    if row.facts.get("device"):
        facts.append(("Device", str(row.facts["device"])))
    if row.memory_bytes:
        facts.append(("Memory of the run, at most", formats.num_bytes(row.memory_bytes)))
    samples = "windows" if METHODS[row.method].result == "forecasts" else "images"
    for name, title in (("train", f"Training {samples}"), ("validation", f"Validation {samples}"), ("test", f"Test {samples}"), ("student_params", "Weights of the student")):  # fmt: skip
        if isinstance(row.facts.get(name), int):
            facts.append((title, formats.count(row.facts[name])))
    if row.summary.get("compression"):
        stored = formats.num_bytes(row.summary.get("num_bytes"))
        facts.append(("Stored", f"{stored}, {formats.ratio(row.summary['compression'])} of the full set"))
    return f"<section><h2>Versions and machine</h2>{table(facts, (), 'facts')}</section>"


# ---- words and pieces ----


def _title(row: RunRow) -> str:
    return row.name or f"{titles.source(row.source)} · {titles.method(row.method)}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _spread(steps: Sequence[int], number: int) -> list[int]:
    """`number` of the steps, evenly spread, the first and the last among them."""
    places = {round(place * (len(steps) - 1) / (number - 1)) for place in range(number)}
    return [steps[place] for place in sorted(places)]


def _colours(theme: str) -> dict[str, str]:
    """What a theme shows for each colour of a figure that was made for any page."""

    def listed(palette: Palette) -> list[str]:
        return [colour for part in astuple(palette) for colour in ([part] if isinstance(part, str) else part)]

    return dict(zip(listed(figures.PALETTES["page"]), listed(figures.PALETTES[theme]), strict=True))


def _json(value: Any) -> str:
    return in_script(json.dumps(value))
