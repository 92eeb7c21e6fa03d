"""The time, memory and disk that a request takes, extrapolated from a short trial on this machine.

The trial loads the data, records for a few steps if experts or a teacher are missing, distils for a few outer steps
with the request's own settings, and times each kind of training step of the comparison. The rest is counting.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.core import machine
from engine.core.checkpoint import NUM_KEPT
from engine.core.config import MethodConfig, RunRequest, Validation
from engine.core.context import Context
from engine.core.events import Begun, Checkpoint, Event, Measured, Preview, Progress, to_json
from engine.data.source import LabelledSet, Splits
from engine.evaluation import widths
from engine.evaluation.bench import Bench, make_bench
from engine.evaluation.comparison import Comparison, Costs, planned_seconds, price
from engine.methods.method import Method
from engine.pretrained.recording import estimate_recording
from engine.run import load_others, load_splits, resolve, start_of, starting_set
from engine.synthetic.base import SyntheticSet

STEP_SECONDS = 3.0
"""Longest trial of outer steps, of which one is always finished."""
ENOUGH_SECONDS = 1.0
TIMED_STEPS = 2
"""Steps to time after the first, which also warms up."""
TRYING_STEPS = "try outer steps"
LOOKED_AT = 5000
"""Training images of a trial whose method sees all images before its first step."""
SAMPLE_SECONDS = 0.2
"""How long each kind of training step is timed."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take. Memory is what it adds to its process, on its device.

    num_steps: outer steps planned; num_timed: those that were timed. num_recorded of num_experts experts (or teachers)
    are cached; expert_bytes: what the missing ones take of `disk_bytes`. lower_bound: the trial was cut short, so time
    and memory are at least these. is_out_of_memory: the run needs more than `memory_bytes`. beside: another run was
    working meanwhile.
    """

    num_steps: int = 0
    num_timed: int = 0
    seconds_preparing: float = 0.0
    seconds_recording: float = 0.0
    seconds_per_step: float = 0.0
    seconds_distilling: float = 0.0
    seconds_evaluating: float = 0.0
    memory_bytes: int = 0
    available_memory: int = 0
    disk_bytes: int = 0
    available_disk: int = 0
    num_experts: int = 0
    num_recorded: int = 0
    expert_bytes: int = 0
    device: str = "cpu"
    lower_bound: bool = False
    is_out_of_memory: bool = False
    beside: bool = False

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.seconds_preparing + self.seconds_recording + self.seconds_distilling + self.seconds_evaluating

    def cut_short(self, phase: str, seconds: float) -> Estimate:
        """The estimate when a trial is ended `seconds` into a phase."""
        if phase != TRYING_STEPS:
            return replace(self, lower_bound=True)
        return replace(self, seconds_per_step=seconds, seconds_distilling=seconds * self.num_steps, lower_bound=True)


def estimate(request: RunRequest, context: Context) -> Generator[Event | Estimate, None, Estimate]:
    """Try a request. Yields Progress, and after each part an Estimate of what is known so far.

    Raises what the run itself would raise: UserError, and MemoryError or RuntimeError if memory is too small.
    """
    method, config = resolve(request, context.data_root)
    start = start_of(request, context)
    found = Estimate(
        num_steps=config.outer_steps if request.action == "distill" else 0,
        available_memory=machine.available_memory(context.device),
        available_disk=free_disk(context.cache_root),
        device=context.device.type,
    )
    others: dict[str, Splits] = {}

    def compared(synthetic: SyntheticSet, begun: SyntheticSet | None) -> Comparison[Any]:
        return method.comparison(splits, config, request.evaluation, context, synthetic, others, begun)

    with machine.PeakMemory(context.device) as memory:

        def known(**values: Any) -> Estimate:
            """The estimate with more of its values, and the memory used so far."""
            nonlocal found
            found = replace(found, memory_bytes=memory.bytes, **values)
            return found

        yield found
        began = time.perf_counter()
        splits = yield from load_splits(request, context)
        bench = make_bench(splits, config.student, request.evaluation, context)
        yield known(seconds_preparing=time.perf_counter() - began)
        if request.action != "record":
            others |= yield from load_others(config, request.data.windows, context)
        if request.action == "evaluate" and start is not None:
            comparison = compared(start, context.begun)
            seconds = yield from planned_seconds(comparison, comparison.plan(), {}, SAMPLE_SECONDS)
            return known(seconds_evaluating=sum(seconds.values()), disk_bytes=2 * _set_bytes(start))
        if method.trainer is not None:
            planned = yield from estimate_recording(method.trainer(splits, config, context))
            counts = {"num_experts": planned.num_networks, "num_recorded": planned.num_recorded}
            missing = planned.missing_bytes
            yield known(seconds_recording=planned.seconds, disk_bytes=missing, expert_bytes=missing, **counts)
        if request.action == "record":
            return found
        with _cache_of_its_own(method, context) as apart:
            steps = yield from _try_steps(method, config.for_trial(), _enough_to_try(method, splits), apart)
        yield known(
            num_timed=steps.num_timed,
            seconds_preparing=found.seconds_preparing + steps.seconds_before,
            seconds_per_step=steps.seconds,
            seconds_distilling=steps.seconds * found.num_steps,
            disk_bytes=steps.kept_bytes + found.expert_bytes + 4 * bench.student.num_params,  # a student is kept
        )
        comparison, costs = compared(steps.synthetic, steps.begun), Costs()
        live = comparison.baseline() if "validation" in splits.measured else ()
        trainings = tuple(dict.fromkeys([*live, *comparison.plan()]))
        seconds = yield from planned_seconds(comparison, trainings, costs, SAMPLE_SECONDS)
        bench = comparison.bench(config.student.name)
        before = yield from price(comparison, bench, comparison.work_before(bench), costs, SAMPLE_SECONDS)
        work = comparison.validation_work(bench, config.validation())
        validation = yield from price(comparison, bench, work, costs, SAMPLE_SECONDS)
        storing = yield from price(comparison, bench, _storing_work(comparison, config, bench), costs, SAMPLE_SECONDS)
        return known(
            seconds_preparing=found.seconds_preparing + before,
            seconds_distilling=_distilling(steps, validation, config),
            seconds_evaluating=sum(seconds.values()) + storing,
        )


def _storing_work(comparison: Comparison[Any], config: MethodConfig, bench: Bench) -> Counter[str]:
    """What it takes to choose the bits per value at the end of a run, if all widths are tried."""
    if config.asked_bits == 32 or not len(comparison.splits.validation):
        return Counter()
    trials = comparison.trials()
    tried = widths.tried_widths(config.asked_bits, comparison.distilled.usual_bits)
    again = Validation(students=len(trials) * len(tried), steps=trials[0].num_steps)
    return comparison.validation_work(bench, again)


def _enough_to_try(method: Method, splits: Splits) -> Splits:
    """The data of a trial: a part of it for a method that sees all data before its first step."""
    if method.result != "representations":
        return splits

    def part(data: LabelledSet, count: int) -> LabelledSet:
        return data.subset(torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:count])

    few = LOOKED_AT // 10
    validation, test = part(splits.validation, few), part(splits.test, few)
    return replace(splits, train=part(splits.train, LOOKED_AT), validation=validation, test=test)


@contextlib.contextmanager
def _cache_of_its_own(method: Method, context: Context) -> Iterator[Context]:
    """The context with a temporary cache for a method that follows experts, so that those of a trial are not kept."""
    if method.record is None:
        yield context
        return
    with tempfile.TemporaryDirectory() as folder:
        yield replace(context, cache_root=Path(folder))


def free_disk(folder: Path) -> int:
    """Bytes free on the disk that holds a folder, which may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


