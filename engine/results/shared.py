"""Sections and phrases that several kinds of result have in common."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine import figures
from engine.evaluation.scores import LINEAR_PROBE, RANDOM, Row, baselines
from engine.figures import formats
from engine.figures.formats import NOTHING
from engine.results import against
from engine.results.run import Run
from engine.results.sections import Chart, Group, Metric, Section, Sentence, Table

NO_SCORES = "No scores yet."


def outcome(measure: str, run: Run, phrases: Mapping[str, tuple[str, ...]]) -> list[Section]:
    """ "{measure} is **85.1 %** after training on 10 synthetic images, 698 B (own recipe). On 10 random real images of
    equal bytes, it is **55.1 %** (standard training)." and so on, with what distilling added to the starting set.

    A short sentence per training set under its best protocol, then the gap closed. The protocol is named unless the
    measure names it, as linear probes do; how far a recipe is shortened is said once.

    phrases: {arm: (phrase with {} for its samples, noun, plural if irregular)}, in order.
    """
    said: list[str] = []
    named: set[str] = set()
    for arm, (how, *noun) in phrases.items():
        row = run.best.get(arm)
        if row is None:
            continue
        protocol = row.protocol.partition("@")[0] if row.protocol in named else row.protocol
        named.add(row.protocol)
        samples = formats.counted(row.num_samples, *noun)
        if arm == "distilled":
            samples += f", {formats.num_bytes(row.num_bytes)},"
        on, score, by = how.format(samples).removesuffix(","), formats.percent(row.mean), _by(protocol)
        said.append(
            f"{on[0].upper()}{on[1:]}, it is **{score}**{by}." if said else f"{measure} is **{score}** {on}{by}."
        )
        if arm == "start" and "distilled" in run.best:
            said.append(_added(run))
    return [Sentence("\n".join(said), "verdict"), *against.gap(run)] if said else []


def _by(protocol: str) -> str:
    """ " (standard training)"; "" of linear probes"""
    return "" if protocol == LINEAR_PROBE else f" ({figures.protocol_words(protocol)})"


def _added(run: Run) -> str:
    """ "Distilling added **12.3 points**." to the starting set; in balanced accuracy where that decides."""
    made, begun = (run.judged_row(run.best[arm]) or run.best[arm] for arm in ("distilled", "start"))
    gain, by = made.mean - begun.mean, " in balanced accuracy" if run.is_unbalanced else ""
    return f"Distilling {'added' if gain >= 0 else 'took away'} **{formats.points(abs(gain))}**{by}."


def span(low: float, high: float) -> str:
    """ "82.6 to 87.6 %" """
    return f"{formats.percent(low).removesuffix(' %')} to {formats.percent(high)}"


def arm_table(head: str, cells: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Columns of a table with a line per training set, in the order they are shown. cells: {title: {arm: text}}."""
    arms = [arm for arm in figures.ARM_NAMES if any(arm in texts for texts in cells.values())]
    names = [figures.arm_name(arm) + (", no network" if arm in figures.NAIVE_ARMS else "") for arm in arms]
    return {head: names} | {title: [texts.get(arm, NOTHING) for arm in arms] for title, texts in cells.items()}


def spreads(rows: Mapping[str, Row]) -> dict[str, str]:
    """{arm: its mean and standard deviation}"""
    return {arm: figures.spread(row) for arm, row in rows.items()}


def as_json(row: Row) -> dict[str, Any]:
    """Mean, deviation, number of students and protocol; no deviation of a single one."""
    return {"protocol": row.protocol, "mean": row.mean, "std": None if math.isnan(row.std) else row.std, "n": row.n}


