"""What is measured of a frozen network: its features with labels, their likeness to the teacher's, and on other sources."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from engine.core.events import Event
from engine.core.progress import paced
from engine.data.source import LabelledSet, Splits
from engine.evaluation.bench import SPLITS, Bench, fewer, generator_of
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.fine_tune import Classifier, fine_tune
from engine.evaluation.probing.probe import Represent, features_of, knn, labelled_part, linear_probe, share_right
from engine.evaluation.probing.similarity import linear_cka, mean_cosine
from engine.evaluation.probing.transfer import adapted
from engine.evaluation.scores import CKA, COSINE, FINE_TUNE, HEADLINE, KNN, LINEAR_PROBE, on
from engine.evaluation.train import accuracy

ELSEWHERE = 5000
"""Labelled training images, at most, that probes on other sources and of other architectures learn from."""


class Teacher(Protocol):
    """What a comparison asks of a teacher. represent: prepared inputs (n, C, H, W) to representations (n, num_dims)."""

    num_dims: int
    title: str

    def represent(self, inputs: Tensor) -> Tensor: ...


class Found(NamedTuple):
    """One measure of one network, of plain values for the cache."""

    protocol: str
    metric: str
    split: str
    value: float


@dataclass(frozen=True)
class Lab:
    """What every arm of one architecture shares.

    bench: its student is the encoder. num_dims: of a representation. images: {"train": labelled ones that probes learn from,
    "validation", "test"}. references: the teacher's representations of the same, where more than linear probes is measured;
    else empty. others: other sources in the form of this one, by key. digest: of the teacher's representations.
    """

    bench: Bench
    probing: ProbingConfig
    num_dims: int
    images: dict[str, LabelledSet]
    references: dict[str, Tensor]
    others: dict[str, Splits]
    digest: str


def make_lab(
    bench: Bench, probing: ProbingConfig, teacher: Teacher, real: Tensor, others: Mapping[str, Splits]
) -> Generator[Event, None, Lab]:
    """What the arms of a bench share; the teacher sees the measured images once, for the bench's own architecture alone."""
    splits, device = bench.splits, bench.context.device
    most = probing.probe_images if bench.is_own else _elsewhere(probing)
    rows = labelled_part(splits.train, most, splits.spec.num_outputs)
    labelled = splits.train if len(rows) == len(splits.train) else splits.train.subset(rows)
    images = {"train": labelled, "validation": splits.validation, "test": splits.test}
    references = {}
    if bench.is_own:
        references["train"] = real[rows.to(real.device)].to(device)
        for split in SPLITS:
            references[split] = yield from features_of(teacher.represent, images[split], f"represent {split} images")
    fitted = {key: _fitted(other, bench, probing) for key, other in others.items()} if bench.is_own else {}
    digest = hashlib.blake2b(real.cpu().contiguous().numpy().data, digest_size=16).hexdigest()
    return Lab(bench, probing, teacher.num_dims, images, references, fitted, digest)


def network(lab: Lab, theta: Tensor, seed: int) -> Generator[Event, None, dict[str, Any]]:
    """Everything measured of network number `seed` with weights `theta` (P,), for the cache; each image is looked at once.

    Fine-tuning begins anew from `theta` and looks for itself.
    """
    represent = partial(lab.bench.student, theta)
    features = {}
    for split, data in lab.images.items():
        features[split] = yield from features_of(represent, data, f"look at {split} images")
    found = _by_labels(lab, features, seed)
    if lab.bench.is_own:
        for split in SPLITS:
            found.append(Found(LINEAR_PROBE, COSINE, split, mean_cosine(features[split], lab.references[split])))
            found.append(Found(LINEAR_PROBE, CKA, split, linear_cka(features[split], lab.references[split])))
        found += yield from _transferred(lab, represent, seed)
        if lab.probing.fine_tune_steps:
            found += yield from _fine_tuned(lab, theta, seed)
    return {"found": found}


def teacher_itself(lab: Lab, teacher: Teacher) -> Generator[Event, None, dict[str, Any]]:
    """The same of the teacher: its representations by their probe and neighbours, and on other sources."""
    found = _by_labels(lab, lab.references, 0)
    found += yield from _transferred(lab, teacher.represent, 0)
    return {"found": found, "seconds": 0.0}


