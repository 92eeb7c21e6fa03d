"""What a request takes: time, memory and disk, measured on a moment of the real thing on this machine.

The data are loaded as in the run, an expert is trained for a few steps where a method follows some that are not recorded,
the method does a few outer steps with the request's own settings, and one student of each architecture is trained a little
under each protocol. The rest is counting: epochs of experts, outer steps, and the trainings of the comparison. Real arms that an earlier run has measured cost nothing; they are counted all the same.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.core import machine
from engine.core.checkpoint import NUM_KEPT
from engine.core.config import EvaluationConfig, MethodConfig, RunRequest
from engine.core.context import Context
from engine.core.errors import ConfigError
from engine.core.events import Checkpoint, Event, Preview, Progress, to_json
from engine.data.source import LabelledSet, Splits
from engine.evaluation import baselines
from engine.evaluation.bench import Bench, make_bench
from engine.evaluation.compare import (
    CONSTANT_RATES,
    SMALL_SET_LRS,
    architectures,
    full_passes,
    has_full,
    has_hard_arm,
    rates_tried,
    versions,
    ways_of,
)
from engine.evaluation.random_batches import choosing_steps, lengths, own_rate, rates_for_real
from engine.evaluation.train import EVALUATION_BATCH, Recipe, accuracy, as_distilled, at_random, ordinary
from engine.methods.method import Method
from engine.run import load_others, load_splits, resolve
from engine.synthetic.base import SyntheticSet

STEP_SECONDS = 3.0
"""Outer steps are tried for no longer than this, but one is always finished."""
ENOUGH_SECONDS = 1.0
TIMED_STEPS = 2
"""Steps to time after the first, which also makes ready what later ones find."""
TRYING_STEPS = "try outer steps"
LOOKED_AT = 5000
"""Training images of a trial whose method looks at all of them first."""
SAMPLE_SECONDS = 0.2
MOST_TIMED = 50
"""Students are tried until one of the two is reached."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take. Memory is what it adds to its process, on the device that it computes on.

    num_steps: outer steps planned; num_timed: those that were timed. num_recorded of num_experts experts (or teachers) are in the cache;
    expert_bytes: what the others take of `disk_bytes`.
    lower_bound: the trial was cut short, so that time and memory are at least these. is_out_of_memory: it was the memory
    that ended it: the run needs more than `memory_bytes`. beside: another run was working meanwhile.
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
        """The whole run, from its start to its last score."""
        return self.seconds_preparing + self.seconds_recording + self.seconds_distilling + self.seconds_evaluating

    def cut_short(self, phase: str, seconds: float) -> Estimate:
        """What is known once a trial is ended that was `seconds` into a phase."""
        if phase != TRYING_STEPS:
            return replace(self, lower_bound=True)
        return replace(self, seconds_per_step=seconds, seconds_distilling=seconds * self.num_steps, lower_bound=True)


