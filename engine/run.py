"""A run from start to end: load the data, distil, compare. One generator of events."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from engine.core import machine
from engine.core.config import DataConfig, MethodConfig, RunRequest, checked
from engine.core.context import Context, data_root
from engine.core.data_config import WindowConfig
from engine.core.errors import ConfigError
from engine.core.events import Begun, Checkpoint, Event, Finished, Scored, Started, Warned
from engine.core.students import students_for, title_of
from engine.data import num_held_out, sources
from engine.data.source import Source, Splits, TaskSpec, task_of
from engine.evaluation import comparison as comparisons
from engine.evaluation import widths
from engine.evaluation.bench import make_bench
from engine.evaluation.plan import architectures
from engine.evaluation.ratios import against_full
from engine.methods import METHODS, config_of, find_method
from engine.methods.method import Method
from engine.nets import STUDENTS, make_student
from engine.synthetic.base import SyntheticSet

Recorder = Callable[[Any, Any, Context], Generator[Event, None, dict[str, Any]]]
DATA_KEY = "data_fingerprint"
"""In a checkpoint's state: the fingerprint of the run's splits."""
SECONDS_KEY = "seconds_distilling"
"""In a checkpoint's state: seconds of distillation so far."""
COARSE = (
    "This run multiplies in TF32: three digits instead of seven, in meta-gradients too. Check a result that matters "
    "against a run with precision float32."
)


def resolve(request: RunRequest, root: Path | None = None, *, begins: bool = True) -> tuple[Method, MethodConfig]:
    """The method of a request and its checked config. Raises UserError for anything wrong.

    root: where data sets live, the data root if None. begins: False for a resumed run and for a result that is
    evaluated again, which skip checks that only a new run needs.
    """
    root = root or data_root()
    method = find_method(request.method)
    source = _source(request, root)
    choices = students_for(source.kind)
    for name in request.evaluation.students:
        if name not in choices and name not in STUDENTS:
            raise ConfigError(f"evaluation.students: there is no student '{name}'. Choose from: {', '.join(choices)}.")
    machine.pick_device(request.device)
    config = config_of(request)
    if source.kind == "images" and not request.data.validation_fraction:
        config = config.without_validation()
    spec = task_of(source, request.data)
    _check_task(method, source, spec)
    if request.action == "record":
        _recorder(method)
        if request.start:
            raise ConfigError(f"Recording makes no images. Leave the start out (run '{request.start}').")
    else:
        if request.action == "distill" and (wanted := config.real_per_class(spec)):
            _check_size(wanted, request, source)
        _check_start(config, request)
    if begins and request.action == "distill":
        config.check(spec, root)
    if begins and request.action != "record":
        _check_others(config, source, root)
    _check_architectures(config, request, spec)
    return method, config


def _check_architectures(config: MethodConfig, request: RunRequest, spec: TaskSpec) -> None:
    """Raise ConfigError for a network that does not fit the samples; no weight is made."""
    trained = architectures(config.student, request.evaluation)
    for key in [config.student.name] if request.action == "record" else trained:
        try:
            with torch.device("meta"):
                make_student(trained[key], spec, "meta")
        except ConfigError as error:
            if key in STUDENTS:
                raise
            raise ConfigError(f"evaluation.students, {title_of(key)}: {error} Or leave its pool out.") from None


def request_from_preset(source: str, method: str, preset: str, **changes) -> RunRequest:
    """The request that a preset stands for. Raises ConfigError if the method has no such preset for the source."""
    known = find_method(method).presets_for(source)
    if preset not in known:
        problem = f"Method '{method}' has no preset '{preset}' for source '{source}'."
        raise ConfigError(f"{problem} It has: {', '.join(known) or 'none'}.")
    values = {"source": source, "method": method, "preset": preset}
    values |= {part: getattr(known[preset], part) for part in ("config", "data", "evaluation")}
    return checked(RunRequest, values | changes, f"preset '{preset}'")


