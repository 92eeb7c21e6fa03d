"""Trajectory matching: training on the synthetic images should lead where training on real data led.

An expert is a student trained on the real data; its weights after each epoch are its trajectory. A student starts from
the expert's weights theta*_t at a random epoch and takes N plain steps on the synthetic images, which move so that it
comes near theta*_{t+M}, M epochs ahead:

    theta_0 = theta*_t,   theta_i = theta_{i-1} - eta grad L(theta_{i-1}; x_{B(i)}, y_{B(i)}),   i = 1..N
    minimise over x, y, eta:   ||theta_{i*} - theta*_{t+M}||^2 / ||theta*_t - theta*_{t+M}||^2

MTT compares the last step, i* = N; ATT the one nearest to the target; FTD is MTT with experts in flat places.

Sources:
    MTT: Cazenavette et al. 2022, arXiv:2203.11932, Algorithm 1.
    FTD: Du et al. 2023, arXiv:2211.11004.
    ATT: Liu et al. 2024, arXiv:2407.14245.
What differs from the papers is listed in README.md.
"""

import math
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.errors import ConfigError, Diverged
from engine.core.events import Begun, Checkpoint, Event, Measured
from engine.core.progress import paced
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.balance import deciding, validated
from engine.evaluation.train import at_random
from engine.meta.clip import gradient_norm
from engine.meta.inner import Batch
from engine.meta.outer import Sgd
from engine.meta.path import Path
from engine.meta.windows import Window
from engine.methods.diagnosis import diagnose
from engine.methods.forms import Asked, initial_set
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.state import Best, restore, snapshot
from engine.methods.trajectory.config import TrajectoryConfig
from engine.methods.trajectory.objectives import Matched, matched, normalised_distance
from engine.nets import make_student
from engine.nets.student import Student
from engine.pretrained.experts import Buffer, ExpertTrainer, load_or_record, plan
from engine.synthetic.labelled import LabelledImages

LEAST_SLOPE = 1e-18  # of the learning rate: a step size of `rates_lr` / slope^2 is a float32 number


def distill(splits: ImageSplits, config: TrajectoryConfig, context: Context) -> Generator[Event, None, LabelledImages]:
    """Learn a set on which students follow the experts.

    Yields what `load_or_record` does, then Measured(outer_loss, gradient_norm, matched_step, start_epoch, expert,
    student_lr, and validation_accuracy and ema_validation_accuracy now and then) each outer step, a Preview now and
    then, a Checkpoint each step, and Progress within steps that take long.
    Returns the set or its moving average, whichever is better on validation images, with the other as companion;
    without validations the set itself.
    Raises ConfigError if experts do not fit, Diverged before anything is updated with a value that is not finite.
    """
    student = make_student(config.student, splits.spec, context.device)
    companion = "distilled_ema" if config.ema_decay else ""
    asked = Asked(config.training(splits.spec), config.student_lr, config.learn_rates, companion=companion)
    synthetic = yield from initial_set(config, splits, asked, context)  # refuses bad settings before recording
    experts = yield from load_or_record(splits, config.student, config.experts, context)
    if problem := config.too_short(experts.num_epochs):
        raise ConfigError(f"{problem}.")
    # the rate's step size is set at each step (`_move`)
    groups = synthetic.groups(config.outer_lr, config.labels_lr, config.rates_lr)
    learned = [parameter for group in groups for parameter in group["params"]]
    outer = Sgd(groups, lr=config.outer_lr, momentum=config.momentum)
    best = Best()
    first_step = synthetic.step = restore(context.resume_from, synthetic, outer, best)

    if first_step == 0:
        yield Begun(synthetic)
        yield synthetic.preview(0, splits)
    for step in range(first_step, config.outer_steps):
        expert, epoch = _segment(experts, config, context, step)
        start = experts.weights(expert, epoch, context.device)
        target = experts.weights(expert, epoch + config.expert_epochs, context.device)
        path = Path(student, start, _batches(synthetic, splits, context, step), config.student_steps, F.cross_entropy)
        walked = matched(path.forward(), target, config.objective, config.nearest_by)
        outer.zero_grad()
        with synthetic.rounded(config.rounded_bits(step)):
            found: Matched = yield from paced("follow the student", walked, config.student_steps)
            outer_loss, direction = normalised_distance(found.theta, start, target)
            yield from paced("differentiate its steps", path.backward(found.step, direction, learned), found.step)
        norm = gradient_norm(learned)
        if not torch.isfinite(norm) or not outer_loss < math.inf:
            _check_moves(start, target, experts.numbers[expert], epoch, config)
            whole = Window(0, config.student_steps)
            raise diagnose(synthetic, [path.forward()], whole, step, outer_loss, "fewer student steps")
        _move(outer, synthetic, config, step)

        done = synthetic.step = step + 1
        values = {"outer_loss": outer_loss, "gradient_norm": norm.item(), "student_lr": synthetic.rates[0].item()}
        place = {"matched_step": found.step, "start_epoch": epoch, "expert": experts.numbers[expert]}
        values |= {name: float(value) for name, value in place.items()}
        if config.wants_validation(done):
            tried = yield from _validate(student, synthetic, splits, config, context)
            values |= {f"{prefix}{name}": value for prefix, found in tried.items() for name, value in found.items()}
            best.offer(max(map(deciding, tried.values())), done, synthetic)
        yield Measured(done, values)
        if config.wants_preview(done):
            yield synthetic.preview(done, splits)
        yield Checkpoint(done, partial(snapshot, done, synthetic, outer, best), synthetic)

    if config.keep == "best":
        best.put_back(synthetic)
    if config.validation().at_end:  # the better of the set and its moving average comes first
        tried = yield from _validate(student, synthetic, splits, config, context)
        if deciding(tried["ema_"]) > deciding(tried[""]):
            synthetic.exchange("distilled_raw")
    yield synthetic.preview(synthetic.step, splits)
    return synthetic


