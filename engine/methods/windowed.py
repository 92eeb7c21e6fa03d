"""Meta-gradients through the end of a long inner training: the loop that RaT-BPTT and PoDD share.

Every outer step trains a fresh student, b random synthetic samples an inner step. Its first n steps, the burn-in, keep
no graph; the w steps after them, the window, are differentiated; then real data judge it:

    (theta_{t+1}, s_{t+1}) = Phi(theta_t, grad L(theta_t; x_B(t), y_B(t)), s_t, eta),   B(t) random,  t = 0..n+w-1
    x, y, eta move along d L(theta_{n+w}; real batch) / d(x, y, eta), with theta_n and the rule's state s_n constant

n and w follow a named schedule (meta/windows.py). Long trainings make the gradient's length vary by orders of
magnitude, so it is cut to twice its running average.

Source: Feng et al. 2024, arXiv:2311.07025, Algorithm 1 (RaT-BPTT).
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from engine.core.context import Context
from engine.core.events import Begun, Checkpoint, Event, Measured, Progress
from engine.core.progress import QUIET_SECONDS, paced
from engine.data.prices.windows import WindowSplits
from engine.data.source import Splits
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.balance import deciding, validated
from engine.evaluation.forecasting.measures import forecast, judge_of, skill
from engine.evaluation.train import loss_of
from engine.meta import update_rules
from engine.meta.clip import clip_gradient, gradient_norm, running_norm
from engine.meta.inner import Batch, burn_in, inner_loop
from engine.meta.outer import Adam
from engine.meta.windows import Growth, Window, window_at
from engine.methods.diagnosis import diagnose
from engine.methods.forms import Asked, initial_set
from engine.methods.state import Best, restore, snapshot
from engine.methods.windowed_config import ImagesWindowedConfig, WindowedConfig
from engine.nets import make_student
from engine.nets.student import Student
from engine.synthetic.base import SyntheticSet
from engine.synthetic.labelled import LabelledImages

Set = TypeVar("Set", bound=SyntheticSet)

REAL_AT_ONCE = 1000  # real samples whose activations are in memory together


def distill_images(
    splits: ImageSplits, config: ImagesWindowedConfig, context: Context
) -> Generator[Event, None, LabelledImages]:
    """Learn a set of any form on which a student can be trained for long, in random batches.

    Yields and raises what `distill_windowed` does, and ConfigError if the set cannot start as it should.
    """
    asked = Asked(config.training, config.student_lr, config.learn_rates)
    synthetic = yield from initial_set(config, splits, asked, context)
    groups = synthetic.groups(config.outer_lr, config.outer_lr / config.label_lr_divisor, config.rates_lr)
    return (yield from distill_windowed(synthetic, groups, splits, config, context))


def distill_windowed(
    synthetic: Set,
    groups: list[dict[str, Any]],
    splits: Splits,
    config: WindowedConfig,
    context: Context,
    penalty: Callable[[], Tensor] | None = None,
) -> Generator[Event, None, Set]:
    """Move a synthetic set until students trained on it for long do well on real data.

    synthetic: at its start, on the context's device. groups: of the outer Adam, with "lr". penalty: a scalar of the
    set's parameters that is added to the outer loss.

    Yields Measured(outer_loss, gradient_norm, window_start, window_length, student_lr, penalty if there is one, and
    validation_accuracy, or validation_skill of forecasts, now and then) each outer step, a Preview now and then, a
    Checkpoint each step, and Progress within steps that take long.
    Raises Diverged before anything is updated with a value that is not finite, and ConfigError if images and student do
    not fit.
    """
    students = Students(synthetic, splits, config, context)
    learned = [parameter for group in groups for parameter in group["params"]]
    outer = Adam([group | {"first_lr": group["lr"]} for group in groups])
    best = Best()
    first_step = synthetic.step = restore(context.resume_from, synthetic, outer, best)
    growth, usual_norm = Growth(config.min_burn_in), 0.0
    if saved := context.resume_from:
        growth, usual_norm = Growth(*(saved[f"growth.{name}"] for name in vars(growth))), saved["clip.average"]

    if first_step == 0:
        yield Begun(synthetic)
        yield synthetic.preview(0, splits)
    for step in range(first_step, config.outer_steps):
        is_cosine, angle = config.outer_decay == "cosine", math.pi * step / config.outer_steps
        for group in outer.param_groups:
            group["lr"] = group["first_lr"] * (0.5 * (1 + math.cos(angle)) if is_cosine else 1.0)
        outer.zero_grad()
        began = time.monotonic()
        window = window_at(config.window_schedule, config.unroll, step, context.stream, growth)
        real = splits.random_batch(config.real_batch, context.stream("real", step))
        outer_loss, further = 0.0, {}
        with synthetic.rounded(config.rounded_bits(step)):
            for number in range(config.num_inits):
                theta = yield from paced("train the student", students.path(step, number, window), sum(window))
                found, direction = students.judged(theta, *real)
                if time.monotonic() - began >= QUIET_SECONDS:  # what follows is one call, as long again and more
                    yield Progress("differentiate inner steps", 0, window.length)
                theta.backward(direction / config.num_inits)  # through the window's steps; one start's graph at a time
                outer_loss += found / config.num_inits
            if penalty is not None:
                extra = penalty()
                extra.backward()
                further["penalty"] = extra.item()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm) or not outer_loss < math.inf:
            paths = (students.path(step, number, window, detached=True) for number in range(config.num_inits))
            raise diagnose(synthetic, paths, window, step, outer_loss, "a shorter window or training")
        usual_norm = running_norm(usual_norm, norm.item())
        if config.clip != "none":
            clip_gradient(learned, norm, 2 * usual_norm if config.clip == "running" else config.clip_length)
        outer.step()
        synthetic.project()
        growth = growth.after(outer_loss, config.unroll)

        done = synthetic.step = step + 1
        values = {"outer_loss": outer_loss, "gradient_norm": norm.item(), "student_lr": synthetic.rates[0].item()}
        values |= {"window_start": float(window.burn_in), "window_length": float(window.length)} | further
        if config.wants_validation(done):
            with synthetic.rounded(config.rounded_bits()):
                tried = yield from students.validated()
            values |= tried
            best.offer(deciding(tried), done, synthetic)
        yield Measured(done, values)
        if config.wants_preview(done):
            yield synthetic.preview(done, splits)
        carried = {"clip.average": usual_norm} | {f"growth.{name}": value for name, value in vars(growth).items()}
        yield Checkpoint(done, partial(snapshot, done, synthetic, outer, best, carried), synthetic)

    if config.keep == "best" and best.put_back(synthetic):
        yield synthetic.preview(best.step, splits)
    return synthetic


class Students:
    """How students are trained on a synthetic set, judged and validated."""

    def __init__(self, synthetic: SyntheticSet, splits: Splits, config: WindowedConfig, context: Context) -> None:
        self.synthetic, self.splits, self.config, self.context = synthetic, splits, config, context
        self.student = make_student(config.student, splits.spec, context.device)
        self.loss, self.rule = loss_of(splits.spec), update_rules.BY_NAME[config.inner_optimiser]()
        self.measured = _measured(self.student, splits)

    def path(self, step: int, number: int, window: Window, detached: bool = False) -> Iterator[Tensor]:
        """Weights (P,) of student `number` after each step of burn-in and window, differentiable through the window.

        The streams of an outer step's first student are named as if there were no others. detached: keep no graph.
        """
        names = (step, number) if number else (step,)
        generator, state = self.context.stream("inner", *names), None
        theta = self._start("start", *names)
        for reached in burn_in(self.student, theta, self._samples(generator, window.burn_in), self.rule, self.loss):
            theta, state = reached
            yield theta
        rest, memory = self._samples(generator, window.length), self.config.memory
        yield from inner_loop(
            self.student, theta, rest, self.rule, self.loss, memory=memory, state=state, detached=detached
        )

    def judged(self, theta: Tensor, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        """The mean loss on real samples and its gradient in theta (P,), in pieces so that memory is that of one."""
        leaf = theta.detach().requires_grad_()
        total, gradient, pieces = 0.0, torch.zeros_like(theta), -(-len(targets) // REAL_AT_ONCE)
        for some, wanted in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
            part = self.loss(self.student(leaf, some), wanted) * (len(wanted) / len(targets))
            gradient = gradient + torch.autograd.grad(part, leaf)[0]
            total += part.item()
        return total, gradient

    def validated(self) -> Generator[Event, None, dict[str, float]]:
        """Mean scores on validation data, the deciding one last, of students trained on the set.

        Their starts are ones that the outer loop has not seen.
        """
        found, count, steps = [], self.config.validation().students, self.config.validation_steps
        for number in range(count):
            theta = self._start("validation start", number)
            batches = self._samples(self.context.stream("validation samples", number), steps)
            path = burn_in(self.student, theta, batches, self.rule, self.loss)
            theta, _ = yield from paced(f"validate with student {number + 1} of {count}", path, steps)
            found.append(theta)
        return self.measured(found, self.synthetic)

    def _start(self, *names: str | int) -> Tensor:
        """Weights (P,) that a student begins with: fresh ones, or those of the one start that the set is made for."""
        seed = self.synthetic.own_training.start_seed
        return self.student.init(self.context.stream(*names) if seed is None else torch.Generator().manual_seed(seed))

    def _samples(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        """The next `count` random synthetic batches, augmented where the set's training says so."""
        for batch in islice(self.synthetic.drawn(generator), count):
            is_augmented = self.synthetic.own_training.is_augmented
            yield batch._replace(inputs=self.splits.augment(batch.inputs, generator)) if is_augmented else batch


def _measured(student: Student, splits: Splits) -> Callable[[list[Tensor], SyntheticSet], dict[str, float]]:
    """How students with weights (P,), trained on a set, are measured on validation data: accuracy, or skill."""
    if not isinstance(splits, WindowSplits):
        return lambda thetas, seen: validated([student.fixed(theta, seen.data()) for theta in thetas], splits)
    windows, judge = splits, judge_of(splits, splits.validation)

    def of_forecasts(thetas: list[Tensor], _: SyntheticSet) -> dict[str, float]:
        found = [skill(judge, forecast(student, theta, windows.validation, windows)) for theta in thetas]
        return {"validation_skill": sum(found) / len(found)}

    return of_forecasts
