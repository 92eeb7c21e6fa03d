"""Comparison of forecasts: students trained on distilled windows, on few real ones, on all; and naive forecasts.

The protocols are those of `supervised`; other architectures, and what the set started as, may train at other rates than
the set's own. Students are
measured after several lengths of training, each twice the one before. One length for all students of an arm is chosen
on validation windows; a training ends after three lengths in a row without improvement, because a network that is
trained for long memorises a handful of windows, and overfits all of them.
"""

import math
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from engine.core.events import Analysed, Event, Progress, Scored, Warned
from engine.data.prices.windows import WindowSplits
from engine.data.source import LabelledSet
from engine.evaluation.bench import SPLITS, Bench, make_bench
from engine.evaluation.comparison import Outcome, call_seconds, followed, noted_if_fewer
from engine.evaluation.forecasting import adaptation, findings
from engine.evaluation.forecasting.adaptation import Adapted, compared_starts
from engine.evaluation.forecasting.draws import DRAWS, WORDS, fitting, num_bytes, random_windows
from engine.evaluation.forecasting.facts import facts
from engine.evaluation.forecasting.findings import Best, Cohort, Trained
from engine.evaluation.forecasting.measures import Judge, forecast, judge_of, measured, skill
from engine.evaluation.forecasting.naive import RECIPES
from engine.evaluation.forecasting.privacy import privacy
from engine.evaluation.plan import CHOOSING, SAMPLES, START, Training, real_arms, with_choice
from engine.evaluation.scores import AS_DISTILLED, NAIVE
from engine.evaluation.supervised import SupervisedComparison, choosing_steps, own_rate, rates_for_real
from engine.evaluation.train import Recipe, outputs
from engine.nets import STUDENTS
from engine.synthetic.candles import CandleSet

SHORTEST = 5
"""Steps: lengths are halved from the longest down to about this."""
PATIENCE = 3
"""Lengths in a row without improvement before a training ends."""
SMALL_RATES = (1e-3, 3e-3, 1e-2)
"""Tried for standard training on a few windows."""
FULL_RATES = (1e-3, 3e-3)
USUAL_SHARE = 0.3
"""How much of the longest training on few windows is usually done before it stops."""
TIMED_WINDOWS = 500


Found = Cohort | Adapted


