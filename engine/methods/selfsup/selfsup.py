"""Self-supervised distillation: a few images with representations that teach a network what a teacher knows. No labels.

A teacher g, trained on unlabelled images, gives each real image x_r a representation g(x_r). The set holds images X and
representations Y, as linear combinations of bases (X = up(C_x B_x + mean), Y = C_y B_y + mean) or in full. Let f be the
features of a network that is being trained on the set. The best linear layer on top of f has a closed form, and its
error on real images is what the set minimises:

    min over the set:   || f(X_r) f(X)^T (f(X) f(X)^T + lambda I)^{-1} Y - g(X_r) ||^2

Under a predefined augmentation a, images have representations of their own, Y^a = Y + shift. Now and then the teacher
represents a(X); small networks learn the shifts from the coefficients of Y, and are stored instead of them.

Sources:
    KRR-ST: Lee et al. 2024, arXiv:2310.06511, Algorithm 1.
    Bases, augmentations, approximation networks: Yu et al. 2025, arXiv:2507.21455.
    Barlow Twins, the teacher: Zbontar et al. 2021, arXiv:2103.03230.
    Optimal augmentations: Feigin et al. 2024, arXiv:2411.01767.
What differs from the papers is listed in README.md.
"""

from collections import Counter
from collections.abc import Generator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.errors import Diverged
from engine.core.events import Analysed, Begun, Checkpoint, Event, Learned, Measured
from engine.core.progress import paced
from engine.data.source import Splits, TaskSpec
from engine.data.transforms.predefined import augmented
from engine.evaluation.bench import Bench
from engine.evaluation.probing.comparison import RepresentationComparison
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.short import short_probe, short_probe_of_real
from engine.meta import ridge
from engine.meta.clip import clip_gradient, gradient_norm
from engine.meta.outer import Adam
from engine.meta.pool import Pool
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.selfsup.budget import Counts
from engine.methods.selfsup.config import SelfsupConfig
from engine.methods.selfsup.map import representation_map
from engine.methods.state import Best, restore, snapshot
from engine.nets import make_encoder
from engine.pretrained.teachers import Teacher, TeacherTrainer, load_or_train, of_training, plan
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.representations import PairSet, RepresentationSet


