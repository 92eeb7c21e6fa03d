"""One run: its sections in the order in which pages, reports and the terminal show them."""

from __future__ import annotations

from engine import figures
from engine.results import shared
from engine.results.kind import Kind
from engine.results.kinds import kind_of
from engine.results.run import Run
from engine.results.sections import Group, Metrics, Section, Sentence, Table


def kind_of_run(run: Run) -> Kind:
    return kind_of(run.row.method)


def verdict(run: Run) -> list[Section]:
    """The outcome in a sentence or two; nothing before there are scores."""
    return list(kind_of_run(run).verdict(run))


def against_full(run: Run) -> list[Section]:
    """The distilled set relative to the full data set."""
    found = shared.ratios(run, kind_of_run(run))
    return [Group("Against the full data", [Metrics(found)])] if found else []


def scores(run: Run) -> list[Section]:
    """The chart of the run's own student."""
    return shared.own_scores(run, kind_of_run(run))


def charts(run: Run) -> list[Section]:
    """A chart for each student of an evaluation, as its scores come in."""
    return shared.score_charts(run, kind_of_run(run))


def measures(run: Run) -> list[Section]:
    """Tables and charts of the run's own student."""
    return list(kind_of_run(run).measures(run))


def architectures(run: Run) -> list[Section]:
    """Other students."""
    return shared.architectures(run, kind_of_run(run))


def findings(run: Run) -> list[Section]:
    """What was found out beside scores."""
    kind = kind_of_run(run)
    found = list(kind.findings(run))
    return [Group(kind.findings_title, found)] if found else []


def printed(run: Run) -> list[Section]:
    """What a terminal shows: the verdict, every score of every student, measures and findings."""
    kind = kind_of_run(run)
    if not run.rows:
        return findings(run)
    parts = [section for section in kind.measures(run) if not _is_score_table(section, kind)]
    return [*verdict(run), _every_score(run, kind), *parts, *findings(run)]


def _every_score(run: Run, kind: Kind) -> Section:
    """The scores of all students, the run's own first."""
    students = list(dict.fromkeys([run.student.name, *(row.student for row in run.rows)]))
    rows = sorted(run.rows, key=lambda row: (students.index(row.student), figures.shown_order(row)))
    columns = {"Student": [row.student for row in rows]} | shared.score_columns(rows, kind)
    return Table(columns, "Scores of each student, training set and protocol")


def _is_score_table(section: Section, kind: Kind) -> bool:
    """Whether it shows the scores that are printed for all students already."""
    if isinstance(section, Group):
        return section.title == "Every protocol"
    return isinstance(section, Sentence) or (isinstance(section, Table) and "Protocol" in section.columns)