# ---------------------------------------------------------------------------------------------- outer steps


@dataclass(frozen=True)
class _Steps:
    """Measurements of a few outer steps, the set they made, and what it began as.

    seconds_before: the first step. seconds: per step. validated: the share of the timed steps with a validation.
    kept_bytes: what the whole run will store.
    """

    synthetic: SyntheticSet
    begun: SyntheticSet | None
    num_timed: int
    seconds_before: float
    seconds: float
    validated: float
    kept_bytes: int


def _try_steps(
    method: Method, config: MethodConfig, splits: Splits, context: Context
) -> Generator[Event, None, _Steps]:
    """Distil for a few outer steps."""
    yield Progress(TRYING_STEPS, 0, config.outer_steps)
    began = ready = time.perf_counter()
    times: list[tuple[int, float]] = []
    preview_bytes = event_bytes = 0
    is_ready, begun = False, None
    with contextlib.closing(method.distill(splits, config, context)) as events:
        for event in events:
            now = time.perf_counter()
            if not is_ready:
                ready = now
            if isinstance(event, Measured):
                times.append((event.step, now))
                event_bytes = max(event_bytes, len(json.dumps(to_json(event))))
            elif isinstance(event, Begun):
                begun = starting_set(event, config)
            elif isinstance(event, Checkpoint):
                checkpoint = event
                if now - ready > STEP_SECONDS or (len(times) > TIMED_STEPS and now - ready > ENOUGH_SECONDS):
                    break
            elif isinstance(event, Preview):
                preview_bytes = _preview_bytes(event)
                is_ready = True  # after the first picture come outer steps alone
                yield Progress(TRYING_STEPS, 0, config.outer_steps)
            elif isinstance(event, Progress) and not is_ready:
                yield event
        state_bytes = _checkpoint_bytes(checkpoint)
    (_, first), (_, last) = times[0], times[-1]
    timed = times[1:] or times
    return _Steps(
        synthetic=checkpoint.synthetic,
        begun=begun,
        num_timed=len(timed),
        seconds_before=ready - began,
        seconds=(last - first if len(times) > 1 else first - ready) / len(timed),
        validated=sum(config.wants_validation(step) for step, _ in timed) / len(timed),
        kept_bytes=(NUM_KEPT + 1) * state_bytes  # one more while it is written
        + preview_bytes * (config.previews + 2)
        + event_bytes * config.outer_steps
        + 3 * _set_bytes(checkpoint.synthetic),
    )


