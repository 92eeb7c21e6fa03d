"""What a comparison of representations takes, by a moment of each of its parts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Event, Progress
from engine.data.source import Splits
from engine.evaluation.bench import Bench, make_bench
from engine.evaluation.compare import architectures, has_full
from engine.evaluation.probing.compare import SHORT_IMAGES, full_steps
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.judge import ELSEWHERE
from engine.evaluation.probing.pretrain import of_pairs, pretrain
from engine.evaluation.probing.probe import PROBE_BATCH, QUERIES_AT_ONCE, knn, linear_probe
from engine.nets import make_encoder
from engine.synthetic.representations import RepresentationSet

TIMED_SECONDS = 0.3
MOST_TIMED = 30
"""Steps are tried until one of the two is reached."""
TIMED_IMAGES = 125


@dataclass(frozen=True)
class Cost:
    """Seconds with one architecture: of a pre-training step, of an image's features, and of probes of a feature set.

    a_pass: of a linear probe over one labelled image. asked: of one image's neighbours among one labelled image.
    """

    step: float
    image: float
    a_pass: float
    asked: float

    def judging(self, num_labelled: int, num_others: int, probing: ProbingConfig) -> float:
        """Of one network: the features of all images, a linear probe, and the neighbours of those without a known label."""
        seconds = (num_labelled + num_others) * self.image + probing.probe_epochs * num_labelled * self.a_pass
        return seconds + (self.asked * num_labelled * num_others if probing.neighbours else 0.0)


def try_comparison(
    synthetic: RepresentationSet,
    splits: Splits,
    student_config: StudentConfig,
    probing: ProbingConfig,
    evaluation: EvaluationConfig,
    context: Context,
    others: Mapping[str, Splits],
) -> Generator[Event, None, float]:
    """Seconds of `compare_representations` where nothing of it is cached, judged from a few steps of each of its parts."""
    total = 0.0
    configs = architectures(student_config, evaluation)
    for number, config in enumerate(configs):
        yield Progress("try networks", number, len(configs))
        bench = make_bench(splits, config, evaluation, context, is_own=number == 0)
        cost = cost_of(bench, synthetic, probing)
        total += _seconds_of(bench, cost, probing, others if bench.is_own else {})
    return total


def short_seconds(cost: Cost, splits: Splits, probing: ProbingConfig, num_steps: int) -> float:
    """Seconds of a short probe along the way."""
    labelled = min(SHORT_IMAGES, len(splits.train))
    brief = probing.model_copy(update={"neighbours": 0})
    return num_steps * cost.step + cost.judging(labelled, len(splits.validation), brief)


def cost_of(bench: Bench, synthetic: RepresentationSet, probing: ProbingConfig) -> Cost:
    """What an architecture costs on this machine, on random features where features are asked for."""
    spec, num_classes = bench.splits.spec, bench.splits.spec.num_outputs
    encoder = make_encoder(bench.student_config, spec, synthetic.num_dims, bench.context.device)
    theta = encoder.init(bench.context.stream("trial network"))
    draw = of_pairs(*synthetic.pairs(), probing.pretrain_batch, torch.Generator().manual_seed(0))
    few = bench.splits.test.batch(torch.arange(min(len(bench.splits.test), TIMED_IMAGES)))[0]
    known = torch.randn(10 * PROBE_BATCH, synthetic.num_dims, generator=torch.Generator().manual_seed(0))
    labels, queries = torch.zeros(len(known), dtype=torch.int64), known[:QUERIES_AT_ONCE]
    one = probing.model_copy(update={"probe_epochs": 1})
    with torch.no_grad():
        image = _seconds(lambda: encoder(theta, few)) / len(few)
    a_pass = _seconds(lambda: linear_probe(known, labels, num_classes, one, torch.Generator())) / len(known)
    asked = _seconds(lambda: knn(known, labels, queries, max(1, probing.neighbours), num_classes))
    step = _a_step(pretrain(encoder, theta, draw, probing, num_steps=MOST_TIMED + 1))
    return Cost(step, image, a_pass, asked / len(queries) / len(known))


def _seconds_of(bench: Bench, cost: Cost, probing: ProbingConfig, others: Mapping[str, Splits]) -> float:
    """Seconds of all arms of one architecture."""
    splits, students, is_own = bench.splits, bench.evaluation.num_students, bench.is_own
    most = probing.probe_images or (len(splits.train) if is_own else ELSEWHERE)
    judging = cost.judging(min(len(splits.train), most), len(splits.validation) + len(splits.test), probing)
    for other in others.values():
        elsewhere = bench.evaluation.other_images or math.inf
        looked_at = sum(min(len(part), elsewhere) for part in (other.validation, other.test))
        judging += cost.judging(min(len(other.train), ELSEWHERE), looked_at, probing)
    networks = 3 + has_full(bench.evaluation, is_own)  # distilled, random real, untrained, full
    seconds = students * (networks * judging + 2 * probing.pretrain_steps * cost.step)
    if has_full(bench.evaluation, is_own):
        seconds += students * full_steps(probing, bench.evaluation, len(splits.train)) * cost.step
    if is_own:
        seconds += networks * students * probing.fine_tune_steps * cost.step
        seconds += judging  # the teacher's, were it as large as a student
    return seconds


def _a_step(path: Iterator[Tensor]) -> float:
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