def _by_labels(lab: Lab, features: Mapping[str, Tensor], seed: int) -> list[Found]:
    """Features of labelled, validation and test images, (n, D) each, by a linear probe and by their neighbours."""
    num_classes, labels = lab.bench.splits.spec.num_outputs, lab.images["train"].targets
    classify = linear_probe(features["train"], labels, num_classes, lab.probing, generator_of("probe", seed))
    found = [_right(lab, LINEAR_PROBE, split, classify(features[split]).argmax(1)) for split in SPLITS]
    if lab.bench.is_own and lab.probing.neighbours:
        for split in SPLITS:
            voted = knn(features["train"], labels, features[split], lab.probing.neighbours, num_classes)
            found.append(_right(lab, KNN, split, voted))
    return found


def _transferred(lab: Lab, represent: Represent, seed: int) -> Generator[Event, None, list[Found]]:
    """Linear probes of frozen features on every other source."""
    found = []
    for key, other in lab.others.items():
        doing = f"look at {other.title}"
        features = yield from features_of(represent, other.train, doing)
        generator = generator_of("probe", seed)
        classify = linear_probe(features, other.train.targets, other.spec.num_outputs, lab.probing, generator)
        for split, data in zip(SPLITS, (other.validation, other.test), strict=True):
            features = yield from features_of(represent, data, doing)
            value = share_right(classify(features).argmax(1), data.targets)
            found.append(Found(LINEAR_PROBE, on(key), split, value))
    return found


def way(lab: Lab, found: Found) -> str:
    """How a network was judged, as the end of a recipe."""
    probing, labelled = lab.probing, f"{len(lab.images['train']):,} labelled images"
    if found.metric in (COSINE, CKA):
        return ""
    if found.metric != HEADLINE:
        other = lab.others[found.metric.removeprefix(on(""))]
        return f"; linear probe on {len(other.train):,} labelled images of {other.title}, measured on {len(other.test):,} test images"
    return {
        LINEAR_PROBE: f"; linear probe on {labelled}",
        KNN: f"; {probing.neighbours} nearest of {labelled}",
        FINE_TUNE: f"; fine-tuned on {labelled} for {probing.fine_tune_steps:,} steps at rate {probing.fine_tune_lr:g}",
    }[found.protocol]


def _right(lab: Lab, protocol: str, split: str, predicted: Tensor) -> Found:
    return Found(protocol, HEADLINE, split, share_right(predicted, lab.images[split].targets))


def _fine_tuned(lab: Lab, theta: Tensor, seed: int) -> Generator[Event, None, list[Found]]:
    """The whole network trained on with the labelled images."""
    bench, probing = lab.bench, lab.probing
    classifier = Classifier(bench.student, bench.splits.spec.num_outputs)
    start, generator = classifier.start(theta, lab.num_dims), generator_of("fine-tuning", seed)
    path = fine_tune(classifier, start, lab.images["train"], probing, bench.splits.augment, generator)
    tuned = yield from paced(f"fine-tune {bench.title}", path, probing.fine_tune_steps)
    return [Found(FINE_TUNE, HEADLINE, split, accuracy(classifier, tuned, lab.images[split])) for split in SPLITS]


def _elsewhere(probing: ProbingConfig) -> int:
    """Labelled images for probes on other sources and of other architectures."""
    return min(probing.probe_images or ELSEWHERE, ELSEWHERE)


def _fitted(other: Splits, bench: Bench, probing: ProbingConfig) -> Splits:
    """Another source in the form of the bench's own, with as many images as are looked at there."""
    measured = fewer(other, bench.evaluation.other_images)
    rows = labelled_part(other.train, _elsewhere(probing), other.spec.num_outputs)

    def fit(data: LabelledSet) -> LabelledSet:
        return adapted(data, bench.splits.spec, bench.splits.preparation).to(bench.context.device)

    train, validation, test = (fit(data) for data in (other.train.subset(rows), measured.validation, measured.test))
    return replace(measured, train=train, validation=validation, test=test)