def storage(run: Run) -> list[Section]:
    """In how many bits a value is stored, and what each width that was tried costs on validation data."""
    found = run.analyses.get("storage")
    if found is None:
        return []
    bits, widths = int(found["bits"]), found["widths"]
    mine, exact = widths[str(bits)], widths.get("32", {}).get("score")
    name = bits_in_words(bits) + (" per value" if bits <= 8 else "")
    said = f"Stored in **{name}** ({formats.num_bytes(mine['bytes'])})"
    if bits != 32 and exact is not None:
        by = " balanced accuracy" if run.is_unbalanced else ""
        said += f": {formats.percent(mine['score'])}{by} on validation against {formats.percent(exact)} in float32"
    elif not found["is_asked"]:
        why = "not tested, as there are no validation data" if exact is None else "fewer bits cost more than 0.5 points"
        said += f": {why}"
    columns = {
        "Bits per value": [bits_in_words(int(width)) + (", stored" if width == str(bits) else "") for width in widths],
        "Bytes": [formats.num_bytes(each["bytes"]) for each in widths.values()],
        "Validation": [formats.percent(each.get("score")) for each in widths.values()],
    }
    table = [Table(columns, "Bytes and validation score by bits per value")] if len(widths) > 1 else []
    return [Group("Storage", [Sentence(f"{said}."), *table])]


def bits_in_words(bits: int) -> str:
    """ "8 bits", "float16" """
    return f"float{bits}" if bits > 8 else f"{bits} bits"


def score_metric(label: str, row: Row | None) -> Metric:
    """A test score with its standard deviation and protocol."""
    if row is None:
        return Metric(label, NOTHING, "not measured")
    students = f"n = {row.n}, {figures.protocol_words(row.protocol)}"
    return Metric(label, formats.percent(row.mean), f"± {100 * row.std:.1f}, {students}" if row.n > 1 else students)


def loss_metric(run: Run) -> Metric:
    """The outer loss as it is now and as it was at the start, each a mean over some steps."""
    loss = run.series.get("outer_loss")
    if loss is None or not len(loss.values):
        return Metric("Outer loss", NOTHING, "no step yet")
    window = max(1, min(50, len(loss.values) // 4))
    now, start = float(np.mean(loss.values[-window:])), float(np.mean(loss.values[:window]))
    return Metric("Outer loss", formats.number(now), f"{formats.number(start)} at the start")


def validation_metric(run: Run, label: str, name: str) -> Metric:
    """The last validation score of a run at work, held against random real data of equal bytes."""
    found, real = run.series.get(name), baselines(run.scores).get("random_real")
    if found is None or not len(found.values):
        return Metric(label, NOTHING, "not measured yet")
    now = float(found.values[-1])
    note = f"at step {int(found.steps[-1]):,}"
    if real is not None:
        note = f"{abs(100 * (now - real.mean)):.1f} points {'above' if now >= real.mean else 'below'} random"
    return Metric(label, formats.percent(now), note)


def baseline_metrics(run: Run) -> list[Metric]:
    """Random real data of equal bytes, and as many samples, on the validation split."""
    found = baselines(run.scores)
    waiting = {arm: Metric(figures.arm_name(arm), NOTHING, "not measured yet") for arm in RANDOM}
    measured = {
        arm: Metric(
            figures.arm_name(arm), formats.percent(row.mean), f"validation, {formats.counted(row.n, 'student')}"
        )
        for arm, row in found.items()
    }
    return list((waiting | measured).values())


def recipes(run: Run) -> list[Section]:
    """How each student was trained."""
    users: dict[str, list[str]] = {}
    for row in run.rows:
        if row.recipe:
            user = f"{figures.arm_name(row.arm)} ({figures.protocol_words(row.protocol)}, {run.name_of(row.student)})"
            users.setdefault(row.recipe, []).append(user)
    if not users:
        return []
    columns = {"Students": [", ".join(who) for who in users.values()], "Recipe": list(users)}
    return [Group("Training recipes", [Table(columns, "How each student was trained")], "fold")]


def boxed(title: str, draw: Callable[[], go.Figure], key: str, alt: str, caption: str = "") -> Group:
    """A chart in a frame, with its title and a caption."""
    return Group(title, [Chart(draw, key, alt), *([Sentence(caption, "caption")] if caption else [])], "box")


def noted(title: str, columns: Mapping[str, list[str]], alt: str, note: str) -> Group:
    """A table under a heading, with a note below."""
    return Group(title, [Table(columns, alt), Sentence(note, "caption")])
