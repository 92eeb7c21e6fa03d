"""What a run says: sections by kind of result, which a page, a report and the terminal draw."""

from engine.results import against, budget, followed, looks, names, sections, shared, together
from engine.results.kind import Kind
from engine.results.kinds import kind_of
from engine.results.run import Run, student_of

__all__ = [
    "Kind",
    "Run",
    "against",
    "budget",
    "followed",
    "kind_of",
    "looks",
    "names",
    "sections",
    "shared",
    "student_of",
    "together",
]
