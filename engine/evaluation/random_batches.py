"""The "as distilled" protocol of sets that were made for long trainings on random minibatches.

A student trains on random minibatches of the set, at the set's rate with the set's rule, augmented where the set was made
so, and is measured after 15, 30, 50 and 100 % of `inner_steps` (300, 600, 1000 and 2000, as published). How long to train
is chosen on validation images, by the mean over the students; the other lengths are told too, as the metric "accuracy@300".
Real images of equal storage train the same way, at the best of a few constant rates. "Unaugmented" is the same protocol
without the augmentation.

Source: Shul et al. 2024, arXiv:2403.12040, section 4, which chooses nothing on validation data: it reports the last length.

Students train one after another. Several in one batch (torch.func.vmap over their weights) were tried on one core, 3 and 8
students, 10 to 100 samples a step, and are slower wherever it matters, because convolutions with weights of their own become
grouped ones: 0.84 to 1.11 times as fast for the MLP, 0.67 to 1.04 for LeNet, 0.20 to 0.96 for ConvNet-D3 of width 32,
0.33 to 0.81 of widths 64 and 128.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace

from torch import Tensor

from engine.core.events import Event, Progress, Scored
from engine.data.source import LabelledSet
from engine.evaluation.bench import (
    SPLITS,
    VERSIONS,
    WORDS,
    Arm,
    Bench,
    cache_path,
    generator_of,
    read_record,
    scored,
    size_of,
    start_as_distilled,
    write_record,
)
from engine.evaluation.scores import AS_DISTILLED, UNAUGMENTED, after
from engine.evaluation.train import accuracy, at_random
from engine.synthetic.base import SyntheticSet, Training

SHARES = (0.15, 0.3, 0.5, 1.0)
"""Of the longest training: the lengths that are measured."""
CHOOSING_SHARE = 0.3
"""Of it: how long each rate for real images is tried."""
CONSTANT_RATES = {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.01, 0.1), "momentum": (0.003, 0.03)}
"""For real images, by rule, tried beside the set's own rate. Few, for each takes a long training."""


@dataclass(frozen=True)
class Length:
    """A student after `num_steps` inner steps: its accuracies, and the seconds of training alone."""

    num_steps: int
    validation: float
    test: float
    seconds: float


def lengths(inner_steps: int) -> list[int]:
    """The inner steps after which a student is measured, each once."""
    return sorted({max(1, round(share * inner_steps)) for share in SHARES})


def choosing_steps(inner_steps: int) -> int:
    """Inner steps that each rate for real images is tried with."""
    return max(1, round(CHOOSING_SHARE * inner_steps))


def rates_for_real(training: Training, own: float) -> list[float]:
    """The rates that real images are tried with: the set's own first."""
    return list(dict.fromkeys((own, *CONSTANT_RATES[training.rule])))


def own_rate(synthetic: SyntheticSet) -> float:
    """The set's shared rate, to three digits, so that real arms are shared between sets whose rates are as good as equal."""
    return float(f"{synthetic.rates[0].item():.3g}")


def training_under(protocol: str, training: Training) -> Training:
    """The training of a set under a protocol of random batches."""
    return replace(training, is_augmented=False) if protocol == UNAUGMENTED else training


def distilled_at_random(
    bench: Bench, name: str, synthetic: SyntheticSet, data: LabelledSet, protocol: str = AS_DISTILLED
) -> Generator[Event, None, None]:
    """Scores of the samples of a synthetic set as the arm `name`; of one made for one start, from that alone."""
    training = training_under(protocol, synthetic.training)
    arm = Arm(name, protocol, len(data), synthetic.num_bytes(), "")
    has_one_start = bench.is_own and training.start_seed is not None
    rate, students = own_rate(synthetic), []
    doing = f"train {bench.title} as distilled{VERSIONS.get(name, '')}{_without(protocol)}"
    for seed in range(1 if has_one_start else bench.evaluation.num_students):
        students.append((yield from _measured(bench, training, data, rate, seed, doing)))
    yield from _scores(bench, arm, training, rate, students, [False] * len(students))


def real_at_random(
    bench: Bench, name: str, synthetic: SyntheticSet, count: int, protocol: str = AS_DISTILLED
) -> Generator[Event, None, None]:
    """Scores of `count` real images in the place of the synthetic ones, from the cache if they were ever measured on this machine.

    The rate is chosen on validation images with a draw that is not scored.
    """
    training, students, known = training_under(protocol, synthetic.training), [], []
    start_seed = training.start_seed if bench.is_own else None
    alike = replace(training, num_steps=bench.evaluation.inner_steps, start_seed=start_seed)
    facts = {"arm": name, "n": count, "training": asdict(alike)}
    rates = rates_for_real(training, own_rate(synthetic))
    rate = yield from _cached_rate(bench, name, training, rates, count, facts)
    for seed in range(bench.evaluation.num_students):
        path = cache_path(bench, facts | {"rate": rate, "seed": seed})
        record = read_record(path)
        known.append(record is not None)
        if record is None:
            data, doing = bench.real(name, count, seed), f"train {bench.title} on {WORDS[name]}{_without(protocol)}"
            measured = yield from _measured(bench, training, data, rate, seed, doing)
            record = {"lengths": [asdict(length) for length in measured]}
            write_record(path, record)
        students.append([Length(**length) for length in record["lengths"]])
    yield from _scores(bench, Arm(name, protocol, *size_of(bench, count), ""), training, rate, students, known)