def distill(splits: Splits, config: SelfsupConfig, context: Context) -> Generator[Event, None, RepresentationSet]:
    """Learn `config.num_images` images with representations that teach a network what the teacher knows.

    Yields the events of `load_or_train`. Then each outer step yields Measured(outer_loss, gradient_norm, inner_loss,
    age, sometimes validation_accuracy) and a Checkpoint, and some steps a Preview and an Analysed.
    Raises ConfigError for more bases than there can be, Diverged if the gradient is not finite.
    """
    teacher = yield from load_or_train(splits, config.teacher, context)
    real = yield from of_training(teacher, splits, context)
    encoder = make_encoder(config.student, splits.spec, teacher.num_dims, context.device)
    counts = config.counts(splits.spec)
    synthetic = _new_set(splits.spec, real.shape[1], config)
    yield from synthetic.start_from_real(splits.train, real, context.stream("images"), "decompose the training data")
    synthetic.to(context.device)
    if config.byte_budget:
        yield from _within_budget(synthetic, teacher, config, context, counts)
    learned = [parameter for parameter in synthetic.parameters() if parameter.requires_grad]
    norms = [parameter.detach().square().mean().sqrt().item() for parameter in learned]
    sizes = [(norm or 1.0) if config.relative_steps else 1.0 for norm in norms]
    groups = [{"params": [parameter]} for parameter in learned]
    outer = Adam(groups, weight_decay=config.outer_weight_decay)
    pool = Pool(encoder, config.pool(), F.mse_loss, context)
    unused = Best()  # without labels the last set is the result
    saved = context.resume_from
    first_step = synthetic.step = restore(saved, synthetic, outer, unused)

    if saved is None:
        if config.num_validations:
            probed = (config.student, config.probing, config.validation_steps)
            stored = synthetic.as_stored(config.asked_bits or synthetic.usual_bits)
            yield from short_probe_of_real(stored, splits, teacher, real, *probed, context)
        if isinstance(synthetic, LowRankSet):
            used = {"images": counts.image_bases, "representations": counts.representation_bases}
            yield Analysed("spectrum", synthetic.spectrum | {"used": used})
        shifts = yield from _renew(synthetic, teacher, config, context, 0)
        yield Begun(synthetic)
        yield synthetic.preview(0, splits)
        if num_steps := sum(config.pool().warm_up_ages(context)):
            yield from paced("warm up inner networks", pool.warm_up(*_pairs(synthetic, shifts)), num_steps)
    else:
        pool.load_state(saved)
        shifts = saved["shifts"].to(context.device)
    for step in range(first_step, config.outer_steps):
        if step % config.refresh_every == 0 and step:
            shifts = yield from _renew(synthetic, teacher, config, context, step)
        number = pool.pick(step)
        order = torch.randperm(len(splits.train), generator=context.stream("real", step))[: config.real_batch]
        inputs, targets = splits.train.batch(order)[0], real[order.to(real.device)]  # without labels
        outer.zero_grad()
        with synthetic.rounded(config.rounded_bits(step)):
            outer_loss = _outer_loss(pool, number, synthetic, inputs, targets, config)
            outer_loss.backward()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm):
            problem = f"The gradient of the set is infinite or NaN at outer step {step} (outer loss {outer_loss:.3g})."
            remedy = "Lower the outer or the inner learning rate, or raise the ridge."
            raise Diverged(f"{problem} {remedy}", quantity="meta-gradient", step=step)
        if config.outer_clip:
            clip_gradient(learned, norm, config.outer_clip)
        for group, size in zip(outer.param_groups, sizes, strict=True):
            group["lr"] = config.outer_lr * size * (1 - step / config.outer_steps)
        outer.step()
        inner_loss = pool.train(number, *_pairs(synthetic.as_stored(config.rounded_bits(step)), shifts))

        done = synthetic.step = step + 1
        values = {"outer_loss": outer_loss.item(), "gradient_norm": norm.item(), "inner_loss": inner_loss}
        values["age"] = float(pool.members[number].age)
        if config.wants_validation(done):
            pairs = synthetic.as_stored(config.rounded_bits()).pairs()
            probe = short_probe(encoder, pairs, splits, config.probing, config.validation_steps, context)
            values["validation_accuracy"] = yield from probe
        yield Measured(done, values)
        if config.wants_preview(done):
            yield synthetic.preview(done, splits)
        yield Checkpoint(done, partial(_state, done, synthetic, outer, unused, pool, shifts), synthetic)

    yield from _renew(synthetic, teacher, config, context, config.outer_steps)
    if "validation" in splits.measured:
        yield from representation_map(synthetic, teacher, splits)
    return synthetic


def _state(
    step: int, synthetic: RepresentationSet, outer: Adam, unused: Best, pool: Pool, shifts: Tensor
) -> dict[str, Any]:
    """What a checkpoint holds."""
    return snapshot(step, synthetic, outer, unused, pool.state() | {"shifts": shifts})


def record(splits: Splits, config: SelfsupConfig, context: Context) -> Generator[Event, None, dict[str, Any]]:
    """Train only the teacher. Returns a description of it."""
    return (yield from load_or_train(splits, config.teacher, context)).summary


class SelfsupComparison(RepresentationComparison):
    """Networks pretrained on the set or on real images, then frozen and probed with labels."""

    config: SelfsupConfig

    @property
    def probing(self) -> ProbingConfig:
        return self.config.probing

    def load_teacher(self) -> Generator[Event, None, tuple[Teacher, Tensor]]:
        teacher = yield from load_or_train(self.splits, self.config.teacher, self.context)
        weights = {name: value.cpu().contiguous() for name, value in teacher.network.state_dict().items()}
        yield Learned("teacher", weights, {"scale": repr(teacher.scale)})
        return teacher, (yield from of_training(teacher, self.splits, self.context))

    def work_before(self, bench: Bench) -> Counter[str]:
        """Representing all images, warming up the pool, and the first probe, of random real images."""
        work = Counter({"image": len(self.splits.train)})
        work["pre-training step"] = sum(self.config.pool().warm_up_ages(self.context))
        return work + self.validation_work(bench, self.config.validation()) if self.config.num_validations else work


def _new_set(spec: TaskSpec, num_dims: int, config: SelfsupConfig) -> RepresentationSet:
    """The set before its start, with every augmentation that is asked for."""
    training, rate, counts = config.training(), config.probing.pretrain_lr, config.counts(spec)
    sizes = {"num_dims": num_dims, "num_images": counts.num_images}
    if config.parameterisation == "full":
        return PairSet(spec=spec, training=training, rate=rate, **sizes)
    sizes |= {"image_bases": counts.image_bases, "representation_bases": counts.representation_bases}
    sizes |= {"basis_size": config.basis_size, "hidden_dims": config.hidden_dims}
    return LowRankSet(spec=spec, training=training, rate=rate, augmentations=config.predefined(), **sizes)


