"""Labelled images, whole or as a poster: networks trained on them are compared by their accuracy."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from engine import figures
from engine.core.config import EvaluationConfig, RunRequest, Size
from engine.data.source import TaskSpec
from engine.evaluation.ranking import about_labels, ranking
from engine.evaluation.scores import AS_DISTILLED, Row, by_length, headlines
from engine.figures import formats
from engine.results import shared
from engine.results.kind import Kind
from engine.results.run import Run
from engine.results.sections import Chart, Group, Metric, Metrics, Section, Sentence, Table


class Labelled(Kind):
    """Labelled images."""

    key, stored, has_classes = "labelled", "pixels and labels", True
    labels = ("Distilled, test", "Accuracy, validation")
    phrases = {
        "distilled": ("after training on {}", "synthetic image"),
        "random_real": ("on {}", "random real image"),
        "kmeans_real": ("on {} chosen by k-means", "real image"),
        "full": ("on all {}", "real image"),
    }

    def comparison(self, evaluation: EvaluationConfig) -> str:
        full = ", and with training on the full data set" if evaluation.compare_full else ""
        return f"compare it with random and k-means real images of equal storage{full}"

    def size(self, request: RunRequest, size: Size, spec: TaskSpec) -> str:
        """The number of whole images; of shared pixels, as in a poster, the images per class that need as many."""
        if size.num_values == size.num_samples * math.prod(spec.sample_shape):
            return formats.counted(size.num_samples, "image")
        return f"{size.per_class(spec):.2g} images per class"

    def verdict(self, run: Run) -> list[Section]:
        """The test accuracy of each training set under its best protocol."""
        steps, phrases = run.store.previews(run.row.id), self.phrases
        if steps and run.store.preview(run.row.id, steps[-1]).poster is not None:
            phrases = {**phrases, "distilled": ("after training on one poster of {}", "patch", "patches")}
        return shared.outcome("Test accuracy", run, phrases)

    def measures(self, run: Run) -> list[Section]:
        """The table of scores, accuracy by inner steps, and benchmark scores."""
        return [*self.score_table(run.own), *lengths(run), *benchmark(run)]

    def numbers(self, run: Run) -> dict[str, Any]:
        """The benchmark scores by name."""
        found = ranking(run.scores, run.student.name, run.row.summary.get("labels", "")) if run.scores else []
        return {"ranking": {number.key: number.value for number in found}}


def lengths(run: Run) -> list[Section]:
    """Accuracy after several lengths of training, where it was measured: a chart and a table for each student."""
    parts: list[Section] = []
    for student in run.students:
        steps = by_length(run.every, student)
        if len(steps) < 2:
            continue
        arms = shared.shown_arms(arm for at in steps.values() for arm in at)
        columns = {"Trained on": [figures.arm_name(arm) for arm in arms]}
        for num_steps, at in steps.items():
            last = " (last)" if num_steps == max(steps) else ""
            columns[f"{formats.count(num_steps)}{last}"] = [figures.spread(at.get(arm)) for arm in arms]
        columns["Chosen"] = [_chosen(run.every, student, arm) for arm in arms]
        alt = f"Test accuracy of {run.name_of(student)} by inner steps, with 95 % intervals"
        own = "" if student == run.student.name else f": {run.name_of(student)}"
        chart = Chart(partial(figures.accuracy_over_steps, steps), f"over steps {student}", alt)
        note = (
            "Test images, own recipe. The number of inner steps is chosen on validation images; "
            "the scores above are those after that many."
        )
        table = Table(columns, "Test accuracy of each training set by inner steps")
        parts.append(Group(f"Accuracy by inner steps{own}", [chart, table, Sentence(note, "caption")], "box"))
    return parts


def _chosen(rows: Sequence[Row], student: str, arm: str) -> str:
    """The accuracy after the number of inner steps that was chosen on validation images."""
    wanted = (arm, student, AS_DISTILLED)
    row = next((row for row in headlines(rows) if (row.arm, row.student, row.protocol) == wanted), None)
    if row is None or "num_steps" not in row.training:
        return formats.NOTHING
    return f"{figures.spread(row)} after {formats.count(row.training['num_steps'])}"


def benchmark(run: Run) -> list[Section]:
    """What papers report beside accuracy, each with a sentence; of a finished run."""
    if run.row.status != "done" or not run.scores:
        return []
    labels = run.row.summary.get("labels", "")
    numbers = [
        Metric(
            number.title,
            formats.field_number(number.value, number.is_score),
            help=f"{number.meaning} {number.lack}".strip(),
        )
        for number in ranking(run.scores, run.student.name, labels)
    ]
    note = (
        "As defined by DD-Ranking (Li et al. 2025), computed from the accuracies above, with equal weights for "
        f"improvement and recovery.{about_labels(labels)}"
    )
    return [Group("Benchmark scores", [Metrics(numbers, is_explained=True), Sentence(note, "caption")])]