def _cached_rate(
    bench: Bench, name: str, training: Training, rates: list[float], count: int, facts: dict
) -> Generator[Event, None, float]:
    """The rate for real images that does best on validation data after a part of the training."""
    path = cache_path(bench, facts | {"choose": rates})
    known = read_record(path)
    if known is not None:
        return known["rate"]
    data, num_steps = bench.real(name, count, "rates"), choosing_steps(bench.evaluation.inner_steps)
    tried: dict[float, float] = {}
    for rate in rates:
        doing = f"try rate {rate:g} for {WORDS[name]}"
        ((theta, _),) = yield from _trained(bench, training, data, rate, "rates", [num_steps], doing)
        tried[rate] = accuracy(bench.student, theta, bench.splits.validation)
    best = max(tried, key=tried.__getitem__)
    write_record(path, {"rate": best})
    return best


def _measured(
    bench: Bench, training: Training, data: LabelledSet, rate: float, seed: int, doing: str
) -> Generator[Event, None, list[Length]]:
    """A student after each of the lengths."""
    marks = lengths(bench.evaluation.inner_steps)
    path = yield from _trained(bench, training, data, rate, seed, marks, doing)
    return [
        Length(
            mark,
            accuracy(bench.student, theta, bench.splits.validation),
            accuracy(bench.student, theta, bench.splits.test),
            seconds,
        )
        for mark, (theta, seconds) in zip(marks, path, strict=True)
    ]


def _trained(
    bench: Bench,
    training: Training,
    data: LabelledSet,
    rate: float,
    seed: int | str,
    marks: list[int],
    doing: str,
) -> Generator[Event, None, list[tuple[Tensor, float]]]:
    """Weights (P,) of a student after each of `marks` inner steps, and its seconds so far. Yields Progress twice a second."""
    theta = start_as_distilled(bench, training, seed)
    generator, augment = generator_of("random batches", seed), bench.splits.augment
    path = at_random(bench.student, theta, data, training, rate, marks[-1], generator, augment)
    found: list[tuple[Tensor, float]] = []
    yield Progress(doing, 0, marks[-1])
    began = said = bench.now()
    for step, trained in enumerate(path, 1):
        if step in marks:
            found.append((trained, bench.now() - began))
        if time.perf_counter() - said > 0.5:
            said = time.perf_counter()
            yield Progress(doing, step, marks[-1])
    return found


def _scores(
    bench: Bench, arm: Arm, training: Training, rate: float, students: list[list[Length]], known: list[bool]
) -> Iterator[Scored]:
    """The students at the length that was best on validation images, and at every length.

    The longer one is taken where two are equal. known: of each student, whether it comes from the cache.
    """
    every = [same[0].num_steps for same in zip(*students, strict=True)]
    means = [sum(length.validation for length in same) / len(same) for same in zip(*students, strict=True)]
    best = max(range(len(every)), key=lambda place: (means[place], place))
    for place, num_steps in enumerate(every):
        recipe = _recipe(training, rate, num_steps)
        numbers = {"num_steps": num_steps, "batch_size": training.batch_size, "lr": rate}
        on_the_way = replace(arm, recipe=recipe, training=numbers)
        chosen = replace(on_the_way, recipe=f"{recipe}, the best on validation data of {_listed(every)} steps")
        for seed, (student, cached) in enumerate(zip(students, known, strict=True)):
            for split in SPLITS:
                value, seconds = getattr(student[place], split), student[place].seconds
                if place == best:
                    yield scored(bench, chosen, seed, value, seconds, split=split, cached=cached)
                metric = after(num_steps)
                yield scored(bench, on_the_way, seed, value, seconds, split=split, cached=cached, metric=metric)


def _without(protocol: str) -> str:
    """What a message of a protocol ends with."""
    return ", without augmentation" if protocol == UNAUGMENTED else ""


def _recipe(training: Training, rate: float, num_steps: int) -> str:
    """How the students at a length were trained, in words."""
    augmented = ", augmented" if training.is_augmented else ""
    return f"{num_steps:,} steps of {training.rule}, {training.batch_size:,} random samples each{augmented}, at rate {rate:g}"


def _listed(numbers: list[int]) -> str:
    """ "300, 600 and 1,000"."""
    *first, last = (f"{number:,}" for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last
