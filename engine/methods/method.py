"""What a method is: a record with a config, presets, and one generator function."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

from engine.core.config import MethodConfig
from engine.core.events import Event
from engine.data import find_source
from engine.evaluation.comparison import Comparison
from engine.evaluation.labelled import LabelledComparison
from engine.methods.presets import Preset, fitting
from engine.pretrained.recording import RecordingPlan


@dataclass(frozen=True)
class Paper:
    """arXiv number and how the field calls it."""

    arxiv: str
    name: str


@dataclass(frozen=True)
class Method:
    """A distillation method.

    distill(splits, config, context) is a generator: it yields events and returns a SyntheticSet.
    record(splits, config, context), where a method follows networks trained beforehand, is one that only trains and keeps
    those and returns a summary. recorded: what they are, "experts" or "teacher". try_record(splits, config, context) times a
    few steps of that and returns a RecordingPlan; plan_recording(config, spec) returns one before the data are read, or None.
    comparison: how its set is compared with real data.
    result: what its set is: labelled samples, samples with representations, or windows with targets to forecast.
    tasks: the kinds of task it can do. presets: the first one of a source is its default. outer_loss: what that is, as
    its axis says.
    """

    key: str
    title: str
    summary: str
    papers: tuple[Paper, ...]
    tasks: frozenset[str]
    config: type[MethodConfig]
    presets: tuple[Preset, ...]
    distill: Callable[..., Generator[Event, None, Any]]
    record: Callable[..., Generator[Event, None, dict[str, Any]]] | None = None
    recorded: str = ""
    try_record: Callable[..., Generator[Event, None, RecordingPlan]] | None = None
    plan_recording: Callable[..., RecordingPlan | None] | None = None
    comparison: type[Comparison[Any]] = LabelledComparison
    result: Literal["labelled", "representations", "forecasts"] = "labelled"
    outer_loss: str = "cross-entropy on real data"

    def presets_for(self, source: str) -> dict[str, Preset]:
        """The presets for a source by key, its own before those for data of its kind; the first is the default."""
        return fitting(self.presets, source, find_source(source))
