"""Experts and teachers of a run: how they learned, and runs that only train them."""

import math
import statistics
from collections.abc import Sequence
from functools import partial

from engine import figures
from engine.core.events import ExpertEpoch, TeacherEpoch
from engine.figures import formats
from engine.methods.trajectory.config import TrajectoryConfig
from engine.results import titles
from engine.results.names import method_config
from engine.results.run import Run
from engine.results.sections import Chart, Group, Metric, Section, Sentence, Table
from engine.results.shared import boxed

MATCHED = "matched_step"
TEACHER = (
    "A network trained on the images without labels, to map augmented views of an image to similar features. The "
    "distilled images pass these features on. Class labels only measure how well nearest neighbours agree."
)
EXPERTS = (
    "Networks trained on the real data, whose weights were stored after every epoch. The synthetic images are "
    "optimised so that a student trained on them reaches the same weights."
)


def title(run: Run) -> str:
    """What the networks are called, as a heading."""
    return {"teacher": "Teacher", "experts": "Experts"}[titles.recorded(run.row.method)]


def has_begun(run: Run) -> bool:
    """Whether any epoch of them is known."""
    return bool(run.teacher_epochs or run.expert_epochs)


def curves(run: Run) -> list[Section]:
    """Their learning curves, or a note that there are none yet."""
    is_teacher = titles.recorded(run.row.method) == "teacher"
    parts: list[Section] = [Sentence(TEACHER if is_teacher else EXPERTS, "caption")]
    if not has_begun(run):
        is_coming = run.row.is_active
        text = "The curves appear here with the first epochs." if is_coming else "No epoch was trained."
        return [Group(title(run), [*parts, Sentence(text, "caption")], "box")]
    parts += _teacher(run.teacher_epochs) if is_teacher else _experts(run.expert_epochs)
    if run.teacher_epochs and all(point.cached for point in run.teacher_epochs):
        parts.append(Sentence("An earlier run trained it.", "caption"))
    return [Group(title(run), parts, "box")]


def cards(run: Run) -> list[Metric]:
    """Figures of merit of a run that only trains them."""
    is_teacher = titles.recorded(run.row.method) == "teacher"
    mine = _teacher_cards(run) if is_teacher else _expert_cards(run)
    return [*mine, Metric("Time", formats.duration(run.row.seconds), "of work")]


def _teacher(epochs: Sequence[TeacherEpoch]) -> list[Section]:
    parts = []
    if any(point.knn_accuracy is not None for point in epochs):
        alt = "Accuracy of the teacher's nearest neighbours on validation images over its epochs"
        draw = partial(figures.teacher_accuracy, epochs)
        parts.append(boxed("Nearest neighbours, validation", draw, "teacher accuracy", alt))
    if any(point.train_loss is not None for point in epochs):
        alt = "Loss of the teacher over its epochs"
        parts.append(boxed("Loss", partial(figures.teacher_loss, epochs), "teacher loss", alt))
    return [Group("", parts, "grid")]


def _teacher_cards(run: Run) -> list[Metric]:
    epochs = run.teacher_epochs
    losses = [point.train_loss for point in epochs if point.train_loss is not None]
    seconds = [point.seconds for point in epochs if point.train_loss is not None]
    first = f"{formats.number(losses[0])} in epoch 1" if losses else "no epoch yet"
    before = "not measured yet"
    judged = [point.knn_accuracy for point in epochs if point.knn_accuracy is not None]
    if judged:
        before = f"{formats.percent(judged[0])} before training" if losses else "before training"
    probe = next((row for row in run.rows if (row.arm, row.protocol) == ("teacher", "linear_probe")), None)
    is_coming = run.row.is_active
    note = "linear classifier" if probe else "measured at the end" if is_coming else "not measured"
    neighbours = Metric("Neighbours, validation", formats.percent(judged[-1] if judged else None), before)
    return [
        Metric("Loss", formats.number(losses[-1] if losses else None), first),
        *([neighbours] if run.has_validation else []),
        Metric("Linear probe, test", formats.percent(probe.mean if probe else None), note),
        Metric("Epoch", _mean_time(seconds), "of training"),
    ]


def _mean_time(seconds: Sequence[float]) -> str:
    return formats.duration(statistics.fmean(seconds) if seconds else None)


def _experts(epochs: Sequence[ExpertEpoch]) -> list[Section]:
    alt = "Validation accuracy of each expert over its epochs, with the newest and the mean in full colour"
    by_expert, is_judged = figures.by_expert(epochs), all(point.validation_accuracy is not None for point in epochs)
    ends = {expert: points[-1] for expert, points in sorted(by_expert.items())}
    columns = {
        "Expert": [str(expert + 1) for expert in ends],
        "Epochs": [f"{end.epoch} of {end.num_epochs}" for end in ends.values()],
        "Accuracy, validation": [formats.percent(end.validation_accuracy) for end in ends.values() if is_judged],
        "Training loss": [formats.number(end.train_loss) for end in ends.values()],
        "Time": [formats.duration(sum(point.seconds for point in by_expert[expert])) for expert in ends],
        "Recorded": ["earlier" if end.cached else "by this run" for end in ends.values()],
    }
    table = Table({title: cells for title, cells in columns.items() if cells}, "Last epoch of each expert")
    chart = [Chart(partial(figures.expert_curves, epochs), "experts", alt)] if is_judged else []
    return [*chart, Group("Each expert", [table], "fold")]


def _expert_cards(run: Run) -> list[Metric]:
    epochs = run.expert_epochs
    complete = [points for points in figures.by_expert(epochs).values() if points[-1].epoch == points[-1].num_epochs]
    ends = [end for points in complete if (end := points[-1].validation_accuracy) is not None]
    config = method_config(run.row)
    planned = config.experts.num_experts if isinstance(config, TrajectoryConfig) else 0
    wanted = epochs[-1].num_experts if epochs else planned
    earlier = sum(points[-1].cached for points in complete)
    recorded = f"of {formats.count(wanted)}" + (f", {formats.count(earlier)} earlier" if earlier else "")
    deviation = statistics.stdev(ends) if len(ends) > 1 else math.nan
    mean = formats.percent_spread(statistics.fmean(ends), deviation, len(ends)) if ends else formats.NOTHING
    judged = [
        Metric("Accuracy, validation", mean, "at the last epoch" if ends else "none is complete yet"),
        Metric("Weakest expert", formats.percent(min(ends, default=None)), "validation"),
    ]
    return [
        Metric("Experts recorded", formats.count(len(complete)), recorded),
        *(judged if run.has_validation else []),
        Metric("Epoch", _mean_time([point.seconds for point in epochs if point.epoch]), "of one expert"),
    ]


def student_path(run: Run) -> list[Section]:
    """The step of the student that was compared with the expert, at each outer step."""
    config = method_config(run.row)
    if MATCHED not in run.series or not isinstance(config, TrajectoryConfig):
        return [Sentence("The steps appear here after two outer steps.", "caption")]
    steps = formats.counted(config.student_steps, "step")
    if config.objective == "mtt":
        note = f"MTT always compares the last of the student's {steps}. ATT would choose the nearest."
    else:
        note = (
            f"The student trains for {steps} on the synthetic images. Each dot is the step nearest to the expert; the "
            "images learn from the steps up to it. Dots well below the dashed line: fewer steps are enough. Dots on "
            "it: more steps may come nearer."
        )
    alt = f"The step nearest to the expert, of {config.student_steps}, at each outer step, with its running median"
    draw = partial(figures.matched_steps, run.series[MATCHED], config.student_steps)
    return [boxed("Step of the student nearest to the expert", draw, "matched", alt, note)]
