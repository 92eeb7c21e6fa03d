"""What is measured of a frozen network: probes on its features, similarity to the teacher's, and transfer."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from engine.core.events import Event
from engine.data.source import LabelledSet, Splits
from engine.evaluation.bench import Bench, generator_of
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.probe import Represent, features_of, knn, linear_probe, share_right
from engine.evaluation.probing.similarity import linear_cka, mean_cosine
from engine.evaluation.scores import CKA, COSINE, FINE_TUNE, HEADLINE, KNN, LINEAR_PROBE, on

ELSEWHERE = 5000
"""Most labelled training images for probes on other sources and of other architectures."""


class Teacher(Protocol):
    """What a comparison needs of a teacher. represent: from prepared inputs (n, C, H, W) to (n, num_dims)."""

    @property
    def num_dims(self) -> int: ...

    @property
    def title(self) -> str: ...

    def represent(self, inputs: Tensor) -> Tensor: ...


class Measure(NamedTuple):
    """One measure of one network."""

    protocol: str
    metric: str
    split: str
    value: float


@dataclass(frozen=True)
class Lab:
    """What the networks of one architecture are evaluated with.

    bench: its student is the encoder. images: {"train": the labelled ones for probes, at `rows` of the training set,
    "validation", if there is any, and "test"}. others: other sources in the form of this one, by key. references: the
    teacher's representations of `images`; empty where only linear probes are measured.
    """

    bench: Bench
    probing: ProbingConfig
    images: dict[str, LabelledSet]
    rows: Tensor
    others: dict[str, Splits]
    references: dict[str, Tensor]

    @property
    def measured(self) -> tuple[str, ...]:
        """The splits that networks are measured on."""
        return tuple(self.bench.splits.measured)


def by_labels(lab: Lab, features: Mapping[str, Tensor], seed: int) -> list[Measure]:
    """Linear probe and nearest neighbours on features of labelled, validation and test images, (n, D) each."""
    num_classes, labels = lab.bench.splits.spec.num_outputs, lab.images["train"].targets
    classify = linear_probe(features["train"], labels, num_classes, lab.probing, generator_of("probe", seed))
    found = [_right(lab, LINEAR_PROBE, split, classify(features[split]).argmax(1)) for split in lab.measured]
    if lab.bench.is_own and lab.probing.neighbours:
        for split in lab.measured:
            voted = knn(features["train"], labels, features[split], lab.probing.neighbours, num_classes)
            found.append(_right(lab, KNN, split, voted))
    return found


def transferred(lab: Lab, represent: Represent, seed: int) -> Generator[Event, None, list[Measure]]:
    """Linear probes on the frozen features of every other source."""
    found = []
    for key, other in lab.others.items():
        doing = f"compute features of {other.title}"
        features = yield from features_of(represent, other.train, doing)
        generator = generator_of("probe", seed)
        classify = linear_probe(features, other.train.targets, other.spec.num_outputs, lab.probing, generator)
        for split, data in other.measured.items():
            features = yield from features_of(represent, data, doing)
            value = share_right(classify(features).argmax(1), data.targets)
            found.append(Measure(LINEAR_PROBE, on(key), split, value))
    return found


def likeness_to(references: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> list[Measure]:
    """Similarity of the features of validation and test images, (n, d) each, to the teacher's."""
    found = []
    for split in (name for name in references if name != "train"):
        mine, theirs = features[split], references[split]
        found.append(Measure(LINEAR_PROBE, COSINE, split, mean_cosine(mine, theirs)))
        found.append(Measure(LINEAR_PROBE, CKA, split, linear_cka(mine, theirs)))
    return found


def way(lab: Lab, found: Measure) -> str:
    """How a network was evaluated, as the end of a recipe."""
    if found.metric in (COSINE, CKA):
        return ""
    probing, source, measured = lab.probing, "", ""
    num_labelled, num_steps = len(lab.images["train"]), probing.fine_tune_steps
    if found.metric != HEADLINE:
        other = lab.others[found.metric.removeprefix(on(""))]
        source, measured = f" of {other.title}", f", measured on {len(other.test):,} test images"
        num_labelled, num_steps = len(other.train), probing.transfer_steps
    labelled = f"{num_labelled:,} labelled images{source}"
    said = {
        LINEAR_PROBE: f"; linear probe on {labelled}",
        KNN: f"; {probing.neighbours} nearest of {labelled}",
        FINE_TUNE: f"; fine-tuned on {labelled} for {num_steps:,} steps at rate {probing.fine_tune_lr:g}",
    }
    return said[found.protocol] + measured


def _right(lab: Lab, protocol: str, split: str, predicted: Tensor) -> Measure:
    return Measure(protocol, HEADLINE, split, share_right(predicted, lab.images[split].targets))


def elsewhere(probing: ProbingConfig) -> int:
    """Labelled images for probes on other sources and of other architectures."""
    return min(probing.probe_images or ELSEWHERE, ELSEWHERE)