def run(request: RunRequest, context: Context) -> Generator[Event, None, SyntheticSet | None]:
    """Do what a request asks for. Yields events in order; returns the synthetic set, None for a recording.

    Raises UserError for what the user can fix; the worker turns exceptions into a Failed event.
    """
    method, config = resolve(request, context.data_root, begins=context.resume_from is None)
    start, distils = start_of(request, context), request.action == "distill"
    splits = yield from load_splits(request, context)
    if start is not None and request.action == "evaluate":
        _check_fits(start, splits)
    if distils:
        _check_same_data(context.resume_from, splits)
        if wanted := config.real_per_class(splits.spec):  # a data set may bring validation images of its own
            fewest = int(torch.bincount(splits.train.targets, minlength=splits.spec.num_outputs).min())
            _check_enough(wanted, fewest, f"The smallest class has {_images(fewest)} to train on.")
    bench = make_bench(splits, config.student, request.evaluation, context)
    yield Started(config.outer_steps if distils else 0, _facts(splits, bench.student.num_params, context))
    if request.action == "record":
        recorded = yield from _recorder(method)(splits, config, context)
        yield Finished(recorded | {"machine": machine.describe()})
        return None
    if start is not None and request.action == "evaluate":
        yield start.preview(start.step, splits)
    if distils and config.student.precision == "tf32" and context.device.type == "cuda":
        yield Warned(COARSE)
    if distils and context.resume_from is None and (caution := config.caution(splits.spec)):
        yield Warned(caution)
    others = yield from load_others(config, request.data.windows, context)
    compare = partial(method.comparison, splits, config, request.evaluation, context)
    if start is not None and request.action == "evaluate":
        results = yield from _compared(compare(start, others, context.begun))
        yield Finished(results | {"machine": machine.describe()})
        return start
    if context.resume_from is None and "validation" in splits.measured:
        yield from comparisons.baseline(compare())
    costs: comparisons.Costs = {}

    def planned(synthetic: SyntheticSet, begun: SyntheticSet | None) -> Event:
        return comparisons.timed(compare(synthetic, others, begun), costs)

    events = method.distill(splits, config, context)
    synthetic, begun, seconds = yield from _distilled(events, splits, config, request, context, planned)
    began = time.perf_counter()
    synthetic = yield from widths.as_stored(synthetic, config.asked_bits, compare)
    seconds += time.perf_counter() - began  # part of making the set
    yield synthetic.preview(synthetic.step, splits)
    results = yield from _compared(compare(synthetic, others, begun), costs)
    yield Finished(results | {"seconds_distilling": seconds, "machine": machine.describe()})
    return synthetic


def evaluate(request: RunRequest, synthetic: SyntheticSet, context: Context) -> Generator[Event, None, dict[str, Any]]:
    """Compare a finished set again, for instance with other students or more seeds. Returns the summary."""
    method, config = resolve(request, context.data_root, begins=False)
    splits = yield from load_splits(request, context)
    _check_fits(synthetic, splits)
    others = yield from load_others(config, request.data.windows, context)
    compared = method.comparison(splits, config, request.evaluation, context, synthetic, others, context.begun)
    return (yield from _compared(compared))


def start_of(request: RunRequest, context: Context) -> SyntheticSet | None:
    """The result that a run starts from or evaluates, if any. Raises ConfigError if it is missing."""
    if request.start and context.start is None:
        raise ConfigError(f"The result of run '{request.start}' is not available. Choose a run that has one.")
    if request.action == "evaluate" and context.start is None:
        raise ConfigError("There is nothing to evaluate: the request names no run with a result in 'start'.")
    return context.start


def _recorder(method: Method[Any, Any, Any]) -> Recorder:
    """The function that trains a method's experts or teacher. Raises ConfigError if it has none."""
    if method.record is None:
        able = ", ".join(f"'{other.key}'" for other in METHODS.values() if other.record is not None)
        problem = f"Method '{method.key}' follows no experts and no teacher, so there is nothing to record."
        raise ConfigError(f"{problem} Methods that do: {able or 'none'}.")
    return method.record


