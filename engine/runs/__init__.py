"""Runs: kept by the store, carried out by the worker."""

from engine.runs.curves import Series
from engine.runs.store import RunRow, Store
from engine.runs.worker import Worker, execute

__all__ = ["RunRow", "Series", "Store", "Worker", "execute"]
