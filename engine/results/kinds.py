"""Kinds of results by key. A new one is a module here and a name below."""

from engine.methods import METHODS
from engine.results.forecasts import Forecasts
from engine.results.kind import Kind
from engine.results.labelled import Labelled
from engine.results.representations import Representations

KINDS: dict[str, Kind] = {kind.key: kind for kind in (Labelled(), Representations(), Forecasts())}


def kind_of(method: str) -> Kind:
    """The kind of result that a method makes, by the method's key; labelled images where this version lacks it."""
    return KINDS[METHODS[method].result if method in METHODS else "labelled"]
