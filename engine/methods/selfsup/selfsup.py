"""Self-supervised distillation: few images and representations on which a network learns what a teacher knows. No labels.

A teacher g, trained on images alone, gives every real image x_r a representation g(x_r). The set holds images X and
representations Y, sums of few bases (X = up(C_x B_x + mean), Y = C_y B_y + mean) or stored whole. With features f of a network
that is being trained on the set, the best linear layer on top of them is known in closed form, and its error on real
images moves the set:

    minimise over the set:   || f(X_r) f(X)^T (f(X) f(X)^T + lambda I)^{-1} Y - g(X_r) ||^2

Under predefined augmentations a the images have representations of their own, Y^a = Y + shift. The teacher sees a(X) now
and then; small networks learn these shifts from the coefficients of Y, and are kept in their place.

Sources:
    KRR-ST: Lee et al. 2024, arXiv:2310.06511, Algorithm 1.
    Bases, augmentations, approximation networks: Yu et al. 2025, arXiv:2507.21455.
    Barlow Twins, the teacher: Zbontar et al. 2021, arXiv:2103.03230.
    Optimal augmentations: Feigin et al. 2024, arXiv:2411.01767.
What differs from the papers is listed in README.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.errors import Diverged
from engine.core.events import Analysed, Checkpoint, Event, Measured
from engine.core.progress import paced
from engine.data.source import Splits, TaskSpec
from engine.data.transforms.predefined import augmented, optimal_ones, predefined
from engine.evaluation.bench import Bench
from engine.evaluation.probing.comparison import RepresentationComparison
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.short import short_probe, short_probe_of_real
from engine.meta import ridge
from engine.meta.clip import clip_gradient, gradient_norm
from engine.methods.method import Method, Paper, RecordingPlan
from engine.methods.presets import read_presets
from engine.methods.selfsup.config import SelfsupConfig
from engine.methods.selfsup.map import representation_map
from engine.methods.selfsup.pool import Pool, warm_up_ages
from engine.methods.state import Best, restore, snapshot
from engine.nets import make_encoder
from engine.pretrained.teachers import Teacher, load_or_train, of_training, plan, try_teacher
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.pairs import PairSet


def distill(splits: Splits, config: SelfsupConfig, context: Context) -> Generator[Event, None, LowRankSet | PairSet]:
    """Learn `config.num_images` images with representations that teach a network what the teacher knows.

    Yields what `load_or_train` does, then Measured(outer_loss, gradient_norm, inner_loss, age, and validation_accuracy now and
    then) each outer step, a Preview and an Analysed now and then, a Checkpoint each step.
    Raises ConfigError where more bases are wanted than there can be, Diverged where a value is not finite.
    """
    teacher = yield from load_or_train(splits, config.teacher, context)
    real = yield from of_training(teacher, splits, context)
    encoder = make_encoder(config.student, splits.spec, teacher.num_dims, context.device)
    synthetic = yield from _initial_set(splits, real, config, context)
    learned = [parameter for parameter in synthetic.parameters() if parameter.requires_grad]
    sizes = [_size(parameter) if config.relative_steps else 1.0 for parameter in learned]
    outer = torch.optim.AdamW(
        [{"params": [parameter]} for parameter in learned], weight_decay=config.outer_weight_decay
    )
    pool, unused = Pool(encoder, config, context), Best()  # labels choose nothing: the last set is the result
    first_step = synthetic.step = restore(context.resume_from, synthetic, outer, unused)

    if first_step == 0:
        yield from _begin(synthetic, splits, teacher, real, config, context)
        shifts = yield from _renew(synthetic, teacher, config, context, 0)
        yield synthetic.preview(0, splits)
        if num_steps := sum(warm_up_ages(config, context)):
            yield from paced("warm up inner networks", pool.warm_up(*_pairs(synthetic, shifts)), num_steps)
    else:
        pool.load_state(context.resume_from)
        shifts = context.resume_from["shifts"].to(context.device)
    for step in range(first_step, config.outer_steps):
        if step % config.refresh_every == 0 and step:
            shifts = yield from _renew(synthetic, teacher, config, context, step)
        number = pool.pick(step)
        inputs, targets = _real_batch(splits, real, config, context, step)
        outer_loss = _outer_loss(pool, number, synthetic, inputs, targets, config)
        outer.zero_grad()
        outer_loss.backward()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm):
            raise _diverged(outer_loss.item(), step)
        if config.outer_clip:
            clip_gradient(learned, norm, config.outer_clip)
        for group, size in zip(outer.param_groups, sizes, strict=True):
            group["lr"] = config.outer_lr * size * (1 - step / config.outer_steps)
        outer.step()
        inner_loss = pool.train(number, *_pairs(synthetic, shifts))

        done = synthetic.step = step + 1
        values = {
            "outer_loss": outer_loss.item(),
            "gradient_norm": norm.item(),
            "inner_loss": inner_loss,
            "age": float(pool.members[number].age),
        }
        if config.wants_validation(done):
            values["validation_accuracy"] = yield from short_probe(
                encoder, synthetic, splits, config.probing, config.validation_steps, context
            )
        yield Measured(done, values)
        if config.wants_preview(done):
            yield synthetic.preview(done, splits)
        state = {"shifts": shifts}
        yield Checkpoint(
            done,
            lambda done=done, state=state: snapshot(done, synthetic, outer, unused) | pool.state() | state,
            synthetic,
        )

    yield from _renew(synthetic, teacher, config, context, config.outer_steps)
    yield from representation_map(synthetic, teacher, splits)
    return synthetic


def plan_recording(config: SelfsupConfig, spec: TaskSpec) -> RecordingPlan:
    """What the teacher takes, as if it were not recorded."""
    return plan(config.teacher, spec)


def record(splits: Splits, config: SelfsupConfig, context: Context) -> Generator[Event, None, dict[str, Any]]:
    """Train the teacher of a config, and no more. Returns what it is, for people."""
    return (yield from load_or_train(splits, config.teacher, context)).describe()


def try_record(splits: Splits, config: SelfsupConfig, context: Context) -> Generator[Event, None, RecordingPlan]:
    """What the teacher takes, by a few steps of its training."""
    return (yield from try_teacher(splits, config.teacher, context))


class SelfsupComparison(RepresentationComparison):
    """Networks pre-trained on the set, frozen and probed with labels, against the same on real images."""

    config: SelfsupConfig

    @property
    def probing(self) -> ProbingConfig:
        return self.config.probing

    def load_teacher(self) -> Generator[Event, None, tuple[Teacher, Tensor]]:
        teacher = yield from load_or_train(self.splits, self.config.teacher, self.context)
        return teacher, (yield from of_training(teacher, self.splits, self.context))

    def work_before(self, bench: Bench) -> Counter[str]:
        """Representing all images, warming up the pool, and the first probe, of random real images."""
        work = Counter({"image": len(self.splits.train)})
        work["pre-training step"] = sum(warm_up_ages(self.config, self.context))
        return work + self.validation_work(bench, self.config.validation()) if self.config.num_validations else work


def _initial_set(
    splits: Splits, real: Tensor, config: SelfsupConfig, context: Context
) -> Generator[Event, None, LowRankSet | PairSet]:
    common = {
        "spec": splits.spec,
        "training": config.training(),
        "rate": config.probing.pretrain_lr,
        "num_dims": real.shape[1],
        "num_images": config.num_images,
    }
    if config.parameterisation == "full":
        synthetic = PairSet(**common)
    else:
        augmentations = predefined(
            config.augmentations,
            jitter=config.jitter,
            crop_scale=config.crop_scale,
            blur_kernel=config.blur_kernel,
            blur_sigma=config.blur_sigma,
            seed=config.augmentation_seed,
        )
        optimal = optimal_ones(
            config.num_optimal,
            kernel=config.kernel_type,
            gamma=config.kernel_gamma,
            ridge=config.lambda_ridge,
            preimage_ridge=config.mu_p,
        )
        synthetic = LowRankSet(
            image_bases=config.image_bases,
            representation_bases=config.representation_bases,
            basis_size=config.basis_size,
            augmentations=augmentations + optimal,
            hidden_dims=config.hidden_dims,
            **common,
        )
    yield from synthetic.start_from_real(splits.train, real, context.stream("images"), "decompose the training data")
    return synthetic.to(context.device)


def _size(parameter: Tensor) -> float:
    """Root mean square of a part of the set; 1 for one that is all 0."""
    return parameter.detach().square().mean().sqrt().item() or 1.0


def _begin(
    synthetic: LowRankSet | PairSet,
    splits: Splits,
    teacher: Teacher,
    real: Tensor,
    config: SelfsupConfig,
    context: Context,
) -> Generator[Event, None, None]:
    """What a run is held against on its way, and the spectrum of its bases."""
    if config.num_validations:
        yield from short_probe_of_real(
            synthetic, splits, teacher, real, config.student, config.probing, config.validation_steps, context
        )
    if isinstance(synthetic, LowRankSet):
        used = {"images": config.image_bases, "representations": config.representation_bases}
        yield Analysed("spectrum", synthetic.spectrum | {"used": used})


def _renew(
    synthetic: LowRankSet | PairSet, teacher: Teacher, config: SelfsupConfig, context: Context, step: int
) -> Generator[Event, None, Tensor]:
    """Shifts (A, m, V) of the coefficients under each augmentation as the teacher sees the images now, and networks that fit them.

    A shift is the least-squares coefficient of g(a(X)) - g(X) in the bases of the representations.
    """
    if not synthetic.augmentations:
        return torch.zeros(0, synthetic.num_samples, 1, device=context.device)
    with torch.no_grad():
        images, own = synthetic.materialise()
        plain, changed = teacher.represent(images), augmented(synthetic.augmentations, images, own)
        moved = torch.stack([teacher.represent(each) - plain for each in changed])
        shifts = synthetic.coefficients_of(moved + synthetic.representation_mean)
    synthetic.fit_approximations(
        shifts, config.approximation_steps, config.approximation_lr, context.stream("approximation", step)
    )
    yield Analysed("approximation", synthetic.approximation_errors(own + moved))
    return shifts


@torch.no_grad()
def _pairs(synthetic: LowRankSet | PairSet, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """All images as they are and augmented, ((1 + A) m, C, H, W), with their representations as the teacher last saw them."""
    images, targets = synthetic.materialise()
    wanted = [targets, *(targets + shift @ synthetic.representation_bases for shift in shifts)]
    return torch.cat([images, *augmented(synthetic.augmentations, images, targets)]), torch.cat(wanted)


def _real_batch(
    splits: Splits, real: Tensor, config: SelfsupConfig, context: Context, step: int
) -> tuple[Tensor, Tensor]:
    """Random training images (b, C, H, W) and their representations (b, d); no label is looked at."""
    generator = context.stream("real", step)
    chosen = torch.randperm(len(splits.train), generator=generator)[: config.real_batch]
    return splits.train.batch(chosen)[0], real[chosen.to(real.device)]


def _outer_loss(
    pool: Pool, number: int, synthetic: LowRankSet | PairSet, inputs: Tensor, targets: Tensor, config: SelfsupConfig
) -> Tensor:
    """Mean squared error of the ridge regression from the set, on real images."""
    with torch.no_grad():
        queries = pool.features(number, inputs)
    predicted = ridge.predict(
        pool.features(number, synthetic.images()), synthetic.representations(), queries, config.ridge
    )
    return F.mse_loss(predicted, targets)


def _diverged(outer_loss: float, step: int) -> Diverged:
    return Diverged(
        f"The gradient of the set is infinite or NaN at outer step {step} (outer loss {outer_loss:.3g}). Lower the outer or the inner "
        f"learning rate, or raise the ridge.",
        quantity="meta-gradient", step=step,
    )  # fmt: skip


METHOD = Method(
    key="selfsup",
    title="Self-supervised (KRR-ST, low-rank)",
    summary="Learns images and representations, without labels, on which a network learns what a self-supervised teacher knows.",
    papers=(
        Paper("2310.06511", "Lee et al. 2024"),
        Paper("2507.21455", "Yu et al. 2025"),
        Paper("2103.03230", "Zbontar et al. 2021"),
        Paper("2411.01767", "Feigin et al. 2024"),
    ),
    tasks=frozenset({"classification"}),
    config=SelfsupConfig,
    presets=read_presets(__file__),
    distill=distill,
    record=record,
    recorded="teacher",
    try_record=try_record,
    plan_recording=plan_recording,
    comparison=SelfsupComparison,
    result="representations",
    outer_loss="error on real data",
)