def estimate(request: RunRequest, context: Context) -> Generator[Event | Estimate, None, Estimate]:
    """Try a request for a moment.

    Yields Progress, and after each part an Estimate of what is known so far. Raises what the run itself would raise:
    UserError, and MemoryError or RuntimeError where memory does not suffice.
    """
    method, config = resolve(request, context.data_root)
    if (request.start or request.action == "evaluate") and context.start is None:
        raise ConfigError(f"The result of run '{request.start}' is not at hand. Choose a run that has one.")
    found = Estimate(
        num_steps=config.outer_steps if request.action == "distill" else 0,
        available_memory=machine.available_memory(context.device),
        available_disk=free_disk(context.cache_root),
        device=context.device.type,
    )
    with machine.PeakMemory(context.device) as memory:
        yield found
        began = time.perf_counter()
        splits = yield from load_splits(request, context)
        bench = make_bench(splits, config.student, request.evaluation, context)
        found = replace(found, seconds_preparing=time.perf_counter() - began, memory_bytes=memory.bytes)
        yield found
        if request.action == "evaluate":
            seconds = yield from _comparing(method, config, request, bench, context.start)
            return replace(
                found,
                seconds_evaluating=seconds,
                memory_bytes=memory.bytes,
                disk_bytes=2 * _set_bytes(context.start),
            )
        if method.record is not None:
            planned = yield from method.try_record(splits, config, context)
            found = replace(
                found,
                seconds_recording=planned.seconds,
                memory_bytes=memory.bytes,
                disk_bytes=planned.missing_bytes,
                num_experts=planned.num_networks,
                num_recorded=planned.num_recorded,
                expert_bytes=planned.missing_bytes,
            )
            yield found
        if request.action == "record":
            return found
        with _cache_of_its_own(method, context) as apart:
            steps = yield from _try_steps(method, config.for_trial(), _enough_to_try(method, splits), apart)
        found = replace(
            found,
            num_timed=steps.num_timed,
            seconds_preparing=found.seconds_preparing + steps.seconds_before,
            seconds_per_step=steps.seconds,
            seconds_distilling=steps.seconds * found.num_steps,
            memory_bytes=memory.bytes,
            disk_bytes=steps.kept_bytes + found.expert_bytes,
        )
        yield found
        if method.try_compare is not None:
            seconds = yield from _comparing(method, config, request, bench, steps.synthetic)
            return replace(found, seconds_evaluating=seconds, memory_bytes=memory.bytes)
        costs = yield from _try_students(bench, steps.synthetic)
        return replace(
            found,
            seconds_distilling=_distilling(steps, costs[0], config, splits),
            seconds_evaluating=_comparison(costs, steps.synthetic) + _baseline(costs[0], steps.synthetic, config),
            memory_bytes=memory.bytes,
        )


def _enough_to_try(method: Method, splits: Splits) -> Splits:
    """The data of a trial: a part of them for a method that looks at all of them before its first step, which it counts itself."""
    if method.result != "representations":
        return splits

    def part(data: LabelledSet, count: int) -> LabelledSet:
        return data.subset(torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:count])

    few = LOOKED_AT // 10
    return replace(
        splits,
        train=part(splits.train, LOOKED_AT),
        validation=part(splits.validation, few),
        test=part(splits.test, few),
    )


@contextlib.contextmanager
def _cache_of_its_own(method: Method, context: Context) -> Iterator[Context]:
    """A context in which a method that follows experts keeps those of a trial apart, and no longer than it lasts."""
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
    """A few outer steps: seconds before the first and of one, the set as they left it, bytes the whole run will keep.

    validated: the share of the timed steps that also tried the set on validation data.
    """

    synthetic: SyntheticSet
    num_timed: int
    seconds_before: float
    seconds: float
    validated: float
    kept_bytes: int


def _try_steps(
    method: Method, config: MethodConfig, splits: Splits, context: Context
) -> Generator[Event, None, _Steps]:
    """Begin to distil and stop after a few outer steps."""
    yield Progress(TRYING_STEPS, 0, config.outer_steps)
    began = ready = time.perf_counter()
    times: list[tuple[int, float]] = []
    preview_bytes = event_bytes = 0
    is_ready = False
    with contextlib.closing(method.distill(splits, config, context)) as events:
        for event in events:
            now = time.perf_counter()
            if not is_ready:
                ready = now
            if event.kind == "measured":
                times.append((event.step, now))
                event_bytes = max(event_bytes, len(json.dumps(to_json(event))))
            elif event.kind == "checkpoint":
                checkpoint = event
                if now - ready > STEP_SECONDS or (len(times) > TIMED_STEPS and now - ready > ENOUGH_SECONDS):
                    break
            elif event.kind == "preview":
                preview_bytes = _preview_bytes(event)
                is_ready = True  # after the first picture come outer steps alone
                yield Progress(TRYING_STEPS, 0, config.outer_steps)
            elif event.kind == "progress" and not is_ready:
                yield event
        state_bytes = _checkpoint_bytes(checkpoint)
    (_, first), (_, last) = times[0], times[-1]
    timed = times[1:] or times
    return _Steps(
        synthetic=checkpoint.synthetic,
        num_timed=len(timed),
        seconds_before=ready - began,
        seconds=(last - first if len(times) > 1 else first - ready) / len(timed),
        validated=sum(config.wants_validation(step) for step, _ in timed) / len(timed),
        kept_bytes=(NUM_KEPT + 1) * state_bytes  # one more while it is written
        + preview_bytes * (config.previews + 2)
        + event_bytes * config.outer_steps
        + 2 * _set_bytes(checkpoint.synthetic),
    )


