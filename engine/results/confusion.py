"""What a result says of single classes: how many of each are right, what the others are taken for, and what decides."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine import figures
from engine.evaluation.scores import BALANCED
from engine.figures import formats
from engine.results.run import Run
from engine.results.sections import Chart, Choice, Group, Metric, Section, Sentence, Table

CHOSEN_BY = (
    "As the classes are unbalanced, learning rates, lengths, steps and protocols are chosen by balanced accuracy on "
    "validation images."
)
MOST_LISTED = 20
"""Classes in the table; of more, those that are right least often after training on the distilled set."""


def verdict(run: Run) -> list[Section]:
    """Balanced accuracy beside the accuracy, and what always giving one answer would reach; of unbalanced classes."""
    if not run.is_unbalanced:
        return []
    said = [
        f"{figures.arm_name(arm).lower()} **{formats.percent(row.mean)}** ({figures.protocol_words(row.protocol)})"
        for arm in figures.ARM_NAMES
        if arm in run.best and (row := run.judged_row(run.best[arm])) is not None
    ]
    found = run.analyses.get("confusion")
    return [Sentence(f"{_constant(found) if found else ''}Balanced accuracy: {'; '.join(said)}.")]


def card(run: Run) -> list[Metric]:
    """Balanced accuracy: of the distilled set on test images, or of a run at work on validation images."""
    about = "Mean of the accuracies on each class."
    if run.is_compared:
        row = run.judged_row(run.best["distilled"]) if run.is_unbalanced and "distilled" in run.best else None
        if row is None:
            return []
        note = f"mean over classes, {figures.protocol_words(row.protocol)}"
        return [Metric("Balanced accuracy, test", formats.percent(row.mean), note, about)]
    series = run.series.get(f"validation_{BALANCED}")
    if series is None or not len(series.values):
        return []
    now = formats.percent(float(series.values[-1]))
    return [Metric("Balanced accuracy, validation", now, "decides which step is kept", f"{about} {CHOSEN_BY}")]


def sections(run: Run) -> list[Section]:
    """A map of the confusion and a table of the classes, for the distilled and the full set."""
    found = run.analyses.get("confusion")
    if not found:
        return []
    arms = {arm: found["arms"][arm] for arm in figures.ARM_NAMES if arm in found["arms"]}
    means = []
    for arm, each in arms.items():
        by = figures.protocol_words(each["protocol"])
        means.append(f"{figures.arm_name(arm).lower()} {formats.percent(_balanced(each))} ({by})")
    said = f"{_constant(found)}Balanced accuracy, the mean over classes: {'; '.join(means)}."
    if found["judged_by"] == BALANCED and run.has_validation:
        said += f" {CHOSEN_BY}"
    names = found["classes"]
    ways = {figures.arm_name(arm): partial(_map, arm, each, names) for arm, each in arms.items() if each["counts"]}
    shown: list[Section] = [Choice("Trained on", ways, "confusion of")] if ways else []
    return [Group("Right by class", [Sentence(said), *shown, *_table(arms, names)], "box")]


def _map(arm: str, found: Mapping[str, Any], names: Sequence[str]) -> Sequence[Section]:
    alt = (
        f"Confusion of classes on test images, trained on {figures.arm_name(arm).lower()}: classes down, answers across"
    )
    students = formats.counted(found["students"], "student")
    note = f"Test images: classes down, answers across, in % of each class. Sum over {students}, "
    note += f"{figures.protocol_words(found['protocol'])}."
    chart = Chart(partial(figures.confusion, found["counts"], names), f"confusion {arm}", alt)
    return [chart, Sentence(note, "caption")]


def _table(arms: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[Section]:
    """A line per class: how many are right, and what most of the others are taken for."""
    first = next(iter(arms.values()))
    sizes = np.array(first["total"]) // first["students"]
    order = [label for label in range(len(names)) if sizes[label]]
    shares = np.array(first["right"]) / np.maximum(first["total"], 1)
    shown = sorted(sorted(order, key=lambda label: shares[label])[:MOST_LISTED])
    columns = {"Class": [names[label] for label in shown]}
    columns["Test images"] = [formats.count(int(sizes[label])) for label in shown]
    for arm, found in arms.items():
        columns[figures.arm_name(arm)] = [_right(found, label, names) for label in shown]
    alt = "How many test images of each class are right, and what most others are taken for"
    note = f"The {MOST_LISTED} of {len(order):,} classes that the distilled set gets right least often."
    said: list[Section] = [Sentence(note, "caption")] if len(shown) < len(order) else []
    return [Table(columns, alt), *said]


def _right(found: Mapping[str, Any], label: int, names: Sequence[str]) -> str:
    """The share that is right; on a second line the most frequent wrong answer."""
    total = found["total"][label]
    right = formats.percent(found["right"][label] / total)
    if not found["counts"]:
        return right
    wrong = np.array(found["counts"][label])
    wrong[label] = 0
    if not wrong.any():
        return right
    return f"{right}\n{formats.percent(wrong.max() / total)} taken for {names[int(wrong.argmax())]}"


def _constant(found: Mapping[str, Any]) -> str:
    """What always answering with the largest class of the test images reaches."""
    total = np.array(next(iter(found["arms"].values()))["total"])
    name, share = found["classes"][int(total.argmax())], total.max() / total.sum()
    return f"Always answering '{name}' gives {formats.percent(share)}. "


def _balanced(found: Mapping[str, Any]) -> float:
    """The mean over classes that are present."""
    right, total = np.array(found["right"]), np.array(found["total"])
    return float((right[total > 0] / total[total > 0]).mean())