def lengths_of(longest: int, own: int = 0) -> tuple[int, ...]:
    """The steps after which students are measured. own: the steps of the set's own training, 0 for none."""
    found = {longest} | ({own} if own else set())
    while longest > SHORTEST:
        longest = -(-longest // 2)
        found.add(longest)
    return tuple(sorted(found))


def windows_per_token(synthetic: CandleSet) -> tuple[int, ...]:
    """How many sequences the set has of each token; the arm of as many samples has as many real windows."""
    return tuple(torch.bincount(synthetic.tokens.cpu(), minlength=len(synthetic.spec.class_names)).tolist())


class ForecastComparison(SupervisedComparison[Found]):
    """See the module's docstring."""

    splits: WindowSplits
    distilled: CandleSet
    found_type = Cohort

    # ---- the plan

    def counts(self) -> tuple[int, ...]:
        """Planned sequences of each token, before a set is made."""
        num_tokens = len(self.splits.spec.class_names)
        return (self.config.size(self.splits.spec).num_samples // num_tokens,) * num_tokens

    def plan(self) -> tuple[Training, ...]:
        found: list[Training] = []
        distilled, train = self.distilled, self.splits.train
        real = self._real(distilled.num_bytes(), windows_per_token(distilled))
        for student in self.students:
            for arm, version in self.sets.items():
                size = version.num_samples, version.num_bytes()
                found += self._as_distilled(student, arm, size)
                found += self._ordinary(student, arm, size)
            for arm, counts, also in real:
                mine = self._as_distilled(student, arm, self._size(sum(counts)), counts)
                mine += self._ordinary(student, arm, self._size(sum(counts)), counts)
                found += [replace(training, also=also) for training in mine]
            if self.evaluation.compare_full:
                found += self._ordinary(student, "full", self._size(len(train)))
            found += [Training(student, arm, NAIVE, (0,), 0, 0, 0, 0, lengths=(0,)) for arm in RECIPES]
        return (*found, *self._adaptations())

    def baseline(self) -> tuple[Training, ...]:
        found = []
        for arm, counts, also in self._real(self.config.size(self.splits.spec).num_bytes, self.counts()):
            if DRAWS[arm] is random_windows:
                mine = self._ordinary(self.config.student.name, arm, self._size(sum(counts)), counts)
                found += [replace(training, also=also) for training in mine]
        return tuple(found)

    def _real(self, set_bytes: int, sequences: tuple[int, ...]) -> list[tuple[str, tuple[int, ...], tuple[str, ...]]]:
        """The small arms of real windows beside a set of so many bytes, as `real_arms` has them.

        sequences: of each token in the set. All windows are drawn of a token that has fewer.
        """
        there = torch.bincount(self.splits.train.tokens.cpu(), minlength=len(sequences)).tolist()
        most = (fitting(set_bytes, self.splits.spec),) * len(sequences)
        counts = {arm: sequences if arm == SAMPLES else most for arm in DRAWS}
        return real_arms({arm: tuple(map(min, wanted, there)) for arm, wanted in counts.items()})

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(self.evaluation.num_students))

    def _size(self, count: int) -> tuple[int, int]:
        """Samples and bytes of `count` real windows."""
        return count, num_bytes(count, self.splits.spec)

    def _as_distilled(
        self, student: str, arm: str, size: tuple[int, int], draw: tuple[int, ...] = ()
    ) -> list[Training]:
        """Training as the set was made for; on another draw of real windows for each student.

        The set keeps its own rate with its own architecture; otherwise the rate is chosen.
        """
        own, longest = self.own_training(student, AS_DISTILLED), self.evaluation.inner_steps
        lengths = lengths_of(longest, own.num_steps)
        steps, seeds = (lengths[-1], own.batch_size), self._seeds
        if own.start_seed is not None and not draw:
            seeds = (0,)
        training = Training(
            student, arm, AS_DISTILLED, seeds, *steps, *size, draw=draw, own=own, lengths=lengths, is_shared=bool(draw)
        )
        is_chosen = draw or arm == START or not self.is_own(student)
        rates = self._rates(training) if is_chosen else [own_rate(self.distilled)]
        tried = max(choosing_steps(longest), lengths[0])
        return with_choice([training], rates, CHOOSING, tuple(length for length in lengths if length <= tried))

    def _ordinary(self, student: str, arm: str, size: tuple[int, int], draw: tuple[int, ...] = ()) -> list[Training]:
        training = self.standard(student, arm, size, draw)
        training = replace(training, seeds=self._seeds, lengths=lengths_of(training.num_steps))
        return with_choice([training], self._rates(training), CHOOSING, training.lengths)

    def _rates(self, training: Training) -> Sequence[float]:
        """The rates to choose from."""
        if training.own is not None:
            return rates_for_real(training.own.rule, own_rate(self.distilled))
        return FULL_RATES if training.arm == "full" else SMALL_RATES

    def _adaptations(self) -> list[Training]:
        """Adaptation to every other source with such windows, from the distilled set's students and fresh weights."""
        student, found = self.config.student.name, []
        for key in self._alike():
            for arm in adaptation.STARTS:
                for rate in adaptation.RATES:
                    steps = adaptation.STEPS[-1], adaptation.FINE_TUNING.batch_size
                    training = Training(student, arm, "adaptation", self._seeds, *steps, 0, 0, lr=rate, facts=(key,))
                    found.append(replace(training, lengths=adaptation.STEPS, purpose="adapt"))
        return found

    def _alike(self) -> dict[str, WindowSplits]:
        """Other sources whose windows are made in the same way as those of the run."""
        found = {}
        spec, config = self.splits.spec, self.splits.config
        for key, other in self.others.items():
            same_task = (other.spec.sample_shape, other.spec.task) == (spec.sample_shape, spec.task)
            if isinstance(other, WindowSplits) and same_task and other.config == config:
                found[key] = other
        return found

    # ---- one training

    def begin(self) -> Generator[Event, None, None]:
        """Say if fewer real windows exist than fit into the set's bytes; warn of sources that cannot be adapted to."""
        num_bytes, spec = self.distilled.num_bytes(), self.splits.spec
        _, counts, _ = self._real(num_bytes, windows_per_token(self.distilled))[0]
        yield from noted_if_fewer(fitting(num_bytes, spec) * len(counts), sum(counts), "real windows")
        alike = self._alike()
        for key, other in self.others.items():
            if key not in alike:
                problem = f"{other.title} is left out of the adaptation: its windows differ from those of this run."
                yield Warned(f"{problem} A student that sees the token needs as many tokens there.", level="note")

    @cached_property
    def judges(self) -> dict[str, Judge]:
        """The judges of validation and test windows."""
        return {part: judge_of(self.splits, getattr(self.splits, part)) for part in SPLITS}

    def new_bench(self, student: str) -> Bench:
        """Other architectures are measured on all windows too."""
        bench = make_bench(self.splits, self.students[student], self.evaluation, self.context)
        return replace(bench, is_own=self.is_own(student))

    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Found]:
        if training.protocol == NAIVE:
            said = {part: self.judges[part].naive[training.arm] for part in SPLITS}
            return Cohort(0, math.nan, (Trained(said["validation"], said["test"], 0.0),))
        if training.purpose == "adapt":
            starts: Sequence[Tensor] = self._best(training.student)["distilled"].weights
            if training.arm != "distilled":
                starts = [bench.start(f"scratch {seed}") for seed in range(len(starts))]
            return (yield from adaptation.adapt(bench, self._alike()[training.facts[0]], starts, training.rate))
        num_steps, merit, reached = yield from self._best_length(bench, training)
        if training.purpose == "choose":
            return Cohort(num_steps, merit)
        students, student = [], bench.student
        for theta, seconds in reached:
            validation = forecast(student, theta, self.splits.validation, self.splits)
            students.append(Trained(validation, forecast(student, theta, self.splits.test, self.splits), seconds))
        weights = tuple(theta for theta, _ in reached) if training.arm == "distilled" else ()
        return Cohort(num_steps, merit, tuple(students), weights)

    def _best_length(
        self, bench: Bench, training: Training
    ) -> Generator[Event, None, tuple[int, float, list[tuple[Tensor, float]]]]:
        """Train the students side by side until PATIENCE lengths in a row are no better.

        Returns the best length, the mean skill on validation windows, and (weights (P,), seconds) of each student.
        """
        paths = [self.path(bench, training, seed) for seed in training.seeds]
        reached = [(bench.start(seed), 0.0) for seed in training.seeds]
        least, done = training.own.num_steps if training.own else 0, 0
        tried: list[tuple[int, float, list[tuple[Tensor, float]]]] = []
        for length in training.lengths:
            for number, path in enumerate(paths):
                ((theta, seconds),) = yield from followed(islice(path, length - done), [length - done], bench)
                reached[number] = theta, reached[number][1] + seconds
            done = length
            tried.append((length, sum(self._skill(bench, theta) for theta, _ in reached) / len(reached), list(reached)))
            best = max(range(len(tried)), key=lambda place: tried[place][1])
            if len(tried) - 1 - best >= PATIENCE and length >= least:
                break
        return tried[best]

    def _skill(self, bench: Bench, theta: Tensor) -> float:
        return skill(self.judges["validation"], forecast(bench.student, theta, self.splits.validation, self.splits))

    def draw(self, arm: str, counts: tuple[int, ...], generator: torch.Generator) -> LabelledSet:
        return DRAWS[arm](self.splits.train, counts, generator)

    @property
    def num_draws(self) -> int:
        """As many as one arm needs: for the students side by side, and for choosing a rate."""
        return len(self._seeds) + 1

    def merit(self, found: Found) -> float:
        return found.skill if isinstance(found, Cohort) else math.nan

    # ---- scores, findings and words

    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Found]]) -> Iterator[Scored]:
        """Every measure of every student, on test windows also those of each token."""
        for outcome in outcomes:
            training, found = outcome.training, outcome.found
            if not isinstance(found, Cohort):
                continue
            if training.protocol == NAIVE:
                said = bench.scored(training, RECIPES[training.arm][self.splits.spec.task])
            else:
                numbers = {"num_steps": found.num_steps, "batch_size": training.batch_size, "lr": training.lr}
                said = bench.scored(training, self._told(training, found.num_steps), numbers)
            for seed, student in enumerate(found.students):
                said = replace(said, seed=seed, seconds=student.seconds, cached=outcome.is_cached)
                for part in SPLITS:
                    measures = measured(self.judges[part], getattr(student, part), by_token=part == "test")
                    for metric, value in measures.items():
                        yield replace(said, split=part, metric=metric, value=value)

    def _told(self, training: Training, num_steps: int) -> str:
        """The recipe of an arm."""
        own, rate = training.own, training.rate
        if own is not None:
            batch = f"at most {own.batch_size:,} random windows each"
            recipe = f"{num_steps:,} steps of {own.rule}, {batch}, at rate {rate:g}"
        else:
            stopped = f", stopped after {num_steps:,}" if num_steps < training.num_steps else ""
            recipe = f"{Recipe.of(training)}{stopped}"
        chosen = f"length of {training.lengths[0]:,} to {training.lengths[-1]:,} steps"
        if training.choice:
            chosen += f" and rate of {', '.join(f'{each:g}' for each in self._rates(training))}"
        return f"{recipe}; {chosen} by validation data"

    def _best(self, student: str) -> Best:
        """The best outcome of each arm with one architecture."""
        found = []
        for each in self.outcomes:
            is_scored = each.training.student == student and each.training.purpose == "score"
            if is_scored and isinstance(each.found, Cohort):
                found += [(arm, each.found) for arm in (each.training.arm, *each.training.also)]
        return findings.best_of(self.judges["validation"], found)

    def findings(self) -> Generator[Event, None, None]:
        """Intervals, forecasts of the test period, the verdict, privacy, stylised facts and adaptation."""
        yield Progress("evaluate the forecasts", 0, 1, part="compare")
        judge, best = self.judges["test"], {student: self._best(student) for student in self.students}
        horizon, own = self.splits.config.horizon, self.config.student.name
        intervals = {student: findings.intervals_of(each, judge, horizon) for student, each in best.items()}
        yield Analysed("intervals", intervals)
        yield Analysed("forecasts", findings.forecasts_shown(best[own], judge, self.splits))
        elsewhere = {student: found for student, found in intervals.items() if student != own}
        skills = findings.mean_skills(best[own], judge)
        yield Analysed("verdict", findings.verdict(intervals[own], skills, judge.task, elsewhere))
        doing = "measure privacy and stylised facts"
        yield Progress(doing, 0, 2, part="compare")
        yield Analysed("privacy", privacy(self.distilled, self.splits))
        yield Progress(doing, 1, 2, part="compare")
        yield Analysed("facts", facts(self.distilled, self.splits))
        yield from self._adapted()

    def _adapted(self) -> Generator[Event, None, None]:
        """Of each other source: errors of both starts, each at its best rate."""
        for number, (key, other) in enumerate(self._alike().items()):
            mine = [each for each in self.outcomes if each.training.facts == (key,)]
            found = [(each.training.arm, each.training.rate, each.found) for each in mine]
            tried = [(arm, rate, each) for arm, rate, each in found if isinstance(each, Adapted)]
            yield Analysed("adaptation" if not number else f"adaptation:{key}", compared_starts(other, tried))

    def words(self, training: Training) -> str:
        title, arm = STUDENTS[training.student].title, training.arm
        if training.protocol == NAIVE:
            return "score the naive forecasts"
        if training.purpose == "adapt":
            start = "from the distilled set" if arm == "distilled" else "from fresh weights"
            return f"adapt {title} to {self.others[training.facts[0]].title} {start}"
        data = " and ".join(WORDS.get(each, "the distilled set") for each in (arm, *training.also))
        if training.purpose == "choose":
            return f"try rate {training.rate:g} on {data}"
        return f"train {title} on {data}"

    # ---- what it takes

    def work(self, bench: Bench, training: Training) -> Counter[str]:
        if training.protocol == NAIVE:
            return Counter()
        looks, num_steps, num_windows = len(training.lengths), training.num_steps, len(self.splits.validation)
        if training.purpose == "adapt":
            other = self._alike()[training.facts[0]]
            num_windows = len(other.validation) + len(other.test)
        elif training.arm != "full":  # few windows: a training stops early
            num_steps = max(training.own.num_steps if training.own else 1, math.ceil(USUAL_SHARE * num_steps))
        return self.units(training, num_steps, looks * num_windows)

    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        if unit != "sample":
            return super().unit_seconds(bench, unit, patience)
        theta, train = bench.start("trial"), self.splits.train
        few = train.subset(torch.arange(min(TIMED_WINDOWS, len(train))))
        return call_seconds(lambda: outputs(bench.student, theta, few), bench, patience) / len(few)
