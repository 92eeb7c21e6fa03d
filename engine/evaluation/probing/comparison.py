"""Comparison of representations: networks pre-trained on distilled pairs against those pre-trained on real pairs.

Each network is pre-trained on pairs of an image and its representation, then frozen, and its features are evaluated
with labels. Networks of one seed start from the same weights in every arm:

    distilled       the pairs of the synthetic set, under its augmentations too
    start           the same before the first outer step
    random_real     random real images of equal bytes with the teacher's representations, under the same augmentations.
                    Those of the augmented images do not count as bytes, which favours this arm.
    random_samples  as many random real images as the set has
    untrained       not pre-trained
    full            all real images with the teacher's representations, without augmentation
    teacher         the teacher itself, for reference

No label is used before a network is frozen. Other architectures are evaluated by linear probes only.
"""

import hashlib
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.core.config import Validation
from engine.core.events import Event, Learned, Scored
from engine.core.students import title_of
from engine.data.source import LabelledSet, Splits
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.bench import Bench, fewer, generator_of
from engine.evaluation.comparison import Comparison, Outcome, call_seconds, followed, noted_if_fewer, step_seconds
from engine.evaluation.plan import SAMPLES, START, Training, has_full, per_student
from engine.evaluation.probing import judge, short
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.fine_tune import Classifier, fine_tune
from engine.evaluation.probing.judge import ELSEWHERE, Lab, Measure, Teacher
from engine.evaluation.probing.pretrain import of_pairs, pretrain
from engine.evaluation.probing.probe import PROBE_BATCH, QUERIES_AT_ONCE, features_of, knn, labelled_part, linear_probe
from engine.evaluation.probing.transfer import adapted
from engine.evaluation.scores import FINE_TUNE, HEADLINE, LINEAR_PROBE, SHORT_PROBE, on
from engine.evaluation.train import accuracy
from engine.nets import make_encoder
from engine.synthetic.representations import RepresentationSet

WORDS = {
    "distilled": "distilled pairs",
    START: "the starting set",
    "random_real": "random real images of equal bytes",
    SAMPLES: "as many random real images",
    "full": "all real images",
}
"""What networks are pre-trained on, in messages."""
TIMED_IMAGES = 125


@dataclass(frozen=True)
class Network:
    """Everything measured of one network, and the seconds of its pre-training alone."""

    found: tuple[Measure, ...]
    seconds: float