def _check_fits(synthetic: SyntheticSet, splits: Splits) -> None:
    """Raise ConfigError unless a result was made for the same kind of samples and classes, prepared alike."""
    theirs, spec = synthetic.spec, splits.spec
    if replace(theirs, class_names=()) != replace(spec, class_names=()):
        problem = f"This result was made for {theirs.describe()}, but the data set and its settings are"
        raise ConfigError(f"{problem} {spec.describe()}. Evaluate it with those of the run that made it.")
    for number, (ours, its) in enumerate(zip(spec.class_names, theirs.class_names, strict=True), 1):
        if ours != its:
            problem = f"{spec.group} {number} of this result is '{its}', of the data set '{ours}'."
            raise ConfigError(f"{problem} Choose the data set that it was made from.")
    prepared, made_by = getattr(splits, "preparation", None), synthetic.preparation
    if prepared is not None and made_by is not None and not prepared.is_like(made_by):
        problem = "This result was made from data prepared differently (normalisation, whitening, scaling, or fitted"
        raise ConfigError(f"{problem} on other data). Evaluate it with the data preparation of the run that made it.")


def _check_same_data(resume_from: dict | None, splits: Splits) -> None:
    """Raise ConfigError if a run would resume on other data: it may have trained on what is now test data."""
    if resume_from is not None and resume_from.get(DATA_KEY, splits.fingerprint) != splits.fingerprint:
        problem = "The data set has changed since this run began: it was imported again with other files or options."
        raise ConfigError(f"{problem} Start a new run with the same settings instead.")


def starting_set(event: Begun, config: MethodConfig) -> SyntheticSet | None:
    """A copy of a set as it begins; None for noise, which trains nothing."""
    return None if config.starts_from == "noise" else copy.deepcopy(event.synthetic)


def _distilled(
    events: Generator[Event, None, SyntheticSet],
    splits: Splits,
    config: MethodConfig,
    request: RunRequest,
    context: Context,
    planned: Callable[[SyntheticSet, SyntheticSet | None], Event],
) -> Generator[Event, None, tuple[SyntheticSet, SyntheticSet | None, float]]:
    """Yield the method's events. Returns the set, what it began as, and the seconds it took, before a resume too.

    Each set gets its preparation and request, so that its file stands alone; each snapshot gets the seconds of work and
    the data's fingerprint. After the first checkpoint the comparison is timed (`planned`).
    """
    before = float((context.resume_from or {}).get(SECONDS_KEY, 0.0))
    began, is_planned, begun = time.perf_counter() - before, False, context.begun
    preparation, asked = getattr(splits, "preparation", None), request.model_dump(mode="json")
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value.provided(preparation, asked), begun, time.perf_counter() - began
        if isinstance(event, Begun):
            begun = starting_set(event, config)
            if begun is None:
                continue
            event = Begun(begun.provided(preparation, asked))
        if isinstance(event, Checkpoint):
            event.synthetic.provided(preparation, asked)
            event = replace(event, snapshot=partial(_snapshot, event.snapshot, began, splits.fingerprint))
        yield event
        if isinstance(event, Checkpoint) and not is_planned:
            is_planned, paused = True, time.perf_counter()
            yield planned(event.synthetic, begun)
            began += time.perf_counter() - paused


def _snapshot(taken: Callable[[], dict[str, Any]], began: float, fingerprint: str) -> dict[str, Any]:
    """The state of a checkpoint, with the seconds of work so far and the data's fingerprint."""
    return taken() | {SECONDS_KEY: time.perf_counter() - began, DATA_KEY: fingerprint}


def _source(request: RunRequest, root: Path) -> Source:
    known = sources(root)
    if request.source in known:
        return known[request.source]
    if ":" in request.source:
        problem = f"The imported data set '{request.source}' is not on this machine, or was deleted. Import it again"
        raise ConfigError(f"{problem} under the name '{request.source.partition(':')[2]}', or choose another data set.")
    raise ConfigError(f"There is no source '{request.source}'. Choose one of: {', '.join(known)}.")


def _check_task(method: Method, source: Source, spec: TaskSpec) -> None:
    """Raise ConfigError for a method of images on prices, and the other way round."""
    if spec.task not in method.tasks:
        able = ", ".join(f"'{other.key}'" for other in METHODS.values() if spec.task in other.tasks)
        problem = f"Method '{method.key}' cannot be used with {source.title}, which is a data set of {source.kind}."
        raise ConfigError(f"{problem} Methods for those: {able}.")


