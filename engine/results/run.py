"""A run with all that its store holds of it, read when it is first needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from engine.core.config import StudentConfig, checked
from engine.core.errors import UserError
from engine.core.events import ExpertEpoch, Preview, Scored, TeacherEpoch
from engine.core.run_row import RunRow
from engine.evaluation.ratios import against_full
from engine.evaluation.scores import BALANCED, Row, best_by_arm, headlines, judged, summarise
from engine.figures.curves import Line
from engine.methods import METHODS
from engine.results import titles


def student_of(row: RunRow) -> StudentConfig:
    """The student that a run distils for; its method's default if the request names none, or cannot be read here."""
    method = METHODS.get(row.method)
    default = method.config.model_fields["student"].default if method else StudentConfig()
    try:
        return checked(StudentConfig, row.request.config.get("student", default.model_dump()), "student")
    except UserError:
        return default


class Records(Protocol):
    """What sections read of a store."""

    def scores(self, run_id: str) -> list[Scored]: ...
    def analyses(self, run_id: str) -> dict[str, dict[str, Any]]: ...
    def series(self, run_id: str) -> Mapping[str, Line]: ...
    def teacher_epochs(self, run_id: str) -> list[TeacherEpoch]: ...
    def expert_epochs(self, run_id: str) -> list[ExpertEpoch]: ...
    def previews(self, run_id: str) -> list[int]: ...
    def preview(self, run_id: str, step: int) -> Preview: ...
    def result(self, run_id: str) -> Path | None: ...


@dataclass(frozen=True)
class Run:
    """One run: its row, and what its store holds of it.

    measured: scores that were measured just now and are not stored; they are then all that is known of the result.
    """

    row: RunRow
    store: Records
    measured: Sequence[Scored] | None = None

    @cached_property
    def student(self) -> StudentConfig:
        """The student that the run distils for."""
        return student_of(self.row)

    @cached_property
    def scores(self) -> Sequence[Scored]:
        return self.store.scores(self.row.id) if self.measured is None else self.measured

    @cached_property
    def every(self) -> Sequence[Row]:
        """A row for each training set, protocol, student and metric."""
        return summarise(self.scores)

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The rows of the metric that runs are compared by."""
        return headlines(self.every)

    @cached_property
    def own(self) -> Sequence[Row]:
        """Those of the run's own student."""
        return self.rows_of(self.student.name)

    @cached_property
    def students(self) -> list[str]:
        """Every student that has scores, the run's own first, whether it has any or not."""
        return list(dict.fromkeys([self.student.name, *(row.student for row in self.rows)]))

    def rows_of(self, student: str) -> list[Row]:
        """The rows of one student, of the metric that runs are compared by."""
        return [row for row in self.rows if row.student == student]

    @cached_property
    def best(self) -> Mapping[str, Row]:
        """{arm: row of the run's own student under its best protocol}."""
        return best_by_arm(self.scores, self.student.name)

    @cached_property
    def judged(self) -> Mapping[tuple[str, str, str], Row]:
        """{(student, arm, protocol): row of the metric that decides}: balanced accuracy of unbalanced classes."""
        return {(row.student, row.arm, row.protocol): row for row in judged(self.every)}

    def judged_row(self, row: Row) -> Row | None:
        """The row of the metric that decides, of the same training set, protocol and student."""
        return self.judged.get((row.student, row.arm, row.protocol))

    @cached_property
    def is_unbalanced(self) -> bool:
        """Whether the classes are so unbalanced that balanced accuracy decides."""
        return any(row.metric == BALANCED for row in self.judged.values())

    @cached_property
    def against_full(self) -> Mapping[str, Mapping[str, Any]]:
        """The distilled set against the full one: {ratio: {protocol: value}} of the run's own student."""
        return against_full(self.scores, self.student.name)

    @cached_property
    def analyses(self) -> Mapping[str, Mapping[str, Any]]:
        return self.store.analyses(self.row.id) if self.measured is None else {}

    @cached_property
    def series(self) -> Mapping[str, Line]:
        return self.store.series(self.row.id)

    @cached_property
    def teacher_epochs(self) -> Sequence[TeacherEpoch]:
        return self.store.teacher_epochs(self.row.id)

    @cached_property
    def expert_epochs(self) -> Sequence[ExpertEpoch]:
        return self.store.expert_epochs(self.row.id)

    @property
    def is_compared(self) -> bool:
        """Whether its scores are what counts: it is done, or does nothing but evaluate."""
        return self.row.status == "done" or self.row.action == "evaluate"

    @property
    def has_validation(self) -> bool:
        """Whether anything is chosen on validation data; prices always have some."""
        is_of_images = self.row.method not in METHODS or METHODS[self.row.method].result != "forecasts"
        return not is_of_images or self.row.request.data.validation_fraction > 0

    @property
    def target(self) -> str:
        """What a run on prices forecasts."""
        return self.row.request.data.windows.target

    def name_of(self, student: str) -> str:
        """A student's title, the run's own with its depth."""
        return titles.student(self.student) if student == self.student.name else titles.architecture(student)
