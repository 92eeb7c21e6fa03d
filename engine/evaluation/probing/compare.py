"""Representations learned from distilled pairs against those learned from real ones, over several networks.

Every arm is a fresh network that is pre-trained on pairs of an image and its representation, then frozen and judged with
labels, by its output. Networks of one number begin with the same weights in every arm:

    distilled    the pairs of the synthetic set, under its augmentations too.
    random_real  as many random real images with the teacher's representations as take the same storage, under the same
                 augmentations with the teacher's own representations of those. They are not counted as storage, which
                 favours this arm.
    untrained    not pre-trained at all.
    full         all real images with the teacher's representations, without augmentation.
    teacher      the teacher itself, for reference.

No label is seen before a network is frozen, and test images choose nothing. All arms but the distilled depend on nothing a
run learns, so their scores are cached by everything they do depend on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Event, Scored
from engine.core.progress import paced
from engine.data.source import LabelledSet, Splits
from engine.evaluation.bench import Arm, cache_path, generator_of, make_bench, read_record, scored, write_record
from engine.evaluation.compare import architectures, has_full
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.judge import ELSEWHERE, Found, Lab, Teacher, make_lab, network, teacher_itself, way
from engine.evaluation.probing.pretrain import Draw, of_images, of_pairs, pretrain, real_pairs
from engine.evaluation.probing.probe import features_of, labelled_part, linear_probe, share_right
from engine.evaluation.scores import HEADLINE, SHORT_PROBE
from engine.nets import make_encoder
from engine.nets.student import Student
from engine.synthetic.representations import RepresentationSet

SHORT_IMAGES = 2000
"""Labelled training images, always the same ones, that the probe after a short pre-training learns from."""
WORDS = {"distilled": "distilled pairs", "random_real": "random real images", "full": "all real images"}
"""What networks are pre-trained on, in messages."""


@dataclass(frozen=True)
class Plan:
    """How the networks of an arm come to be.

    draw: the pairs that network number `seed` is pre-trained on for `num_steps` steps; None where it is not.
    key: what the scores depend on besides what the lab knows; None where they belong to one run alone.
    """

    arm: Arm
    draw: Callable[[int], Draw] | None = None
    num_steps: int = 0
    key: dict[str, Any] | None = field(default_factory=dict)


def compare_representations(
    synthetic: RepresentationSet,
    splits: Splits,
    student_config: StudentConfig,
    probing: ProbingConfig,
    evaluation: EvaluationConfig,
    teacher: Teacher,
    real: Tensor,
    context: Context,
    others: Mapping[str, Splits],
) -> Generator[Event, None, None]:
    """Judge networks of every arm: yield a Scored for validation and one for test images of each measure, Progress between.

    Architectures of `evaluation.students` are judged by their linear probes alone.

    Args:
        synthetic: networks are pre-trained on its `pairs()`.
        splits: the data it was distilled from.
        teacher: represents images that `real` does not hold.
        real: (N, d), the teacher's representations of all training images, in their order.
        others: splits of other sources by key, for transfer, their images as read (not whitened).
    """
    for config in architectures(student_config, evaluation):
        is_own = config == student_config
        bench = make_bench(splits, config, evaluation, context, is_own=is_own)
        bench = replace(bench, student=make_encoder(config, splits.spec, teacher.num_dims, context.device))
        lab = yield from make_lab(bench, probing, teacher, real, others)
        plans = [_distilled(lab, synthetic), _random_real(lab, synthetic, teacher, real), _untrained()]
        if has_full(evaluation, is_own):
            plans.append(_full(lab, real))
        for plan in plans:
            for seed in range(evaluation.num_students):
                yield from _scores(lab, plan, seed, _measured(lab, plan, seed))
        if is_own:  # one probe: there is one teacher
            plan = Plan(Arm("teacher", "", 0, 0, f"{teacher.title}, frozen"))
            yield from _scores(lab, plan, 0, teacher_itself(lab, teacher))


def short_probe(
    encoder: Student,
    synthetic: RepresentationSet,
    splits: Splits,
    probing: ProbingConfig,
    num_steps: int,
    context: Context,
) -> Generator[Event, None, float]:
    """Validation accuracy of a linear probe of a network that was pre-trained on the set for `num_steps` steps.

    Each time in a run from the same fresh weights, and with the same labelled images.
    """
    return (yield from _short(encoder, synthetic.pairs(), splits, probing, num_steps, context))


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
    """The same of random real images at the set's storage, as a Scored: what a run is held against along the way."""
    encoder = make_encoder(student_config, splits.spec, teacher.num_dims, context.device)
    pairs = random_pairs(synthetic, splits.train, teacher, real, 0)
    value = yield from _short(encoder, pairs, splits, probing, num_steps, context)
    arm = _arm_of_real(synthetic, splits.train, probing, num_steps)
    yield Scored(
        arm=arm.name, protocol=SHORT_PROBE, student=encoder.name, seed=0, metric=HEADLINE, value=value, seconds=0.0,
        split="validation", num_samples=arm.num_samples, num_bytes=arm.num_bytes, recipe=arm.recipe,
    )  # fmt: skip


