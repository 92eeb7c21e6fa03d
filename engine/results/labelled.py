"""Labelled images, whole or as a poster: networks trained on them are compared by their accuracy."""

from functools import partial
from typing import Any

from engine import figures
from engine.core.config import EvaluationConfig, RunRequest, Size
from engine.data.source import TaskSpec
from engine.evaluation.ranking import FieldNumber, about_labels, ranking
from engine.evaluation.scores import AS_DISTILLED, Row, by_length
from engine.figures import formats
from engine.results import confusion, shared
from engine.results.kind import Kind
from engine.results.run import Run
from engine.results.sections import Chart, Group, Metric, Metrics, Section, Sentence, Table


class Labelled(Kind):
    """Labelled images."""

    key, stored, has_classes = "labelled", "pixels and labels", True
    labels = ("Distilled, test", "Accuracy, validation")
    phrases = {
        "distilled": ("after training on {}", "synthetic image"),
        "random_real": ("on {} of equal bytes", "random real image"),
        "random_samples": ("on {} (as many samples)", "random real image"),
        "kmeans_real": ("on {} of equal bytes, chosen by k-means", "real image"),
        "start": ("on the starting set", ""),
        "full": ("on all {}", "real image"),
    }

    def comparison(self, evaluation: EvaluationConfig) -> str:
        full = ", and with training on the full data set" if evaluation.compare_full else ""
        real = "random and k-means real images of equal bytes, with as many random real images"
        return f"compare it with {real}, with the starting set unless that is noise{full}"

    def size(self, request: RunRequest, size: Size, spec: TaskSpec) -> str:
        """Whole images per class; of shared pixels, as in a poster, those that need as many values."""
        per_class = size.per_class(spec)
        return "1 image per class" if per_class == 1 else f"{per_class:.2g} images per class"

    def beside(self, run: Run) -> list[Metric]:
        """Balanced accuracy, where it decides."""
        return confusion.card(run)

    def verdict(self, run: Run) -> list[Section]:
        """The test accuracy of each training set under its best protocol."""
        steps, phrases = run.store.previews(run.row.id), self.phrases
        if steps and run.store.preview(run.row.id, steps[-1]).poster is not None:
            phrases = {**phrases, "distilled": ("after training on one poster of {}", "patch", "patches")}
        return [*shared.outcome("Test accuracy", run, phrases), *confusion.verdict(run)]

    def details(self, run: Run) -> list[Section]:
        """Accuracy by class and by inner steps, and benchmark scores."""
        return [*confusion.sections(run), *lengths(run), *benchmark(run)]

    def numbers(self, run: Run) -> dict[str, Any]:
        """The benchmark scores by name, and the score of each training set under its best protocol."""
        found = ranking(run.scores, run.student.name, run.row.summary.get("labels", "")) if run.scores else []
        best = {arm: shared.as_json(row) for arm, row in run.best.items()}
        return {"ranking": {number.key: number.value for number in found}, "best": best}


def lengths(run: Run) -> list[Section]:
    """Accuracy after several lengths of training, where it was measured: a chart and a table for each student."""
    parts: list[Section] = []
    for student in run.students:
        steps = by_length(run.every, student)
        if len(steps) < 2:
            continue
        cells = {formats.count(num_steps): shared.spreads(rows) for num_steps, rows in steps.items()}
        cells[f"{formats.count(max(steps))} (last)"] = cells.pop(formats.count(max(steps)))
        if run.has_validation:
            own = [row for row in run.rows_of(student) if row.protocol == AS_DISTILLED]
            cells["Chosen"] = {row.arm: _chosen(row) for row in own}
        alt = f"Test accuracy of {run.name_of(student)} by inner steps, with 95 % intervals"
        of = "" if student == run.student.name else f": {run.name_of(student)}"
        chart = Chart(partial(figures.over_steps, steps), f"over steps {student}", alt)
        way = "chosen on validation images" if run.has_validation else "of the longest training"
        note = f"Test images, own recipe. Scores above: after the number of inner steps {way}."
        table = Table(shared.arm_table("Trained on", cells), "Test accuracy of each training set by inner steps")
        parts.append(Group(f"Accuracy by inner steps{of}", [chart, table, Sentence(note, "caption")], "box"))
    return parts


def _chosen(row: Row) -> str:
    """The accuracy after the number of inner steps that was chosen on validation images."""
    steps = row.training.get("num_steps")
    return formats.NOTHING if steps is None else f"{figures.spread(row)} after {formats.count(steps)}"


def benchmark(run: Run) -> list[Section]:
    """What papers report beside accuracy, each with a sentence; of a finished run."""
    if run.row.status != "done" or not run.scores:
        return []
    labels = run.row.summary.get("labels", "")
    found = ranking(run.scores, run.student.name, labels)
    numbers = [Metric(each.title, _written(each), help=f"{each.meaning} {each.lack}".strip()) for each in found]
    by = f" ({figures.protocol_words(run.best['distilled'].protocol)})" if "distilled" in run.best else ""
    note = (
        f"As defined by DD-Ranking (Li et al. 2025), from the accuracies above{by}, with equal weights for improvement "
        f"and recovery.{about_labels(labels)}"
    )
    return [Group("Benchmark scores", [Metrics(numbers, is_explained=True), Sentence(note, "caption")])]


def _written(number: FieldNumber) -> str:
    if number.value is None:
        return "not measured"
    return formats.percent(number.value) if number.is_score else formats.points(number.value)