def _renew(
    synthetic: RepresentationSet, teacher: Teacher, config: SelfsupConfig, context: Context, step: int
) -> Generator[Event, None, Tensor]:
    """Refit the approximation networks. Returns the shifts (A, m, V) of the coefficients under each augmentation."""
    if not (isinstance(synthetic, LowRankSet) and synthetic.augmentations):
        return torch.zeros(0, synthetic.num_samples, 1, device=context.device)
    shifts, errors = _fit_networks(synthetic, teacher, config, context.stream("approximation", step))
    yield Analysed("approximation", errors)
    return shifts


def _fit_networks(
    synthetic: LowRankSet, teacher: Teacher, config: SelfsupConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, list[Any]]]:
    """The shifts (A, m, V) that the networks are fitted to, and the errors that they leave.

    Shifts are the least-squares coefficients of g(a(X)) - g(X) in the bases of the representations.
    """
    with torch.no_grad():
        images, own = synthetic.materialise()
        plain, changed = teacher.represent(images), augmented(synthetic.augmentations, images, own)
        moved = torch.stack([teacher.represent(each) - plain for each in changed])
        shifts = synthetic.coefficients_of(moved + synthetic.representation_mean)
    synthetic.fit_approximations(shifts, config.approximation_steps, config.approximation_lr, generator)
    return shifts, synthetic.approximation_errors(own + moved)


def _within_budget(
    synthetic: RepresentationSet, teacher: Teacher, config: SelfsupConfig, context: Context, counts: Counts
) -> Generator[Event, None, None]:
    """Keep the augmentations whose networks leave the smallest errors. Yields Analysed "budget": what was chosen."""
    told: dict[str, Any] = {"budget": config.byte_budget} | counts._asdict()
    if isinstance(synthetic, LowRankSet) and synthetic.augmentations:
        _, found = _fit_networks(synthetic, teacher, config, context.stream("approximation", "choice"))
        errors = found["with_networks"]
        order = sorted(range(len(errors)), key=errors.__getitem__)
        synthetic.keep(sorted(order[: counts.num_augmentations]))
        told |= {"augmentations": [found["augmentations"][number] for number in order]}
        told |= {"errors": [errors[number] for number in order]}
    yield Analysed("budget", told)


@torch.no_grad()
def _pairs(synthetic: RepresentationSet, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Images ((1 + A) m, C, H, W), plain and augmented, with the teacher's latest representations of them."""
    images, targets = synthetic.materialise()
    wanted = [targets]
    if isinstance(synthetic, LowRankSet):
        wanted += [targets + shift @ synthetic.representation_bases for shift in shifts]
    return torch.cat([images, *augmented(synthetic.augmentations, images, targets)]), torch.cat(wanted)


def _outer_loss(
    pool: Pool, number: int, synthetic: RepresentationSet, inputs: Tensor, targets: Tensor, config: SelfsupConfig
) -> Tensor:
    """Mean squared error on real images of the ridge regression fitted to the set."""
    queries = pool.quick_features(number, inputs)
    features = pool.features(number, synthetic.images())
    predicted = ridge.predict(features, synthetic.representations(), queries, config.ridge)
    return F.mse_loss(predicted, targets)


KRR_ST, LOW_RANK = Paper("2310.06511", "Lee et al. 2024"), Paper("2507.21455", "Yu et al. 2025")
METHOD = Method(
    key="selfsup",
    title="Self-supervised (KRR-ST, low-rank)",
    summary="Learns unlabelled images with representations that teach a network what a self-supervised teacher knows.",
    papers=(KRR_ST, LOW_RANK, Paper("2103.03230", "Zbontar et al. 2021"), Paper("2411.01767", "Feigin et al. 2024")),
    config=SelfsupConfig,
    presets=read_presets(__file__),
    distill=distill,
    record=record,
    recorded="teacher",
    trainer=lambda splits, config, context: TeacherTrainer(splits, config.teacher, context),
    plan_recording=lambda config, spec: plan(config.teacher, spec),
    comparison=SelfsupComparison,
    result="representations",
    outer_loss="error on real data",
)