class RepresentationComparison(Comparison[Network]):
    """See the module's docstring. The method provides `load_teacher` and `probing`."""

    splits: ImageSplits
    distilled: RepresentationSet
    sets: Mapping[str, RepresentationSet]
    found_type = Network
    teacher: Teacher
    real: Tensor  # (N, d), the teacher's representations of all training images, in their order
    digest = ""  # of them
    _labs: dict[str, Lab]

    @property
    @abstractmethod
    def probing(self) -> ProbingConfig:
        """How networks are pre-trained and evaluated."""

    @abstractmethod
    def load_teacher(self) -> Generator[Event, None, tuple[Teacher, Tensor]]:
        """The teacher and its representations (N, d) of all training images, in their order."""

    # ---- the plan

    def plan(self) -> tuple[Training, ...]:
        synthetic, train, count = self.distilled, self.splits.train, self.evaluation.num_students
        found: list[Training] = []
        augmentations = tuple(repr(augment) for augment in synthetic.augmentations)
        for student in self.students:
            arm = partial(self._arm, student)
            num_steps = self.probing.pretrain_steps
            arms = [
                replace(arm(name, num_steps, version.num_samples, version.num_bytes()), is_shared=False)
                for name, version in self.sets.items()
            ]
            for name, num_real, also in short.real_sizes(synthetic, train):
                real = arm(name, num_steps, num_real, short.real_bytes(num_real, synthetic))
                arms.append(replace(real, draw=(num_real,), facts=augmentations, also=also))
            arms.append(arm("untrained", 0))
            if has_full(self.evaluation, self.is_own(student)):
                num_steps = full_steps(self.probing, self.evaluation.full_epochs, len(train))
                arms.append(arm("full", num_steps, len(train), short.real_bytes(len(train), synthetic)))
            for each in arms:
                found += per_student(each, count)
            if self.is_own(student):  # once: there is one teacher
                found.append(arm("teacher", 0))
        return tuple(found)

    def baseline(self) -> tuple[Training, ...]:
        """None: the method itself probes random real images, as it does its set during a run."""
        return ()

    def _arm(self, student: str, arm: str, num_steps: int, num_samples: int = 0, num_bytes: int = 0) -> Training:
        steps, lr = (num_steps, self.probing.pretrain_batch), self.probing.pretrain_lr
        size, lengths = (num_samples, num_bytes), (num_steps,)
        return Training(student, arm, LINEAR_PROBE, (0,), *steps, *size, lr=lr, lengths=lengths, is_shared=True)

    # ---- one network

    def begin(self) -> Generator[Event, None, None]:
        """Load the teacher; say if fewer real images exist than fit into the bytes of the set."""
        fitting = short.fitting(self.distilled)
        yield from noted_if_fewer(fitting, min(fitting, len(self.splits.train)), "real images with representations")
        self._labs = {}
        self.teacher, self.real = yield from self.load_teacher()
        content = self.real.cpu().contiguous().numpy().data
        self.digest = hashlib.blake2b(content, digest_size=16).hexdigest()

    def new_bench(self, student: str) -> Bench:
        bench = super().new_bench(student)
        spec, dims = self.splits.spec, self.distilled.num_dims
        encoder = make_encoder(bench.student_config, spec, dims, self.context.device, student)
        return replace(bench, student=encoder)

    def cache_facts(self, bench: Bench) -> dict[str, Any] | None:
        """The probes, the teacher and the other sources; None before the teacher is loaded."""
        if not self.digest:
            return None
        return {
            "probing": self.probing.model_dump(mode="json", exclude={"transfer"}),
            "others": {key: other.fingerprint for key, other in self.others.items()},
            "elsewhere": ELSEWHERE,
            "is_own": bench.is_own,
            "dims": self.distilled.num_dims,
            "teacher": self.digest,
        }

    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Network]:
        """Pre-train, freeze and evaluate a network; it sees each image once for all measures."""
        if training.purpose == "choose":
            pairs, length = self.distilled.pairs(), training.num_steps
            names = bench.student, pairs, self.splits, self.probing, length, self.context
            probe = short.short_probe(*names, trial=str(training.seed))
            return Network((Measure(SHORT_PROBE, HEADLINE, "validation", (yield from probe)),), 0.0)
        lab, seed = self._lab(bench), int(training.seed)
        if bench.is_own and not lab.references:
            yield from self._represent(lab)
        if training.arm == "teacher":
            found = judge.by_labels(lab, lab.references, seed)
            found += yield from judge.transferred(lab, self.teacher.represent, seed)
            return Network(tuple(found), 0.0)
        theta, seconds, data = bench.start(seed), 0.0, self._data(training)
        if training.num_steps:
            ((theta, seconds),) = yield from followed(self._path(bench, training, data), training.lengths, bench)
        represent = bench.student.fixed(theta, data)
        if training.arm == "distilled" and bench.is_own and not seed:
            yield Learned("student", bench.student.weights(theta, data))
        features = {}
        for split, data in lab.images.items():
            features[split] = yield from features_of(represent, data, f"compute features of {split} images")
        found = judge.by_labels(lab, features, seed)
        if bench.is_own:
            found += judge.likeness_to(lab.references, features)
            found += yield from judge.transferred(lab, represent, seed)
            own = replace(bench.splits, train=lab.images["train"])
            found += yield from self._fine_tuned(bench, theta, seed, HEADLINE, own, self.probing.fine_tune_steps)
            for key, other in lab.others.items():
                steps = self.probing.transfer_steps
                found += yield from self._fine_tuned(bench, theta, seed, on(key), other, steps)
        return Network(tuple(found), seconds)

    def _path(self, bench: Bench, training: Training, data: LabelledSet) -> Iterator[Tensor]:
        """The weights (P,) after each step of pre-training on images with representations as targets."""
        draw = of_pairs(data, training.batch_size, generator_of("pre-training", training.seed))
        return pretrain(bench.student, bench.start(training.seed), draw, self.probing, training.num_steps)

    def _data(self, training: Training) -> LabelledSet:
        """Images with representations to pre-train on. Batch norms of untrained networks are fixed on all real ones."""
        if training.arm in ("full", "untrained"):
            return replace(self.splits.train, targets=self.real)
        if not training.draw:
            return LabelledSet.as_is(*self.sets[training.arm].pairs())
        count, seed = training.num_samples, int(training.seed)
        pairs = short.random_pairs(self.distilled, self.splits.train, self.teacher, self.real, count, seed)
        return LabelledSet.as_is(*pairs)

    def _lab(self, bench: Bench) -> Lab:
        """What the networks of an architecture are evaluated with."""
        student, splits = bench.student.name, bench.splits
        if student not in self._labs:
            most = self.probing.probe_images if bench.is_own else judge.elsewhere(self.probing)
            rows = labelled_part(splits.train, most, splits.spec.num_outputs)
            labelled = splits.train if len(rows) == len(splits.train) else splits.train.subset(rows)
            images = {"train": labelled, **splits.measured}
            others = {key: self._fitted(other, bench) for key, other in self.others.items()} if bench.is_own else {}
            self._labs[student] = Lab(bench, self.probing, images, rows, others, references={})
        return self._labs[student]

    def _fitted(self, other: Splits, bench: Bench) -> Splits:
        """Another source in the form of this one, with as many images as are used of it."""
        rows = labelled_part(other.train, judge.elsewhere(self.probing), other.spec.num_outputs)
        measured = fewer(replace(other, train=other.train.subset(rows)), self.evaluation.other_images)

        def fit(data: LabelledSet) -> LabelledSet:
            return adapted(data, self.splits.spec, self.splits.preparation).to(self.context.device)

        train, validation, test = (fit(data) for data in (measured.train, measured.validation, measured.test))
        return replace(measured, train=train, validation=validation, test=test)

    def _represent(self, lab: Lab) -> Generator[Event, None, None]:
        """The teacher's representations of the images that networks are evaluated with."""
        lab.references["train"] = self.real[lab.rows.to(self.real.device)].to(self.context.device)
        for split in lab.measured:
            doing = f"represent {split} images"
            lab.references[split] = yield from features_of(self.teacher.represent, lab.images[split], doing)

    def _fine_tuned(
        self, bench: Bench, theta: Tensor, seed: int, metric: str, data: Splits, num_steps: int
    ) -> Generator[Event, None, list[Measure]]:
        """Measures of the whole network fine-tuned on the training images of `data`; none for 0 steps."""
        if not num_steps:
            return []
        classifier = Classifier(bench.student, data.spec.num_outputs)
        start, generator = classifier.start(theta, self.distilled.num_dims), generator_of("fine-tuning", seed)
        path = fine_tune(classifier, start, data.train, self.probing, num_steps, data.augment, generator)
        ((tuned, _),) = yield from followed(path, (num_steps,), bench)
        network = classifier.fixed(tuned, data.train)
        right = {split: accuracy(network, part) for split, part in data.measured.items()}
        return [Measure(FINE_TUNE, metric, split, value) for split, value in right.items()]

    def merit(self, found: Network) -> float:
        return next(each.value for each in found.found if each.split == "validation")

    # ---- scores and words

    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Network]]) -> Iterator[Scored]:
        """Every measure of every network."""
        for outcome in outcomes:
            training, told, found = outcome.training, self._told(outcome.training), outcome.found
            numbers = {"num_steps": training.num_steps, "batch_size": training.batch_size, "lr": training.lr}
            views = 1 if training.arm == "full" else 1 + len(self.distilled.augmentations)
            numbers["samples_seen"] = training.num_steps * min(training.batch_size, views * training.num_samples)
            for each in found.found:
                recipe = told + judge.way(self._lab(bench), each)
                said = bench.scored(training, recipe, numbers if training.num_steps else {})
                said = replace(said, seed=int(training.seed), seconds=found.seconds, cached=outcome.is_cached)
                yield replace(said, protocol=each.protocol, metric=each.metric, value=each.value, split=each.split)

    def _told(self, training: Training) -> str:
        """How a network was trained, in words."""
        if training.arm == "teacher":
            return f"{self.teacher.title}, frozen"
        if training.arm == "untrained":
            return "Fresh weights, not pre-trained"
        if training.draw:
            return short.recipe_of_real(self.distilled, training.num_samples, self.probing, training.num_steps)
        recipe = short.recipe_of(self.probing, training.num_steps)
        if training.arm == "full":
            counted = "bytes: 1 per pixel value, 2 per number of a representation"
            return f"{recipe} of all real images with the teacher's representations, not augmented; {counted}"
        pairs = f"{len(self.distilled.pairs()[0]):,} distilled pairs{short.augmented(self.distilled)}"
        return f"{recipe} of {pairs}{', before the first outer step' if training.arm == START else ''}"

    def words(self, training: Training) -> str:
        if training.arm == "teacher":
            return "probe the teacher"
        if training.arm == "untrained":
            return f"probe an untrained {title_of(training.student)}"
        data = " and ".join(WORDS[arm] for arm in (training.arm, *training.also))
        return f"pre-train {title_of(training.student)} on {data}"

    # ---- what it takes

    def work(self, bench: Bench, training: Training) -> Counter[str]:
        parts = bench.splits
        most = self.probing.probe_images or (len(parts.train) if bench.is_own else ELSEWHERE)
        num_measured = sum(map(len, parts.measured.values()))
        work = self._judging(min(len(parts.train), most), num_measured, self.probing.neighbours if bench.is_own else 0)
        work["pre-training step"] += training.num_steps
        if not bench.is_own:
            return work
        elsewhere = self.evaluation.other_images or math.inf
        for other in self.others.values():
            num_measured = int(sum(min(len(part), elsewhere) for part in other.measured.values()))
            work += self._judging(min(len(other.train), ELSEWHERE), num_measured, 0)
        if training.arm != "teacher":
            work["pre-training step"] += self.probing.fine_tune_steps + len(self.others) * self.probing.transfer_steps
        return work

    def _judging(self, num_labelled: int, num_measured: int, neighbours: int) -> Counter[str]:
        """The work of computing a network's features, a linear probe, and nearest neighbours."""
        passes = self.probing.probe_epochs * num_labelled
        compared = num_labelled * num_measured if neighbours else 0
        return Counter({"image": num_labelled + num_measured, "probed image": passes, "neighbour": compared})

    def validation_work(self, bench: Bench, validation: Validation) -> Counter[str]:
        num_labelled = min(short.SHORT_IMAGES, len(bench.splits.train))
        work = self._judging(num_labelled, len(bench.splits.validation), 0)
        work["pre-training step"] += validation.steps
        return Counter({unit: validation.students * count for unit, count in work.items()})

    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        """Probes and neighbours are timed on random features."""
        splits, probing, num_classes = bench.splits, self.probing, bench.splits.spec.num_outputs
        if unit == "pre-training step":
            training = self.first(bench, unit)
            return step_seconds(self._path(bench, training, self._data(training)), bench, patience)
        if unit == "image":
            theta, inputs = bench.start(0), splits.test.batch(torch.arange(min(len(splits.test), TIMED_IMAGES)))[0]
            with torch.no_grad():
                return call_seconds(lambda: bench.student(theta, inputs), bench, patience) / len(inputs)
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(10 * PROBE_BATCH, self.distilled.num_dims, generator=generator)
        labels, queries = torch.zeros(len(features), dtype=torch.int64), features[:QUERIES_AT_ONCE]
        if unit == "neighbour":
            vote = partial(knn, features, labels, queries, max(1, probing.neighbours), num_classes)
            return call_seconds(vote, bench, patience) / len(queries) / len(features)
        once = probing.model_copy(update={"probe_epochs": 1})
        probe = partial(linear_probe, features, labels, num_classes, once, torch.Generator())
        return call_seconds(probe, bench, patience) / len(features)


def full_steps(probing: ProbingConfig, full_epochs: int, num_train: int) -> int:
    """Steps of pre-training on all real images: `full_epochs` passes, and no fewer than on the small sets."""
    return max(probing.pretrain_steps, full_epochs * -(-num_train // probing.pretrain_batch))
