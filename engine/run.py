"""The straight line of a run: load the data, distil, compare. One generator of events."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace

import torch

from engine import machine
from engine.config import MethodConfig, RunRequest, checked
from engine.context import Context
from engine.data import SOURCES
from engine.data.source import Splits, TaskSpec
from engine.errors import ConfigError
from engine.evaluation.compare import architectures, compare, make_bench, random_real_ordinary
from engine.evaluation.scores import against_full, summarise
from engine.events import Checkpoint, Event, Finished, Scored, Started
from engine.methods import METHODS
from engine.methods.method import Method
from engine.nets import STUDENTS, make_student
from engine.synthetic.base import SyntheticSet


def resolve(request: RunRequest) -> tuple[Method, MethodConfig]:
    """The method of a request and its checked config. Raises ConfigError with one sentence for anything wrong."""
    for kind, name, known in (("source", request.source, SOURCES), ("method", request.method, METHODS)):
        if name not in known:
            raise ConfigError(f"There is no {kind} '{name}'. Choose one of: {', '.join(known)}.")
    for name in request.evaluation.students:
        if name not in STUDENTS:
            raise ConfigError(f"evaluation.students: there is no student '{name}'. Choose from: {', '.join(STUDENTS)}.")
    machine.pick_device(request.device)
    method = METHODS[request.method]
    config = checked(method.config, request.config, f"config of method '{request.method}'")
    source = SOURCES[request.source]
    spec = TaskSpec("classification", source.sample_shape, len(source.class_names), source.class_names)
    for architecture in architectures(config.student, request.evaluation):
        with torch.device("meta"):  # does it fit the samples? No weight is made
            make_student(architecture, spec, "meta")
    return method, config


def request_from_preset(source: str, method: str, preset: str, **changes) -> RunRequest:
    """The request that a preset stands for. Raises ConfigError if the method has no such preset for the source."""
    if method not in METHODS:
        raise ConfigError(f"There is no method '{method}'. Choose one of: {', '.join(METHODS)}.")
    known = METHODS[method].presets_for(source)
    if preset not in known:
        raise ConfigError(
            f"Method '{method}' has no preset '{preset}' for source '{source}'. It has: {', '.join(known) or 'none'}."
        )
    chosen = known[preset]
    values = {
        "source": source,
        "method": method,
        "preset": preset,
        "config": chosen.config,
        "data": chosen.data,
        "evaluation": chosen.evaluation,
    }
    return checked(RunRequest, values | changes, f"preset '{preset}'")


def run(request: RunRequest, context: Context) -> Generator[Event, None, SyntheticSet]:
    """Everything a request asks for. Yields events in order, returns the synthetic set.

    Raises UserError for all that the user can mend; the worker turns what is raised into a Failed event.
    """
    method, config = resolve(request)
    splits = yield from _load(request, context)
    if splits.spec.task not in method.tasks:
        raise ConfigError(
            f"Method '{method.key}' does {', '.join(sorted(method.tasks))}, but source '{request.source}' is a {splits.spec.task} task."
        )
    bench = make_bench(splits, config.student, request.evaluation, context)
    yield Started(config.outer_steps, _facts(splits, bench.student.num_params, context))
    if context.resume_from is None:
        yield from random_real_ordinary(bench, config.ipc * splits.spec.num_outputs, "validation")

    clock = _Clock(context.resume_from)
    synthetic = yield from clock.timed(method.distill(splits, config, context))
    results = yield from _compared(synthetic, splits, config, request, context)
    yield Finished(results | {"seconds_distilling": clock.seconds, "machine": machine.describe()})
    return synthetic


def evaluate(request: RunRequest, synthetic: SyntheticSet, context: Context) -> Generator[Event, None, dict]:
    """Compare a finished set again: other students, more seeds. Yields events, returns the summary."""
    _, config = resolve(request)
    splits = yield from _load(request, context)
    return (yield from _compared(synthetic, splits, config, request, context))


class _Clock:
    """Seconds of distilling, over all the sittings of a run: each checkpoint carries what had passed when it was made."""

    KEY = "seconds_distilling"

    def __init__(self, resume_from: dict | None) -> None:
        self._before = float((resume_from or {}).get(self.KEY, 0.0))
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._began

    def timed(self, events: Generator[Event, None, SyntheticSet]) -> Generator[Event, None, SyntheticSet]:
        """The same events; a checkpoint's snapshot also holds the seconds so far. Returns what `events` returns."""
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            if isinstance(event, Checkpoint):
                event = replace(event, snapshot=lambda taken=event.snapshot: taken() | {self.KEY: self.seconds})
            yield event


def _load(request: RunRequest, context: Context) -> Generator[Event, None, Splits]:
    splits = yield from SOURCES[request.source].load(request.data, context.data_root)
    return splits.to(context.device)


def _compared(
    synthetic: SyntheticSet, splits: Splits, config: MethodConfig, request: RunRequest, context: Context
) -> Generator[Event, None, dict]:
    """The events of a comparison; returns its summary."""
    scores: list[Scored] = []
    for event in compare(synthetic, splits, config.student, request.evaluation, context):
        if isinstance(event, Scored):
            scores.append(event)
        yield event
    return summary(synthetic, splits, scores, config.student.name)


def summary(synthetic: SyntheticSet, splits: Splits, scores: list[Scored], student: str) -> dict:
    """The figures of a result: the outer step it comes from, samples, bytes, compression against the training set as stored, retention, speed-up."""
    return {
        "step": synthetic.step,
        "num_samples": len(synthetic.materialise()[0]),
        "num_bytes": synthetic.num_bytes(),
        "num_stored_values": synthetic.num_stored_values(),
        "full_samples": len(splits.train),
        "full_bytes": splits.train.raw_bytes,
        "compression": splits.train.raw_bytes / synthetic.num_bytes(),
        **against_full(summarise(scores), student),
    }


def _facts(splits: Splits, num_params: int, context: Context) -> dict:
    return {
        "device": str(context.device),
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
        "student_params": num_params,
        "sample_shape": list(splits.spec.sample_shape),
        "class_names": list(splits.spec.class_names),
    }
