"""Kinds of results by key. A new one is a module here and a name below."""

from engine.methods import METHODS
from engine.results.forecasts import Forecasts
from engine.results.kind import Kind
from engine.results.labelled import Labelled
from engine.results.representations import Representations

KINDS: dict[str, Kind] = {kind.key: kind for kind in (Labelled(), Representations(), Forecasts())}


def kind_of(method: str) -> Kind:
    """The kind of result of a method, by its key; labelled images where this version does not know the method."""
    return KINDS[METHODS[method].result if method in METHODS else "labelled"]