def _check_size(wanted: int, request: RunRequest, source: Source) -> None:
    """Raise ConfigError if a set takes the bytes of more images per class, `wanted`, than there are to train on."""
    (held_out,) = num_held_out([source.fewest_per_class], request.data.validation_fraction)
    smallest = _images(source.fewest_per_class, "training ")
    smallest += f", {held_out} of them for validation" if held_out else ""
    _check_enough(wanted, source.fewest_per_class - held_out, f"{source.title}: its smallest class has {smallest}.")
    if limit := request.data.train_limit:
        most = limit // len(source.class_names)
        found = f"{source.title}: a limit of {_images(limit, 'training ')} leaves {most} of each class."
        _check_enough(wanted, most, found, "raise the limit")


def _check_enough(wanted: int, most: int, found: str, otherwise: str = "bring more images") -> None:
    """Raise ConfigError if `most` images per class are fewer than `wanted`; found: where they are."""
    if wanted > most:
        stored = f"The synthetic set takes the bytes of {_images(wanted, 'real ')} per class, so it would be no smaller"
        lower = f"Lower the images per class to {most} or less at 8 bits per value, or {otherwise}."
        raise ConfigError(f"{found} {stored}. {lower if most else f'{otherwise.capitalize()}.'}")


def _images(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{'image' if count == 1 else 'images'}"


def _check_start(config: MethodConfig, request: RunRequest) -> None:
    """Raise ConfigError for a start that is named but not used, or the other way round."""
    if request.action == "evaluate":
        return
    start = config.starts_from
    if start == "result" and not request.start:
        problem = "There is no result to start from: no run is named in 'start'."
        raise ConfigError(f"{problem} Open a finished run and choose 'Start from this result'.")
    if request.start and config.begun_from_result({}) is None:
        raise ConfigError(f"Method '{request.method}' cannot start from a result. Leave the start out.")
    if request.start and start != "result":
        problem = f"This run starts from {start}, but names run '{request.start}' to start from."
        raise ConfigError(f"{problem} Set config.{config.start_option} to 'result', or leave the start out.")


def load_splits(request: RunRequest, context: Context) -> Generator[Event, None, Splits]:
    """The data of a request on the context's device. Raises ConfigError or DataError if they are not available."""
    splits = yield from _source(request, context.data_root).load(request.data, context.data_root)
    return splits.to(context.device)


def _compared(
    comparison: comparisons.Comparison[Any], costs: comparisons.Costs | None = None
) -> Generator[Event, None, dict[str, Any]]:
    """The events of a comparison. Returns the figures of the result: samples, bytes, retention, gap closed and so on.

    costs: known seconds per unit of work. Compression is relative to the training set as stored.
    """
    scores: list[Scored] = []
    for event in comparisons.run(comparison, comparison.plan(), costs):
        if isinstance(event, Scored):
            scores.append(event)
        yield event
    synthetic, train = comparison.sets["distilled"], comparison.splits.train
    compression = train.raw_bytes / synthetic.num_bytes()
    full = {"full_samples": len(train), "full_bytes": train.raw_bytes, "compression": compression}
    return synthetic.sizes() | full | against_full(scores, comparison.config.student.name)


def load_others(
    config: MethodConfig, windows: WindowConfig, context: Context
) -> Generator[Event, None, dict[str, Splits]]:
    """The splits of the other sources of a comparison by key. windows: of the run; images take the defaults."""
    found = {}
    for key in config.others:
        source = sources(context.data_root)[key]
        found[key] = yield from source.load(DataConfig(windows=windows), context.data_root)
    return found


def _check_others(config: MethodConfig, source: Source, root: Path) -> None:
    """Raise ConfigError for other sources that are unknown, missing, or of another kind than that of the run."""
    known = {key: other for key, other in sources(root).items() if other.kind == source.kind}
    for key in config.others:
        if key not in known:
            choices = f"Choose one of {source.kind}: {', '.join(known)}."
            raise ConfigError(f"There is no source '{key}' to transfer to. {choices}")
        available = known[key].availability(root)
        if available.state == "missing":
            raise ConfigError(f"{known[key].title}, to transfer to, is not here: {available.message}")


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
