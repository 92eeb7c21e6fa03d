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
) -> Generator[Event, None, float]:
    """Validation accuracy of a linear probe on a network that was pre-trained on `pairs` for `num_steps` steps.

    Within a run always from the same initial weights and with the same labelled images.
    """
    doing, num_classes = "probe a network", splits.spec.num_outputs
    data = LabelledSet.as_is(*pairs)
    draw = of_pairs(data, probing.pretrain_batch, context.stream("short pre-training"))
    path = pretrain(encoder, encoder.init(context.stream("short start")), draw, probing, num_steps)
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
    """Yield the score of a short probe on random real images at the set's storage, the live baseline of a run."""
    encoder = make_encoder(student_config, splits.spec, teacher.num_dims, context.device)
    pairs = random_pairs(synthetic, splits.train, teacher, real, 0)
    value = yield from short_probe(encoder, pairs, splits, probing, num_steps, context)
    count = pairs_at_equal_storage(synthetic, splits.train)
    size = count, 4 * count * (math.prod(splits.spec.sample_shape) + synthetic.num_dims)
    recipe = recipe_of_real(synthetic, count, probing, num_steps)
    yield Scored("random_real", SHORT_PROBE, encoder.name, 0, HEADLINE, value, 0.0, "validation", *size, recipe)


def pairs_at_equal_storage(synthetic: RepresentationSet, train: LabelledSet) -> int:
    """Real images with representations that fit in as many stored numbers as the set takes; at least 1."""
    values = math.prod(synthetic.spec.sample_shape) + synthetic.num_dims
    return min(len(train), max(1, synthetic.num_stored_values() // values))


def random_pairs(
    synthetic: RepresentationSet, train: LabelledSet, teacher: Teacher, real: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Random training images at the set's storage, under its augmentations, with the teacher's representations.

    Like `synthetic.pairs()`. Drawn without labels; another draw for each seed, the same in every run.
    """
    count = pairs_at_equal_storage(synthetic, train)
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
