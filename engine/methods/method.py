"""What a method is: a record with a config, presets, and a generator function."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from engine.core.config import MethodConfig
from engine.core.context import Context
from engine.core.events import Event
from engine.data import find_source
from engine.data.source import Splits, TaskSpec
from engine.evaluation.comparison import Comparison
from engine.evaluation.labelled import LabelledComparison
from engine.methods.presets import Preset, fitting
from engine.pretrained.recording import RecordingPlan, Trainer
from engine.synthetic.base import SyntheticSet


@dataclass(frozen=True)
class Paper:
    """arXiv number and how the field calls it."""

    arxiv: str
    name: str


S = TypeVar("S", bound=Splits)
C = TypeVar("C", bound=MethodConfig)
R = TypeVar("R", bound=SyntheticSet)


@dataclass(frozen=True)
class Method(Generic[S, C, R]):
    """A distillation method of splits S, with configs C, whose results are sets R.

    tasks: what it can be used for. presets: the first that fits a source is its default.
    distill(splits, config, context): yields events and returns the set.
    comparison: how the set is compared with real data. result: the kind of set. outer_loss: the label of its axis.
    Methods that follow pretrained networks also have: recorded, what those are ("experts" or "teacher");
    record(splits, config, context), which trains and stores them and returns a summary; trainer, with the same
    arguments, how they are trained; and plan_recording(config, spec), what that takes, before any data are read.
    """

    key: str
    title: str
    summary: str
    papers: tuple[Paper, ...]
    config: type[C]
    presets: tuple[Preset, ...]
    distill: Callable[[S, C, Context], Generator[Event, None, R]]
    tasks: frozenset[str] = frozenset({"classification"})
    record: Callable[[S, C, Context], Generator[Event, None, dict[str, Any]]] | None = None
    recorded: str = ""
    trainer: Callable[[S, C, Context], Trainer[Any]] | None = None
    plan_recording: Callable[[C, TaskSpec], RecordingPlan | None] | None = None
    comparison: type[Comparison[Any]] = LabelledComparison
    result: Literal["labelled", "representations", "forecasts"] = "labelled"
    outer_loss: str = "cross-entropy on real data"

    def presets_for(self, source: str) -> dict[str, Preset]:
        """The presets for a source by key, its own before those for data of its kind; the first is the default."""
        return fitting(self.presets, source, find_source(source))