def _distilling(steps: _Steps, cost: _Cost, config: MethodConfig, splits: Splits) -> float:
    """Seconds of all outer steps and of the validations between them."""
    validation = config.validation()
    once = validation.students * (validation.steps * cost.inner_step + cost.sample * len(splits.validation))
    plain = max(0.1 * steps.seconds, steps.seconds - steps.validated * once)
    times = min(validation.times, config.outer_steps) + validation.at_end
    return plain * config.outer_steps + once * times


def _preview_bytes(event: Preview) -> int:
    """Bytes of a picture of the set as it is kept: its samples, further views and, where it has them, its poster or its candles."""
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


# ---------------------------------------------------------------------------------------------- students


def _comparing(
    method: Method, config: MethodConfig, request: RunRequest, bench: Bench, synthetic: SyntheticSet
) -> Generator[Event, None, float]:
    """Seconds of the comparison of a set, a method's own where it has one."""
    if method.try_compare is None:
        costs = yield from _try_students(bench, synthetic)
        return _comparison(costs, synthetic)
    others = yield from load_others(config, request.data.windows, bench.context)
    return (yield from method.try_compare(synthetic, bench.splits, config, bench.evaluation, bench.context, others))


@dataclass(frozen=True)
class Workload:
    """What `compare` does with one architecture.

    inner_steps: of all trainings as distilled, or so without augmentation. ordinary: trainings of `evaluation.ordinary_steps` on a small set.
    full_steps: minibatches of the full set, over all students. draws: of each small arm of real images. tests,
    validations: passes over those splits.
    """

    inner_steps: int
    ordinary: int
    full_steps: int
    draws: int
    tests: int
    validations: int


