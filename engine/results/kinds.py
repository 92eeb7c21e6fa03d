"""Kinds of results by key. A new one is a module here and a line below."""

from __future__ import annotations

from engine.methods import METHODS
from engine.results import forecasts, labelled, representations
from engine.results.kind import Kind

KINDS: dict[str, Kind] = {kind.key: kind for kind in (labelled.KIND, representations.KIND, forecasts.KIND)}


def kind_of(method: str) -> Kind:
    """The kind of result that a method makes, by the method's key; labelled images where this version lacks it."""
    return KINDS[METHODS[method].result] if method in METHODS else labelled.KIND
