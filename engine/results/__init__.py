"""What a finished run says: sections by kind of result, which a page, a report and the terminal draw."""

from engine.results.kind import Kind
from engine.results.kinds import kind_of

__all__ = ["Kind", "kind_of"]