def workload(evaluation: EvaluationConfig, num_train: int, synthetic: SyntheticSet, is_own: bool) -> Workload:
    """The trainings of a comparison, as `engine.evaluation.compare` goes through its arms.

    is_own: with the architecture that the set was made for; a set made for one start is tried as distilled once there.
    """
    training, students, arms = synthetic.training, evaluation.num_students, len(baselines.DRAWS)
    sets, ways, recipes = len(versions(synthetic)), len(ways_of(training, evaluation, is_own)), len(rates_tried(is_own))
    starts = 1 if is_own and training.start_seed is not None else students
    own = starts * (sets * ways + has_hard_arm(synthetic, is_own))
    full = students if has_full(evaluation, is_own) else 0
    if training.batch_size:
        num_steps, num_lengths = evaluation.inner_steps, len(lengths(evaluation.inner_steps))
        rates, choosing = len(rates_for_real(training, own_rate(synthetic))), choosing_steps(num_steps)
    else:
        num_steps, num_lengths = training.num_steps, 1
        rates, choosing = 1 + len(CONSTANT_RATES), num_steps
    return Workload(
        inner_steps=own * num_steps + arms * ways * (rates * choosing + students * num_steps),
        ordinary=(sets + arms) * (recipes + students),
        full_steps=full * full_passes(evaluation, num_train) * max(1, num_train // evaluation.batch_size),
        draws=(1 + ways) * (1 + students),
        tests=own * num_lengths + sets * students + arms * (1 + ways * num_lengths) * students + full,
        validations=own * num_lengths
        + sets * (students + recipes)
        + arms * (ways * rates + recipes + (1 + ways * num_lengths) * students)
        + full,
    )


@dataclass(frozen=True)
class _Cost:
    """Seconds with one architecture.

    inner_step: of a step as distilled. small_step, full_step: of a minibatch of the distilled and of the full set in
    ordinary training. sample: of one sample's test. draw: of one draw from each of the small arms of real images.
    """

    bench: Bench
    inner_step: float
    small_step: float
    full_step: float
    sample: float
    draw: float

    def trainings(self, count: int) -> float:
        """Of so many ordinary trainings on a small set."""
        return count * self.bench.evaluation.ordinary_steps * self.small_step


def _try_students(bench: Bench, synthetic: SyntheticSet) -> Generator[Event, None, list[_Cost]]:
    """What each architecture of the comparison costs, that of the bench first."""
    configs = architectures(bench.student_config, bench.evaluation)
    count = baselines.samples_at_equal_storage(synthetic.num_stored_values(), bench.splits.spec)
    splits = bench.splits
    draw = sum(_seconds(bench, lambda arm=arm: bench.real(arm, count, 0)) for arm in baselines.DRAWS)
    costs = []
    for number, config in enumerate(configs):
        yield Progress("try students", number, len(configs))
        if number:
            bench = make_bench(splits, config, bench.evaluation, bench.context, is_own=False)
        costs.append(_cost(bench, synthetic, draw))
    return costs


def _cost(bench: Bench, synthetic: SyntheticSet, draw: float) -> _Cost:
    splits, student, theta = bench.splits, bench.student, bench.start(0)
    few = splits.test.subset(torch.arange(min(len(splits.test), EVALUATION_BATCH)))
    distilled = LabelledSet(*synthetic.materialise(), lambda inputs: inputs)
    return _Cost(
        bench=bench,
        inner_step=_inner_step_seconds(bench, synthetic, distilled),
        small_step=_ordinary_step_seconds(bench, distilled),
        full_step=_ordinary_step_seconds(bench, splits.train) if has_full(bench.evaluation, bench.is_own) else 0.0,
        sample=_seconds(bench, lambda: accuracy(student, theta, few)) / len(few),
        draw=draw,
    )


def _comparison(costs: list[_Cost], synthetic: SyntheticSet) -> float:
    """Seconds of `compare` over all architectures."""
    total = 0.0
    for cost in costs:
        splits = cost.bench.splits
        load = workload(cost.bench.evaluation, len(splits.train), synthetic, cost.bench.is_own)
        total += load.inner_steps * cost.inner_step + cost.trainings(load.ordinary) + load.full_steps * cost.full_step
        total += cost.sample * (load.tests * len(splits.test) + load.validations * len(splits.validation))
        total += load.draws * cost.draw
    return total


def _baseline(cost: _Cost, synthetic: SyntheticSet, config: MethodConfig) -> float:
    """Seconds of the random real images measured before the first outer step; none where the comparison uses them again."""
    splits = cost.bench.splits
    planned = baselines.samples_of_values(config.size(splits.spec).num_values, splits.spec)
    if planned == baselines.samples_at_equal_storage(synthetic.num_stored_values(), splits.spec):
        return 0.0
    students, recipes = cost.bench.evaluation.num_students, len(SMALL_SET_LRS)
    samples = (recipes + students) * len(splits.validation) + students * len(splits.test)
    return cost.trainings(recipes + students) + cost.sample * samples


def _inner_step_seconds(bench: Bench, synthetic: SyntheticSet, distilled: LabelledSet) -> float:
    """Seconds of one step as distilled."""
    student, theta, training = bench.student, bench.start(0), synthetic.training
    if not training.batch_size:
        return _seconds(bench, lambda: as_distilled(student, theta, synthetic)) / training.num_steps
    rate, augment = own_rate(synthetic), bench.splits.augment
    path = at_random(student, theta, distilled, training, rate, MOST_TIMED, torch.Generator(), augment)
    return _step_seconds(bench, path)


def _ordinary_step_seconds(bench: Bench, data: LabelledSet) -> float:
    """Seconds of one minibatch of ordinary training."""
    recipe = Recipe(MOST_TIMED, bench.evaluation.batch_size, 1e-3)
    path = ordinary(bench.student, bench.start(0), data, recipe, torch.Generator(), bench.splits.augment)
    return _step_seconds(bench, path)


def _step_seconds(bench: Bench, path: Iterator[Tensor]) -> float:
    """Seconds of a step of a training, which is followed for a moment."""
    next(path)  # the first one also warms up
    began, count = bench.now(), 0
    for _ in path:
        count += 1
        if bench.now() - began > SAMPLE_SECONDS:
            break
    return (bench.now() - began) / count


def _seconds(bench: Bench, do: Callable[[], object]) -> float:
    """Seconds of a call: of the first if it is long, else the mean of those after it."""
    began = bench.now()
    do()
    first = bench.now() - began
    if first > STEP_SECONDS:
        return first
    began, count = bench.now(), 0
    while count < MOST_TIMED and (count == 0 or bench.now() - began < SAMPLE_SECONDS):
        do()
        count += 1
    return (bench.now() - began) / count
