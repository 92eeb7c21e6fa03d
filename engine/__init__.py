"""The public interface of the engine, for the pages, the command line and Python users.

from engine import RunRequest, distill, evaluate
synthetic, scores = distill(RunRequest(source="digits", method="bilevel"))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any, TypeVar

# Before anything imports torch. Its threads spin while they wait for each other, which takes the core that serves the
# pages: a LeNet inner loop on two busy cores took 3.1 s, and 0.9 s with this bound (idle: 0.27 s against 0.32 s).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# Before PyTorch makes its first tensor. Linux then backs large tensors with 2 MiB pages: a training step of a ConvNet
# on 512 images takes 0.7 to 0.9 s of a core instead of 1.1 s, much of which was memory allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from engine import figures, pretrained, results
from engine.core import errors, events, machine, options
from engine.core.config import Config, DataConfig, EvaluationConfig, MethodConfig, RunRequest, Size, StudentConfig
from engine.core.config import checked as checked
from engine.core.context import Context, data_root, runs_root
from engine.core.errors import UserError
from engine.core.events import Event, Scored
from engine.core.progress import drained
from engine.core.students import POOLS, students_for
from engine.data import SOURCES, Source, describe, images, prices
from engine.data import sources as sources_under
from engine.evaluation.ranking import ranking
from engine.evaluation.scores import Row, best_by_arm, headlines, summarise
from engine.methods import METHODS
from engine.methods.method import Method
from engine.nets import STUDENTS
from engine.results import Kind, kind_of, titles
from engine.run import evaluate as evaluate_events
from engine.run import request_from_preset, resolve, run
from engine.runs import advice, export, report, sweep
from engine.runs.adopt import adopt
from engine.runs.command import command_line
from engine.runs.doctor import diagnose
from engine.runs.estimate import Estimate
from engine.runs.price_request import price_request
from engine.runs.store import RunRow, Store
from engine.runs.trial import Pending, Refusal, Trials
from engine.runs.worker import Worker, execute
from engine.synthetic.base import SyntheticSet, load

Result = TypeVar("Result")


def sources() -> dict[str, Source]:
    """Every data set by key: those of the program, then the imported ones."""
    return sources_under(data_root())


def distill(
    request: RunRequest | None = None,
    context: Context | None = None,
    on_event: Callable[[Event], object] = lambda event: None,
    **prices_asked: Any,
) -> tuple[SyntheticSet | None, list[Row]]:
    """Run a request in this process; only pretrained networks are stored, in the context's cache.

    Instead of a request, the arguments of `price_request` (data_paths, sequence_length, ...) distil price files.
    on_event: called with every event. Returns the synthetic set, None if the request only records experts, and a row of
    scores per arm and protocol. Raises UserError if the request cannot work.
    """
    if (request is None) == (not prices_asked):
        raise errors.ConfigError("Give engine.distill either a request or price files as data_paths.")
    if request is None:
        request = price_request(**({"root": context.data_root} if context else {}) | prices_asked)
    return _watched(run(request, _context(request, context)), on_event)


def evaluate(
    request: RunRequest,
    synthetic: SyntheticSet,
    context: Context | None = None,
    on_event: Callable[[Event], object] = lambda event: None,
) -> list[Row]:
    """Compare a finished set with real data, as `request.evaluation` says. Returns a row per arm and protocol."""
    return _watched(evaluate_events(request, synthetic, _context(request, context)), on_event)[1]


def _context(request: RunRequest, context: Context | None) -> Context:
    return context or Context(seed=request.seed, device=machine.pick_device(request.device))


def _watched(generator: Generator[Event, None, Result], see: Callable[[Event], object]) -> tuple[Result, list[Row]]:
    """What a generator of events returns, and a row of scores per arm and protocol."""
    scores: list[Scored] = []

    def note(event: Event) -> None:
        if isinstance(event, Scored):
            scores.append(event)
        see(event)

    return drained(generator, note), headlines(summarise(scores))