def _distilling(steps: _Steps, validation_seconds: float, config: MethodConfig) -> float:
    """Seconds of all outer steps and validations, each of which takes `validation_seconds`."""
    validation = config.validation()
    plain = max(0.1 * steps.seconds, steps.seconds - steps.validated * validation_seconds)
    times = min(validation.times, config.outer_steps) + validation.at_end
    return plain * config.outer_steps + validation_seconds * times


def _preview_bytes(event: Preview) -> int:
    """Bytes of a stored preview: its samples, further views, and its poster or candles if any."""
    parts = [value for part in (event.poster, event.candles) if part is not None for value in vars(part).values()]
    further = [*event.views.values(), *(value for value in parts if isinstance(value, np.ndarray))]
    return event.images.nbytes + sum(value.nbytes for value in further)


def _checkpoint_bytes(event: Checkpoint) -> int:
    """Bytes of a checkpoint file late in the run, when it also holds a best set."""
    return _tensor_bytes(event.snapshot()) + _set_bytes(event.synthetic)


def _set_bytes(synthetic: SyntheticSet) -> int:
    """Bytes of a result file: the set, and how its samples were prepared."""
    prepared = synthetic.preparation.state() if synthetic.preparation is not None else {}
    return _tensor_bytes(synthetic.state_dict()) + _tensor_bytes(prepared)


def _tensor_bytes(state: dict[str, Any]) -> int:
    return sum(value.nbytes for value in state.values() if isinstance(value, Tensor))
