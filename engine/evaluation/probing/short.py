"""Short probes during a run: a network is pre-trained on the set for a few steps, then probed."""

import math
from collections.abc import Generator

import torch
from torch import Tensor

from engine.core.config import StudentConfig
from engine.core.context import Context
from engine.core.events import Event, Scored
from engine.core.progress import paced
from engine.data.source import LabelledSet, Splits
from engine.evaluation.bench import generator_of
from engine.evaluation.plan import SAMPLES, real_arms
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.judge import Teacher
from engine.evaluation.probing.pretrain import of_pairs, pretrain, real_pairs
from engine.evaluation.probing.probe import features_of, labelled_part, linear_probe, share_right
from engine.evaluation.scores import HEADLINE, SHORT_PROBE
from engine.nets import make_encoder
from engine.nets.student import Student
from engine.synthetic.representations import RepresentationSet

SHORT_IMAGES = 2000
"""Labelled training images of a short probe, always the same ones."""


def short_probe(
    encoder: Student,
    pairs: tuple[Tensor, Tensor],
    splits: Splits,
    probing: ProbingConfig,
    num_steps: int,
    context: Context,
    trial: str = "",
) -> Generator[Event, None, float]:
    """Validation accuracy of a linear probe on a network that was pre-trained on `pairs` for `num_steps` steps.

    Within a run always with the same labelled images, and from the same initial weights for the same `trial`.
    """
    doing, num_classes = "probe a network", splits.spec.num_outputs
    data = LabelledSet.as_is(*pairs)
    names = (trial,) if trial else ()
    draw = of_pairs(data, probing.pretrain_batch, context.stream("short pre-training", *names))
    path = pretrain(encoder, encoder.init(context.stream("short start", *names)), draw, probing, num_steps)
    theta = yield from paced(doing, path, num_steps)
    represent = encoder.fixed(theta, data)
    sample = splits.train.subset(labelled_part(splits.train, SHORT_IMAGES, num_classes))
    features = yield from features_of(represent, sample, doing)
    classify = linear_probe(features, sample.targets, num_classes, probing, context.stream("short probe"))
    judged = yield from features_of(represent, splits.validation, doing)
    return share_right(classify(judged).argmax(1), splits.validation.targets)


def short_probe_of_real(
    synthetic: RepresentationSet,
    splits: Splits,
    teacher: Teacher,
    real: Tensor,
    student_config: StudentConfig,
    probing: ProbingConfig,
    num_steps: int,
    context: Context,
) -> Generator[Event, None, None]:
    """Yield the scores of short probes on random real images, the live baselines of a run (`real_sizes`)."""
    encoder = make_encoder(student_config, splits.spec, teacher.num_dims, context.device)
    for arm, count, also in real_sizes(synthetic, splits.train):
        pairs = random_pairs(synthetic, splits.train, teacher, real, count, 0)
        value = yield from short_probe(encoder, pairs, splits, probing, num_steps, context)
        size, recipe = (count, real_bytes(count, synthetic)), recipe_of_real(synthetic, count, probing, num_steps)
        for name in (arm, *also):
            yield Scored(name, SHORT_PROBE, encoder.name, 0, HEADLINE, value, 0.0, "validation", *size, recipe)


def real_bytes(count: int, synthetic: RepresentationSet) -> int:
    """Bytes of real images with a teacher's representations: 1 per pixel value, 2 per number (float16)."""
    return count * (math.prod(synthetic.spec.sample_shape) + 2 * synthetic.num_dims)


def fitting(synthetic: RepresentationSet) -> int:
    """Real images with representations that fit into the bytes of the set, at least 1."""
    return max(1, synthetic.num_bytes() // real_bytes(1, synthetic))


def real_sizes(synthetic: RepresentationSet, train: LabelledSet) -> list[tuple[str, int, tuple[str, ...]]]:
    """The arms of random real images, as `real_arms` has them; all images where there are no more."""
    counts = {"random_real": fitting(synthetic), SAMPLES: synthetic.num_samples}
    return real_arms({arm: min(len(train), count) for arm, count in counts.items()})


def random_pairs(
    synthetic: RepresentationSet, train: LabelledSet, teacher: Teacher, real: Tensor, count: int, seed: int
) -> tuple[Tensor, Tensor]:
    """`count` random training images, under the set's augmentations, with the teacher's representations.

    Like `synthetic.pairs()`. Drawn without labels; another draw for each seed, the same in every run.
    """
    rows = torch.randperm(len(train), generator=generator_of("random pairs", count, seed))[:count]
    return real_pairs(train.subset(rows), real[rows.to(real.device)], synthetic.augmentations, teacher.represent)


def recipe_of(probing: ProbingConfig, num_steps: int) -> str:
    """The beginning of a recipe of pre-training."""
    steps = f"{num_steps:,} steps of at most {probing.pretrain_batch}"
    return f"SGD, rate {probing.pretrain_lr:g} with cosine decay, {steps}"


def recipe_of_real(synthetic: RepresentationSet, count: int, probing: ProbingConfig, num_steps: int) -> str:
    """The recipe of pre-training on `random_pairs`."""
    changed = augmented(synthetic, ", with the teacher's representations of those, which count as no storage")
    images = f"{count:,} random real images with the teacher's representations"
    return f"{recipe_of(probing, num_steps)} of {images}{changed}"


def augmented(synthetic: RepresentationSet, more: str = "") -> str:
    """The augmentations of a set in a recipe, if it has any."""
    number = len(synthetic.augmentations)
    return f", each also under {number} predefined augmentation{'s' if number > 1 else ''}{more}" if number else ""
