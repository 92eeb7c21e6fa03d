"""A kind of result: how it is named and judged, and the sections that say what a run of it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.core.config import EvaluationConfig, RunRequest, Size
from engine.data.source import TaskSpec
from engine.results.run import Run
from engine.results.sections import Metric, Section


@dataclass(frozen=True)
class Kind:
    """A kind of result.

    Attributes:
        takes: the kind of data that its students are trained on, as `STUDENTS[...].takes` and `Source.kind` have it.
        sample, real: nouns for one distilled and one real sample; `samples` and `reals` for several.
        measure: what runs are compared by; `validated` is the measured name of its course on validation data.
        counted: how bytes are counted, in a sentence.
        stored: what a set consists of. comparison: what its students will do, after "5 students per training set".
        always: protocols that a comparison of runs offers even before they were measured.
        size: (request, size, spec) -> the size of a distilled set in a few words, for a run's title.
        group: runs whose scores can share one axis have the same one, beside their data set.
        cards: the figures of merit of a run at work, or of a finished one.
        verdict: the outcome as sentences; none before there are scores.
        measures: tables and charts of the scores. findings: of what else was found out, under `findings_title`.
        numbers: the measures once more, as JSON for the command line.
    """

    key: Literal["labelled", "representations", "forecasts"]
    takes: Literal["images", "prices"]
    sample: str
    real: str
    measure: Literal["accuracy", "skill"]
    counted: str
    stored: str
    comparison: Callable[[EvaluationConfig], str]
    has_classes: bool
    always: tuple[str, ...]
    size: Callable[[RunRequest, Size, TaskSpec], str]
    group: Callable[[RunRequest], str]
    cards: Callable[[Run], Sequence[Metric]]
    verdict: Callable[[Run], Sequence[Section]]
    measures: Callable[[Run], Sequence[Section]]
    findings: Callable[[Run], Sequence[Section]]
    findings_title: str
    numbers: Callable[[Run], dict[str, Any]]

    @property
    def samples(self) -> str:
        return f"{self.sample}s"

    @property
    def reals(self) -> str:
        return f"{self.real}s"

    @property
    def validated(self) -> str:
        return f"validation_{self.measure}"