def pairs_at_equal_storage(synthetic: RepresentationSet, train: LabelledSet) -> int:
    """Real images, each with its representation, that fit in as many stored numbers as the set takes; 1 at least."""
    values = math.prod(synthetic.spec.sample_shape) + synthetic.num_dims
    return min(len(train), max(1, synthetic.num_stored_values() // values))


def full_steps(probing: ProbingConfig, evaluation: EvaluationConfig, num_train: int) -> int:
    """Steps of pre-training on all real images: as many as the small arms have, or the passes asked for, whichever is more."""
    return max(probing.pretrain_steps, evaluation.full_epochs * -(-num_train // probing.pretrain_batch))


def random_pairs(
    synthetic: RepresentationSet, train: LabelledSet, teacher: Teacher, real: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Random training images at the set's storage, under its augmentations, with the teacher's representations.

    As `synthetic.pairs()` are. Drawn without regard to labels; another draw for each seed, the same for every run.
    """
    count = pairs_at_equal_storage(synthetic, train)
    rows = torch.randperm(len(train), generator=generator_of("random pairs", count, seed))[:count]
    return real_pairs(train.subset(rows), real[rows.to(real.device)], synthetic.augmentations, teacher.represent)


def _short(
    encoder: Student,
    pairs: tuple[Tensor, Tensor],
    splits: Splits,
    probing: ProbingConfig,
    num_steps: int,
    context: Context,
) -> Generator[Event, None, float]:
    """Validation accuracy after a short pre-training on `pairs`."""
    doing, num_classes = "probe a network", splits.spec.num_outputs
    draw = of_pairs(*pairs, probing.pretrain_batch, context.stream("short pre-training"))
    path = pretrain(encoder, encoder.init(context.stream("short start")), draw, probing, num_steps)
    theta = yield from paced(doing, path, num_steps)
    represent = partial(encoder, theta)
    sample = splits.train.subset(labelled_part(splits.train, SHORT_IMAGES, num_classes))
    features = yield from features_of(represent, sample, doing)
    classify = linear_probe(features, sample.targets, num_classes, probing, context.stream("short probe"))
    judged = yield from features_of(represent, splits.validation, doing)
    return share_right(classify(judged).argmax(1), splits.validation.targets)


def _distilled(lab: Lab, synthetic: RepresentationSet) -> Plan:
    """The synthetic set."""
    pairs, num_steps = synthetic.pairs(), lab.probing.pretrain_steps
    told = f"{_recipe(lab.probing, num_steps)} of {len(pairs[0]):,} distilled pairs{_augmented(synthetic)}"
    arm = Arm("distilled", "", synthetic.num_samples, synthetic.num_bytes(), told, _numbers(lab.probing, num_steps))
    return Plan(arm, lambda seed: of_pairs(*pairs, lab.probing.pretrain_batch, _minibatches(seed)), num_steps, None)


def _random_real(lab: Lab, synthetic: RepresentationSet, teacher: Teacher, real: Tensor) -> Plan:
    """Random real images at equal storage."""
    train, num_steps = lab.bench.splits.train, lab.probing.pretrain_steps
    arm = _arm_of_real(synthetic, train, lab.probing, num_steps)

    def draw(seed: int) -> Draw:
        pairs = random_pairs(synthetic, train, teacher, real, seed)
        return of_pairs(*pairs, lab.probing.pretrain_batch, _minibatches(seed))

    augmentations = [repr(augment) for augment in synthetic.augmentations]
    return Plan(arm, draw, num_steps, {"n": arm.num_samples, "augmentations": augmentations})


def _arm_of_real(synthetic: RepresentationSet, train: LabelledSet, probing: ProbingConfig, num_steps: int) -> Arm:
    """What `random_pairs` are, as scores name them."""
    count = pairs_at_equal_storage(synthetic, train)
    num_bytes = 4 * count * (math.prod(synthetic.spec.sample_shape) + synthetic.num_dims)
    augmented = _augmented(synthetic, ", with the teacher's representations of those, which count as no storage")
    told = (
        f"{_recipe(probing, num_steps)} of {count:,} random real images with the teacher's representations{augmented}"
    )
    return Arm("random_real", "", count, num_bytes, told, _numbers(probing, num_steps))


def _untrained() -> Plan:
    """Fresh weights."""
    return Plan(Arm("untrained", "", 0, 0, "Fresh weights, not pre-trained"))


def _full(lab: Lab, real: Tensor) -> Plan:
    """All real images."""
    train, batch = lab.bench.splits.train, lab.probing.pretrain_batch
    num_steps = full_steps(lab.probing, lab.bench.evaluation, len(train))
    told = f"{_recipe(lab.probing, num_steps)} of all real images with the teacher's representations, not augmented; bytes: 1 a pixel value, 4 a number of a representation"  # fmt: skip
    num_bytes = len(train) * math.prod(lab.bench.splits.spec.sample_shape) + 4 * real.numel()
    arm = Arm("full", "", len(train), num_bytes, told, _numbers(lab.probing, num_steps))
    return Plan(arm, lambda seed: of_images(train, real, batch, _minibatches(seed)), num_steps, {"steps": num_steps})


def _minibatches(seed: int) -> torch.Generator:
    """Of the minibatches of network number `seed`, of every arm alike."""
    return generator_of("pre-training", seed)


def _measured(lab: Lab, plan: Plan, seed: int) -> Generator[Event, None, dict[str, Any]]:
    """Network number `seed` of an arm, pre-trained, frozen and judged: what the cache keeps of it."""
    bench, seconds = lab.bench, 0.0
    theta = bench.start(seed)
    if plan.draw is not None:
        draw = plan.draw(seed)
        began = bench.now()
        path = pretrain(bench.student, theta, draw, lab.probing, plan.num_steps)
        theta = yield from paced(f"pre-train {bench.title} on {WORDS[plan.arm.name]}", path, plan.num_steps)
        seconds = bench.now() - began
    return (yield from network(lab, theta, seed)) | {"seconds": seconds}


def _scores(
    lab: Lab, plan: Plan, seed: int, measured: Generator[Event, None, dict[str, Any]]
) -> Generator[Event, None, None]:
    """Scores of one network, from the cache if it belongs to no run and was ever measured on this machine.

    measured: does the work when it is run, and returns what the cache keeps.
    """
    path = None if plan.key is None else _cache_path(lab, plan, seed)
    record = read_record(path) if path else None
    known = record is not None
    if record is None:
        record = yield from measured
        if path:
            write_record(path, record)
    for one in (Found(*values) for values in record["found"]):
        arm = replace(plan.arm, protocol=one.protocol, recipe=plan.arm.recipe + way(lab, one))
        yield scored(
            lab.bench, arm, seed, one.value, record["seconds"], split=one.split, cached=known, metric=one.metric
        )


def _cache_path(lab: Lab, plan: Plan, seed: int) -> Path:
    """A file for everything the scores of a network depend on."""
    parts = {
        "arm": plan.arm.name,
        "seed": seed,
        "probing": lab.probing.model_dump(mode="json", exclude={"transfer"}),
        "others": {name: other.fingerprint for name, other in lab.others.items()},
        "elsewhere": ELSEWHERE,
        "is_own": lab.bench.is_own,
        "dims": lab.num_dims,
        "teacher": lab.digest,
        **plan.key,
    }
    return cache_path(lab.bench, parts)


def _recipe(probing: ProbingConfig, num_steps: int) -> str:
    """Pre-training in words, as the beginning of what it is done on."""
    return (
        f"SGD, rate {probing.pretrain_lr:g} with cosine decay, {num_steps:,} steps of at most {probing.pretrain_batch}"
    )


def _numbers(probing: ProbingConfig, num_steps: int) -> dict[str, Any]:
    """The same as numbers."""
    return {"num_steps": num_steps, "batch_size": probing.pretrain_batch, "lr": probing.pretrain_lr}


def _augmented(synthetic: RepresentationSet, more: str = "") -> str:
    """A set's augmentations in a recipe, if it has any."""
    number = len(synthetic.augmentations)
    return f", each also under {number} predefined augmentation{'s' if number > 1 else ''}{more}" if number else ""