def record(splits: ImageSplits, config: TrajectoryConfig, context: Context) -> Generator[Event, None, dict[str, Any]]:
    """Record the experts that a run would follow. Returns a description of them."""
    return (yield from load_or_record(splits, config.student, config.experts, context)).describe()


def _move(outer: Sgd, synthetic: LabelledImages, config: TrajectoryConfig, step: int) -> None:
    """One outer step, and one of the moving average, e <- decay e + (1 - decay) x.

    The rate eta = softplus(r) stays positive. The step size of r is such that eta moves as far as in the published step
    on eta itself, to first order: d eta / d r = s = 1 - exp(-eta), so r moves at 1 / s^2 times the step size. No step
    more than halves or doubles eta.
    """
    slope = -torch.expm1(-synthetic.rates.detach()[0]).item()
    if slope < LEAST_SLOPE:
        said = f"The student learning rate fell to 0 at outer step {step}."
        remedy = "Start again with a lower learning rate of the rate."
        raise Diverged(f"{said} {remedy}", quantity="student learning rate", step=step)
    for group in outer.param_groups:
        if group["params"][0] is synthetic.raw_rates:
            group["lr"] = config.rates_lr / slope**2
    before = synthetic.raw_rates.detach().clone()
    outer.step()
    with torch.no_grad():
        synthetic.raw_rates.clamp_(before - math.log(2), before + math.log(2))
    synthetic.project()
    if config.ema_decay:
        synthetic.average(config.ema_decay)


def _segment(experts: Buffer, config: TrajectoryConfig, context: Context, step: int) -> tuple[int, int]:
    """The expert of an outer step, each once in random order before any comes again, and the epoch to start from."""
    count = len(experts.files)
    order = torch.randperm(count, generator=context.stream("experts", step // count))
    generator = context.stream("start epoch", step)
    epoch = torch.randint(config.min_start_epoch, config.max_start_epoch, (), generator=generator)
    return int(order[step % count]), int(epoch)


def _batches(synthetic: LabelledImages, splits: ImageSplits, context: Context, step: int) -> Callable[[int], Batch]:
    """What makes the batch of each inner step of an outer step, from the set's parameters as they are then."""

    def batch_at(inner_step: int) -> Batch:
        generator = context.stream("inner", step, inner_step)
        batch = next(synthetic.drawn(generator))
        if synthetic.own_training.is_augmented:
            batch = batch._replace(inputs=splits.siamese(batch.inputs, generator))
        return batch

    return batch_at


def _check_moves(start: Tensor, target: Tensor, expert: int, epoch: int, config: TrajectoryConfig) -> None:
    """Raise ConfigError if the expert did not move."""
    if torch.equal(start, target):
        epochs = f"{epoch} and after {epoch + config.expert_epochs} epochs"
        problem = f"Expert {expert + 1} has the same weights after {epochs}, so there is nothing to follow."
        raise ConfigError(f"{problem} Raise the experts' learning rate.")


def _validate(
    student: Student, synthetic: LabelledImages, splits: ImageSplits, config: TrajectoryConfig, context: Context
) -> Generator[Event, None, dict[str, dict[str, float]]]:
    """Validation scores of fresh students trained on the images, by "", and of as many on their average, by "ema_"."""
    synthetic = synthetic.as_stored(config.rounded_bits())
    found = {}
    for prefix, version in zip(("", "ema_"), (synthetic, *synthetic.companions().values()), strict=False):
        data, rate = version.data(), version.rates[0].item()
        networks = []
        for number in range(config.validation_students):
            theta = student.init(context.stream("validation start", number))
            generator = context.stream("validation samples", number)
            path = at_random(
                student, theta, data, version.own_training, rate, config.validation_steps, generator, splits.augment
            )
            phase = f"validate with student {number + 1} of {config.validation_students}"
            theta = yield from paced(phase, path, config.validation_steps)
            networks.append(student.fixed(theta, data))
        found[prefix] = validated(networks, splits)
    return found


MTT, FTD = Paper("2203.11932", "Cazenavette et al. 2022"), Paper("2211.11004", "Du et al. 2023")
METHOD = Method(
    key="trajectory",
    title="Trajectory matching (MTT, FTD, ATT)",
    summary="Learns images on which a student follows the recorded paths of networks trained on the real data.",
    papers=(MTT, FTD, Paper("2407.14245", "Liu et al. 2024")),
    config=TrajectoryConfig,
    presets=read_presets(__file__),
    distill=distill,
    record=record,
    recorded="experts",
    trainer=lambda splits, config, context: ExpertTrainer(splits, config.student, config.experts, context),
    plan_recording=lambda config, spec: plan(config.experts, config.student, spec),
    outer_loss="distance to the expert (1 at the start)",
)
