"""What a comparison of representations takes, by a moment of each of its parts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping

import torch

from engine.config import EvaluationConfig, StudentConfig
from engine.context import Context
from engine.data.source import Splits
from engine.evaluation.bench import make_bench
from engine.evaluation.compare import architectures, has_full
from engine.evaluation.probing.compare import full_steps
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.judge import ELSEWHERE
from engine.evaluation.probing.pretrain import of_pairs, pretrain
from engine.evaluation.probing.probe import PROBE_BATCH, QUERIES_AT_ONCE, knn, linear_probe
from engine.events import Event, Progress
from engine.nets import make_encoder
from engine.synthetic.representations import RepresentationSet

TIMED_SECONDS = 0.3
MOST_TIMED = 30
"""Each part is tried until one of the two is reached."""
TIMED_IMAGES = 125


def try_comparison(
    synthetic: RepresentationSet,
    splits: Splits,
    student_config: StudentConfig,
    probing: ProbingConfig,
    evaluation: EvaluationConfig,
    context: Context,
    others: Mapping[str, Splits],
) -> Generator[Event, None, float]:
    """Seconds of `compare_representations` if nothing of it is cached, judged from a few steps of each of its parts."""
    total = 0.0
    configs = architectures(student_config, evaluation)
    for number, config in enumerate(configs):
        yield Progress("try networks", number, len(configs))
        is_own = number == 0
        bench = make_bench(splits, config, evaluation, context, is_own=is_own)
        splits_measured = bench.splits
        encoder = make_encoder(config, splits.spec, synthetic.num_dims, context.device)
        theta = encoder.init(context.stream("trial network"))
        inputs, targets = synthetic.pairs()
        draw = of_pairs(inputs, targets, probing.pretrain_batch, torch.Generator())
        step = _a_step(pretrain(encoder, theta, draw, probing, num_steps=MOST_TIMED + 1))
        few = splits.test.batch(torch.arange(min(len(splits.test), TIMED_IMAGES)))[0]
        with torch.no_grad():
            image = _seconds(lambda encoder=encoder, theta=theta, few=few: encoder(theta, few)) / len(few)
        most = probing.probe_images or (len(splits.train) if is_own else ELSEWHERE)
        num_labelled = min(len(splits.train), most)
        looked_at = num_labelled + len(splits_measured.validation) + len(splits_measured.test)
        if is_own:
            looked_at += sum(
                min(len(other.train), most) + len(other.validation) + len(other.test) for other in others.values()
            )
        judged = looked_at * image + _labels(num_labelled, looked_at, synthetic.num_dims, splits, probing) * (
            1 + len(others) * is_own
        )
        students = evaluation.num_students
        total += 3 * students * judged + 2 * students * probing.pretrain_steps * step
        if is_own and probing.fine_tune_steps:
            total += 3 * students * probing.fine_tune_steps * step
        if has_full(evaluation, is_own):
            total += students * (judged + full_steps(probing, evaluation, len(splits.train)) * step)
        if is_own:
            total += judged  # the teacher's, where it is as large as a student
    return total


def _labels(num_labelled: int, looked_at: int, num_dims: int, splits: Splits, probing: ProbingConfig) -> float:
    """Seconds of a linear probe and of nearest neighbours on features of so many images."""
    some = torch.randn(min(num_labelled, 10 * PROBE_BATCH), num_dims, generator=torch.Generator().manual_seed(0))
    labels, num_classes = torch.zeros(len(some), dtype=torch.int64), splits.spec.num_outputs
    brief = replace_epochs(probing, 1)
    a_pass = _seconds(lambda: linear_probe(some, labels, num_classes, brief, torch.Generator()))
    seconds = a_pass * probing.probe_epochs * num_labelled / len(some)
    if probing.neighbours:
        queries = some[:QUERIES_AT_ONCE]
        asked = _seconds(lambda: knn(some, labels, queries, probing.neighbours, num_classes))
        seconds += asked * num_labelled / len(some) * math.ceil((looked_at - num_labelled) / len(queries))
    return seconds


def replace_epochs(probing: ProbingConfig, epochs: int) -> ProbingConfig:
    """The same with another number of passes."""
    return probing.model_copy(update={"probe_epochs": epochs})


def _a_step(path) -> float:
    """Seconds of a step of a training, which is followed for a moment."""
    next(path)  # the first one also warms up
    began, count = time.perf_counter(), 0
    for _ in path:
        count += 1
        if time.perf_counter() - began > TIMED_SECONDS:
            break
    return (time.perf_counter() - began) / count


def _seconds(do: Callable[[], object]) -> float:
    """Seconds of a call, after one that warms up."""
    do()
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
