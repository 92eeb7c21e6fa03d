"""The distilled set against the full one, in figures and sentences: score kept, gap closed, work saved, payoff."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine import figures
from engine.core.events import ExpertEpoch, TeacherEpoch
from engine.evaluation.ratios import Scale, samples_seen, scales
from engine.evaluation.scores import LINEAR_PROBE, Row
from engine.figures import formats
from engine.methods import METHODS
from engine.results.run import Run
from engine.results.sections import Metric, Sentence

FLOORS = {
    "random_real": "random real data of equal bytes",
    "untrained": "an untrained network",
    "naive": "the naive forecast",
}
"""What takes no distilling, in words."""
RETENTION = "Accuracy after training on the distilled set, relative to the full data set."
ERROR = "Test error after training on the distilled set, relative to the full data set; 100 % is as good."
GAP = "Share of the way from {} to the full data set: 0 % is no better than the first, 100 % as good as the second."
SPEED = (
    "Samples processed in training on the full data set, divided by those on the distilled set: the work saved with "
    "the same network on any machine. Seconds stand beside it where this run measured both. "
    "The full data set counts with standard training where it has no other."
)
PAYS = "Time to make the distilled set, divided by the time that each training on it saves."


@dataclass(frozen=True)
class Payoff:
    """When distilling has saved the time it took. trainings: infinite for never, None if it is not known.

    protocol: of the trainings, in words. is_rough: the full training comes from the cache.
    """

    trainings: float | None
    sentence: str
    protocol: str
    is_rough: bool = False

    @property
    def value(self) -> str:
        if self.trainings is None:
            return "not known"
        about = "about " if self.is_rough else ""
        return "never" if math.isinf(self.trainings) else f"{about}{formats.count(int(self.trainings))}"


def metrics(run: Run) -> list[Metric]:
    """Score or error, gap closed and work by protocol; when distilling pays off."""
    found, ratios = [], run.against_full
    by = ", balanced accuracy" if run.is_unbalanced else ""
    for name, label, meaning in (("retention", "Retention", RETENTION), ("error_ratio", "Relative error", ERROR)):
        for protocol, value in ratios.get(name, {}).items():
            found.append(Metric(label, formats.percent(value), figures.protocol_words(protocol) + by, meaning))
    for protocol, value in ratios["gap_closed"].items():
        floor = FLOORS[ratios["floor"][protocol]]
        written, way = "undefined" if value is None else formats.percent(value), figures.protocol_words(protocol)
        found.append(Metric("Gap closed", written, f"{way}{by}", GAP.format(floor)))
    work, seconds = ratios["work_ratio"], ratios["seconds_ratio"]
    for protocol in _once({key: work.get(key) for key in dict.fromkeys([*work, *seconds])}):
        beside = f", {formats.times(seconds[protocol])} in seconds" if protocol in seconds else ""
        found.append(
            Metric("Speed-up", formats.times(work.get(protocol)), f"{figures.protocol_words(protocol)}{beside}", SPEED)
        )
    if paid := payoff(run):
        found.append(Metric("Trainings to pay off", paid.value, f"{paid.protocol}, on this machine", PAYS))
    return found


def card(run: Run) -> list[Metric]:
    """The gap closed under the best protocol, with the retention below it."""
    protocol = _best_protocol(run)
    if protocol not in run.against_full["floor"]:
        return []
    value, kept = (run.against_full[name].get(protocol) for name in ("gap_closed", "retention"))
    floor = FLOORS[run.against_full["floor"][protocol]]
    note = f"from {floor}" if kept is None else f"retains {formats.percent(kept)}"
    note += f", {figures.protocol_words(protocol)}"
    return [Metric("Gap closed", "undefined" if value is None else formats.percent(value), note, GAP.format(floor))]


def gap(run: Run) -> list[Sentence]:
    """The gap closed under the best protocol, as a sentence that follows the scores and so leaves out shortenings."""
    protocol = _best_protocol(run)
    scale = scales(run.scores, run.student.name).get(protocol)
    if scale is None or scale.full is None or not scale.floor_arm:
        return []
    row = run.judged_row(run.best["distilled"])
    floor, value = FLOORS[scale.floor_arm], scale.closed(row.mean) if row else None
    low, high = formats.percent(scale.floor), formats.percent(scale.full.mean)
    if value is None:
        return [Sentence(f"There is no gap to close: the full data ({high}) do no better than {floor} ({low}).")]
    by, way = " in balanced accuracy" if run.is_unbalanced else "", figures.protocol_words(protocol.partition("@")[0])
    if value < 0:
        closed = f"it closes none of the gap{by} to the full data ({high}), {way}"
        return [Sentence(f"The distilled set does worse than {floor} ({low}): {closed}.")]
    between = f"of the gap{by} between {floor} ({low}) and the full data ({high}), {way}"
    return [Sentence(f"The distilled set closes **{formats.percent(value)}** {between}.")]


def payoff(run: Run) -> Payoff | None:
    """After how many trainings the distilled set has saved the time it took; None for a run that made none."""
    distilled = run.best.get("distilled")
    scale = scales(run.scores, run.student.name).get(distilled.protocol) if distilled else None
    spent, full = run.row.summary.get("seconds_distilling"), scale.full if scale else None
    if distilled is None or scale is None or full is None or spent is None:
        return None
    epochs: list[ExpertEpoch | TeacherEpoch] = [*run.expert_epochs, *run.teacher_epochs]
    earlier = sum(epoch.seconds for epoch in epochs if epoch.cached)  # other epochs are part of the time to distil
    recorded = METHODS[run.row.method].recorded if run.row.method in METHODS else ""
    cost = f"Distilling took {formats.duration(spent)}"
    if earlier:
        cost += f", after {formats.duration(earlier)} of training its {recorded}"
    elif recorded and not any(epoch.epoch for epoch in epochs):
        cost += f" without its {recorded}, whose time of training is not known"
    protocol = figures.protocol_words(distilled.protocol)
    judged = run.judged_row(distilled)
    if judged and judged.mean < scale.floor:
        better = FLOORS[scale.floor_arm]
        return Payoff(math.inf, f"{cost}. It never pays off: {better} took no time to make and did better.", protocol)
    seconds, source = _full_seconds(distilled, full, run.against_full["work_ratio"].get(distilled.protocol))
    if seconds is None:
        why = "the time of a training on the full data comes from an earlier run, so it is not compared"
        return Payoff(None, f"{cost}. When it pays off is not known: {why}.", protocol)
    about, saved = "about " if source else "", seconds - distilled.seconds
    each = f"{formats.duration(distilled.seconds)} instead of {about}{formats.duration(seconds)} ({protocol}).{source}"
    if saved <= 0:
        return Payoff(math.inf, f"{cost}. It never pays off: a training on the distilled set takes {each}", protocol)
    trainings = math.ceil((spent + earlier) / saved)
    after = f"{about}{formats.counted(trainings, 'training')}"
    return Payoff(trainings, f"{cost}. It pays off after {after}: each takes {each}", protocol, is_rough=full.cached)


def _full_seconds(distilled: Row, full: Row, work: float | None) -> tuple[float | None, str]:
    """Seconds that a training on the full data takes here, and how they are known unless this run measured them.

    If only that training comes from an earlier run, its time there may be another machine's, and the one worked out
    from samples seen is too long where steps take equally long whatever their batches. The shorter one is taken; None
    if they disagree on whether distilling ever pays off.
    """
    if not full.cached or distilled.cached or work is None:
        return (None if distilled.cached or full.cached else full.seconds), ""
    shorter, longer = sorted((full.seconds, work * distilled.seconds))
    if shorter <= distilled.seconds < longer:
        return None, ""
    here = f"By samples seen, {formats.times(work)} as many, it would take {formats.duration(work * distilled.seconds)}"
    return shorter, (
        f" The training on the full data comes from an earlier run, where it took {formats.duration(full.seconds)}. "
        f"{here}. The shorter time counts."
    )


def columns(run: Run, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Columns of a table of scores: balanced accuracy of unbalanced classes, gap closed and work, where known."""
    known: dict[str, dict[str, Scale]] = {each: scales(run.scores, each) for each in {row.student for row in rows}}
    scored = [run.judged_row(row) for row in rows]
    gaps = [known[row.student].get(row.protocol, Scale(None)).closed(row.mean) if row else None for row in scored]
    seen = [samples_seen(row) for row in rows]
    found = {"Balanced accuracy": [figures.spread(row) for row in scored]} if run.is_unbalanced else {}
    if any(value is not None for value in gaps):
        found["Gap closed"] = [formats.percent(value) for value in gaps]
    if any(seen):
        found["Samples seen"] = [formats.count(count) if count else formats.NOTHING for count in seen]
    return found


def numbers(run: Run) -> dict[str, Any]:
    """The same for JSON; pays_off_after: None for never and if it is not known."""
    found, paid = {name: dict(values) for name, values in run.against_full.items()}, payoff(run)
    if paid is None:
        return found
    trainings = None if paid.trainings is None or math.isinf(paid.trainings) else paid.trainings
    return found | {"pays_off_after": trainings, "pays_off": paid.sentence}


def _best_protocol(run: Run) -> str:
    return run.best["distilled"].protocol if "distilled" in run.best else ""


def _once(by_protocol: Mapping[str, float | None]) -> Mapping[str, float | None]:
    """The protocols to show: probes share one pre-training, so the linear one stands for all in work and time."""
    is_shared = LINEAR_PROBE in by_protocol and len(set(by_protocol.values())) == 1
    return {LINEAR_PROBE: by_protocol[LINEAR_PROBE]} if is_shared else by_protocol
