"""A kind of result: how it is named and judged, and the sections that say what a run of it found."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Literal

from engine import figures
from engine.core.config import DataConfig, EvaluationConfig, RunRequest, Size
from engine.data.describe import planned_images
from engine.data.source import Source, TaskSpec
from engine.evaluation.scores import AS_DISTILLED, LINEAR_PROBE, NAIVE, ORDINARY, RECIPES, Row, across, baselines
from engine.figures import formats
from engine.figures.palette import shown_order
from engine.results import against, published, shared
from engine.results.run import Run
from engine.results.sections import Chart, File, Group, Metric, Metrics, Section, Sentence, Table


class Kind:
    """A kind of result: labelled images here, others where they differ.

    Attributes:
        takes: the kind of data that its students are trained on, as `STUDENTS[...].takes` and `Source.kind` have it.
        sample, real: nouns for one distilled and one real sample; `samples` and `reals` for several.
        measure: what runs are compared by. judged_by: its name in a verdict.
        labels: names of its score on test data, of the distilled set, and on validation data.
        counted: how bytes are counted, in a sentence. value_bytes: of a value of the full data set.
        stored: what a set consists of. has_loss: whether the outer loss is a figure of merit.
        always: protocols that a comparison of runs offers even before they were measured.
        phrases: what a verdict says of each training set, and the noun of its samples, as `shared.outcome` takes it.
    """

    key: Literal["labelled", "representations", "forecasts"]
    takes: Literal["images", "prices"] = "images"
    sample: str = "image"
    real: str = "image"
    measure: Literal["accuracy", "skill"] = "accuracy"
    judged_by: str = "Test accuracy"
    labels: tuple[str, str]
    counted: str = "Bytes as stored: a real image takes 1 byte per value and 1 for its label."
    stored: str
    value_bytes: int = 1
    has_classes: bool = False
    has_loss: bool = True
    always: tuple[str, ...] = (AS_DISTILLED, ORDINARY)
    findings_title: str = ""
    phrases: Mapping[str, tuple[str, ...]]

    @property
    def samples(self) -> str:
        return f"{self.sample}s"

    @property
    def reals(self) -> str:
        return f"{self.real}s"

    @property
    def validated(self) -> str:
        return f"validation_{self.measure}"

    def planned_train(self, source: Source, data: DataConfig) -> int:
        """Training samples of a run, as far as known before anything is loaded."""
        return planned_images(source, data)

    def full_bytes(self, spec: TaskSpec, num_train: int) -> int:
        """Bytes of a training set with its targets."""
        return self.value_bytes * num_train * (math.prod(spec.sample_shape) + 1)

    # ---- what each kind says in its own way ----

    def comparison(self, evaluation: EvaluationConfig) -> str:
        """What its students will do, after "5 students per training set"."""
        raise NotImplementedError

    def size(self, request: RunRequest, size: Size, spec: TaskSpec) -> str:
        """The size of a distilled set in a few words, for a run's title."""
        return formats.counted(size.num_samples, self.sample)

    def group(self, request: RunRequest) -> str:
        """Runs on one data set share an axis of scores if they have the same group."""
        return ""

    def beside(self, run: Run) -> Sequence[Metric]:
        """Figures of merit between those of the small sets and that of the full one."""
        return ()

    def warning(self, run: Run) -> str:
        """What must be known before a set is shared; "" if nothing."""
        return ""

    def verdict(self, run: Run) -> list[Section]:
        """The outcome as sentences; none before there are scores."""
        return shared.outcome(self.judged_by, run, self.phrases)

    def measures(self, run: Run) -> list[Section]:
        """Tables and charts of the scores of the run's own student."""
        return [*self.score_table(run, run.own), *shared.storage(run), *self.details(run)]

    def details(self, run: Run) -> list[Section]:
        """What is measured beside the score."""
        return []

    def findings(self, run: Run) -> list[Section]:
        """What else was found out, shown under `findings_title`."""
        return []

    def numbers(self, run: Run) -> dict[str, Any]:
        """The measures once more, as JSON for the command line."""
        return {"ranking": {}}

    # ---- figures of merit ----

    def cards(self, run: Run) -> list[Metric]:
        """The test scores of a finished run; loss and validation score of one at work."""
        tested, judged = self.labels
        if not run.is_compared:
            course = [shared.validation_metric(run, judged, self.validated), *shared.baseline_metrics(run)]
            course = course if run.has_validation else []
            return [*([shared.loss_metric(run)] if self.has_loss else []), *course, *self.beside(run)]
        measured = [arm for arm in ("random_samples", "kmeans_real") if arm in run.best]
        small = {"distilled": tested} | {arm: figures.arm_name(arm) for arm in ("random_real", *measured)}
        shown = [shared.score_metric(label, run.best.get(arm)) for arm, label in small.items()]
        full = shared.score_metric("Full data", run.best.get("full"))
        return [*shown, *self.beside(run), *against.card(run), full]

    def ratios(self, run: Run) -> list[Metric]:
        """The distilled set against the full one: score or error, gap closed, work, bytes."""
        found, shown = run.row.summary, against.metrics(run)
        if found.get("compression"):
            stored = f"{formats.num_bytes(found.get('num_bytes'))} stored"
            shown.append(Metric("Compression", formats.ratio(found["compression"]), stored, self.counted))
        return shown

    # ---- sections that all kinds have ----

    def against_full(self, run: Run) -> list[Section]:
        """The distilled set relative to the full data set."""
        found, paid = self.ratios(run), against.payoff(run)
        said = [Sentence(paid.sentence)] if paid else []
        return [Group("Against the full data", [Metrics(found), *said])] if found else []

    def references(self, run: Run, name: str) -> Mapping[str, float]:
        """Random real data by training set, as lines in the chart of the validation score."""
        found = baselines(run.scores) if name == self.validated else {}
        return {arm: row.mean for arm, row in found.items()}

    def titled_findings(self, run: Run) -> list[Section]:
        found = self.findings(run)
        return [Group(self.findings_title, found)] if found else []

    def chart(self, run: Run, student: str, height: int = 320) -> Chart:
        """Every training set under each protocol, for one student."""
        alt = f"Test {self.measure} of {run.name_of(student)} for each training set and protocol, with 95 % intervals"
        return Chart(partial(figures.scores, run.rows_of(student), height=height), f"scores {student}", alt)

    def charts(self, run: Run) -> list[Section]:
        """A chart for each student of an evaluation, as its scores come in; the run's own first."""
        waiting = Sentence("No student has been tested yet.", "caption")
        shown = {each: self.chart(run, each, 260) if run.rows_of(each) else waiting for each in run.students}
        return [self._boxed(run, student, section) for student, section in shown.items()]

    def scores(self, run: Run) -> list[Section]:
        """The chart of the run's own student, and how to read it."""
        if not run.own:
            return []
        note = f"Whiskers: 95 % interval of the mean. The summary above uses {self._chosen_by(run, run.own)}."
        caption = Sentence(f"{note} {figures.protocol_notes(run.own)}", "caption")
        name = run.student.name
        return [self._boxed(run, name, self.chart(run, name), caption)]

    def _boxed(self, run: Run, student: str, *of: Section) -> Section:
        return Group(f"Test {self.measure} of {run.name_of(student)}", of, "box")

    def _chosen_by(self, run: Run, rows: Sequence[Row]) -> str:
        """Which protocol stands for a training set where there are several."""
        if any(row.protocol == LINEAR_PROBE for row in rows):
            return "the linear probe"
        if not run.has_validation:
            usual = "the set's own recipe, and standard training for real images"
            used = next((row.protocol for row in rows if row.protocol in RECIPES), None)
            if used is not None:
                usual = f"{figures.protocol_words(used)} where it was used"
            return f"{usual}: there is no validation set to choose on"
        return f"the protocol that scored best on validation {self.reals}"

    def score_table(self, run: Run, rows: Sequence[Row]) -> list[Section]:
        """A line per training set and protocol: score, interval, gap closed, work, time, size."""
        if not rows:
            return [Sentence(shared.NO_SCORES, "caption")]
        note = f"Mean ± standard deviation over n students, each trained from its own seed. {self.counted}"
        if any(row.cached for row in rows):
            note += " Cached scores come from an earlier run with the same recipe."
        columns = self._columns(run, sorted(rows, key=shown_order))
        return [Table(columns, "Scores of each training set and protocol"), Sentence(note, "caption")]

    def _columns(self, run: Run, lines: Sequence[Row]) -> dict[str, list[str]]:
        """A line per row, in order."""
        return {
            "Trained on": [figures.arm_name(row.arm) for row in lines],
            "Protocol": [figures.protocol_name(row.protocol) for row in lines],
            self.measure.capitalize(): [figures.spread(row) for row in lines],
            "n": [str(row.n) for row in lines],
            "95 % interval": [formats.NOTHING if row.n < 2 else shared.span(row.low, row.high) for row in lines],
            **against.columns(run, lines),
            "Training": [formats.duration(row.seconds) + (" (cached)" if row.cached else "") for row in lines],
            "Samples": [formats.count(row.num_samples) for row in lines],
            "Stored": [formats.num_bytes(row.num_bytes) for row in lines],
        }

    def architectures(self, run: Run) -> list[Section]:
        """Every training set with every architecture, where there are several: a map, a table, a file, all scores."""
        cells = {student: arms for student, arms in across(run.scores).items() if "distilled" in arms}
        if len(cells) < 2:
            return []
        names = [run.name_of(student) for student in cells]
        what = f"Test {self.measure} by architecture and training set"
        note = f"Mean ± standard deviation over n students on test {self.reals}, in %. "
        note += f"Each cell uses {self._chosen_by(run, run.rows)}."
        columns = {"Architecture": names}
        for arm in figures.matrix_arms(cells):
            columns[figures.arm_name(arm)] = [_with_protocol(of.get(arm)) for of in cells.values()]
        name, csv = f"run-{run.row.id}-architectures.csv", partial(figures.matrix_csv, cells)
        parts: list[Section] = [
            shared.boxed("", partial(figures.matrix, cells, names), "matrix", what, note),
            Table(columns, what),
            File("Download table (.csv)", name, "text/csv", csv),
        ]
        for student in cells:
            if student != run.student.name:
                every = [self.chart(run, student), *self.score_table(run, run.rows_of(student))]
                parts.append(Group(f"All scores of {run.name_of(student)}", every, "fold"))
        return [Group("Across architectures", parts)]

    def printed(self, run: Run) -> list[Section]:
        """What a terminal shows: the verdict, every score of every student, measures and findings."""
        if not run.rows:
            return self.titled_findings(run)
        told = [*self.against_full(run), *shared.storage(run), *self.details(run), *self.titled_findings(run)]
        return [*self.verdict(run), *self._narrow(run), *told, *published.beside([run], is_brief=True)]

    def _narrow(self, run: Run) -> list[Section]:
        """All scores in tables that a terminal has room for: one per student and protocol, which its heading names."""
        found: list[Section] = []
        rows = sorted(run.rows, key=lambda row: (run.students.index(row.student), shown_order(row)))
        for (student, protocol), group in groupby(rows, lambda row: (row.student, row.protocol)):
            hidden = {"Protocol", "Samples seen"}  # the second is behind the speed-up and in the JSON
            columns = {name: cells for name, cells in self._columns(run, list(group)).items() if name not in hidden}
            title = figures.protocol_name(protocol)
            if protocol != NAIVE:
                title = f"{run.name_of(student)}, {figures.protocol_words(protocol)}"
            if len(set(columns["n"])) == 1:
                title += f", n = {columns.pop('n')[0]}"
            found.append(Group(title, [Table(columns, f"Scores of {title}")]))
        return found


def _with_protocol(row: Row | None) -> str:
    """A mean with its number of students, and the protocol on a second line."""
    if row is None:
        return formats.NOTHING
    score, students = (text.replace(" ", "\u00a0") for text in (figures.spread(row), f"(n = {row.n})"))
    return f"{score} {students}\n{figures.protocol_name(row.protocol)}"
