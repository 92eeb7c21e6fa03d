"""Kernel ridge regression on features: the best last layer on top of a network has a closed form.

Let phi be the features that a network gives the synthetic images X, psi those of real images, Y and T the centred
labels of both. What the best linear layer, trained on the set, would answer for the real images is

    P = psi phi^T (phi phi^T + lambda I)^{-1} Y,    lambda = ridge * trace(phi phi^T) / n

and the set moves down the error of P, through phi alone. No inner loop is differentiated. The networks come from a pool
and train on the set as it changes (meta/pool.py).

    squared error:   mean over real images of 1/2 sum_c (P - T)^2,  less the margin of learned labels
    cross-entropy:   mean of CE(exp(k) P, class), with a learned k

Sources:
    FRePo: Zhou et al. 2022, arXiv:2206.00719, Algorithm 1 and its code.
    Cross-entropy with a learned temperature: Loo et al. 2022 (RFAD), arXiv:2210.12067.
    Moving average of the set: Loo et al. 2023 (RCIG), arXiv:2302.06755.
What differs from the papers is listed in README.md.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.context import Context
from engine.core.errors import Diverged
from engine.core.events import Begun, Checkpoint, Event, Measured
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.balance import deciding
from engine.meta import ridge
from engine.meta.clip import gradient_norm
from engine.meta.losses import centred, half_squared_error, label_margin
from engine.meta.outer import Adam, Lamb
from engine.meta.pool import Pool
from engine.methods.forms import Asked, initial_set
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.regression.config import RegressionConfig
from engine.methods.state import Best, restore, snapshot
from engine.methods.validation import with_students
from engine.nets import make_student
from engine.synthetic.labelled import LabelledImages


def distill(splits: ImageSplits, config: RegressionConfig, context: Context) -> Generator[Event, None, LabelledImages]:
    """Learn a set on whose features a ridge regression tells real images apart.

    Yields Measured(outer_loss, gradient_norm, inner_loss, age, and validation_accuracy now and then) each outer step, a
    Preview now and then, and a Checkpoint each step.
    Raises Diverged before anything is updated with a value that is not finite, and ConfigError if images and student do
    not fit.
    """
    spec = splits.spec
    student = make_student(config.student, spec, context.device)
    network = make_student(config.pool_student, spec, context.device)
    asked = Asked(config.training(spec), config.student_lr, learn_rates=False)
    synthetic = yield from initial_set(config, splits, asked, context)
    temperature = nn.Parameter(torch.zeros((), device=context.device))
    groups = synthetic.groups(config.outer_lr, config.labels_lr, 0.0)
    learned = [parameter for group in groups for parameter in group["params"]]
    if config.loss == "cross_entropy":
        groups.append({"params": [temperature], "lr": config.temperature_lr})
    outer_type = Lamb if config.outer_optimiser == "lamb" else Adam
    outer = outer_type([group | {"first_lr": group["lr"]} for group in groups])
    pool, average, best = Pool(network, config.pool(), half_squared_error, context), Average(learned), Best()
    saved = context.resume_from
    first_step = synthetic.step = restore(saved, synthetic, outer, best)

    if saved is None:
        yield Begun(synthetic)
        yield synthetic.preview(0, splits)
    else:
        pool.load_state(saved)
        average.load_state(saved)
        temperature.data.copy_(saved["temperature"])
    for step in range(first_step, config.outer_steps):
        share = config.last_lr + (1 - config.last_lr) * 0.5 * (1 + math.cos(math.pi * step / config.outer_steps))
        for group in outer.param_groups:
            group["lr"] = group["first_lr"] * share
        number = pool.pick(step)
        outer.zero_grad()
        inputs, targets = _real(splits, config, context, step)
        psi = pool.quick_features(number, inputs)
        with synthetic.rounded(config.rounded_bits(step)):
            batch = next(synthetic.drawn(context.stream("synthetic", step)))
            images, labels = _mirrored(batch.inputs, batch.targets) if config.mirror else batch[:2]
            outer_loss = error(
                pool.features(number, images), labels, psi, targets, spec.num_outputs, temperature, config
            )
            outer_loss.backward()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm):
            problem = f"The gradient of the set is infinite or NaN at outer step {step} (outer loss {outer_loss:.3g})."
            remedy = "Lower the outer or the inner learning rate, or raise the ridge."
            raise Diverged(f"{problem} {remedy}", quantity="meta-gradient", step=step)
        outer.step()
        synthetic.project()
        average.follow(config.average)
        inner_loss = _train(pool, number, synthetic, splits, config, context, step)

        done = synthetic.step = step + 1
        values = {"outer_loss": outer_loss.item(), "gradient_norm": norm.item(), "inner_loss": inner_loss}
        values["age"] = float(pool.members[number].age)
        with average.applied(), torch.no_grad():
            if config.wants_validation(done):
                counts = config.validation_students, config.validation_steps
                rounded = synthetic.as_stored(config.rounded_bits())
                tried = yield from with_students(student, rounded, splits, *counts, context)
                values |= tried
                best.offer(deciding(tried), done, synthetic)
            yield Measured(done, values)
            if config.wants_preview(done):
                yield synthetic.preview(done, splits)
        carried = pool.state() | average.state() | {"temperature": temperature.detach().clone()}
        yield Checkpoint(done, partial(snapshot, done, synthetic, outer, best, carried), synthetic)

    average.put()
    if config.keep == "best" and best.put_back(synthetic):
        yield synthetic.preview(best.step, splits)
    return synthetic


def error(
    phi: Tensor,
    labels: Tensor,
    psi: Tensor,
    targets: Tensor,
    num_classes: int,
    temperature: Tensor,
    config: RegressionConfig,
) -> Tensor:
    """The loss on real images, features psi (q, D) and classes (q,), of the regression fitted to synthetic ones.

    phi: (n, D) features; labels: (n,) classes or (n, K) shares. temperature: the logarithm of the factor on P.
    """
    wanted = centred(labels, num_classes)
    predicted = ridge.predict(phi, wanted, psi, config.ridge / len(phi), has_bias=False)
    if config.loss == "cross_entropy":
        return F.cross_entropy(temperature.exp() * predicted, targets)
    found = half_squared_error(predicted, targets)
    return found - config.margin * label_margin(wanted) if labels.ndim == 2 and config.margin else found


def _real(splits: ImageSplits, config: RegressionConfig, context: Context, step: int) -> tuple[Tensor, Tensor]:
    """The real images of an outer step (q, C, H, W), and their classes (q,)."""
    generator = context.stream("real", step)
    if config.augment_real:
        return splits.random_batch(config.real_batch, generator)
    return splits.train.batch(torch.randperm(len(splits.train), generator=generator)[: config.real_batch])


def _mirrored(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The images and their mirror images, with the labels of both."""
    return torch.cat([images, images.flip(3)]), torch.cat([labels, labels])


def _train(
    pool: Pool,
    number: int,
    synthetic: LabelledImages,
    splits: ImageSplits,
    config: RegressionConfig,
    context: Context,
    step: int,
) -> float:
    """One step of a network on the set as it is now; returns its loss."""
    generator = context.stream("inner batch", step)
    with torch.no_grad():
        inputs, labels, _ = next(synthetic.as_stored(config.rounded_bits(step)).drawn(generator))
    if config.augment_inner:
        inputs = splits.augment(inputs, generator)
    return pool.train(number, inputs, labels)


class Average:
    """The moving average of parameters, e <- decay e + (1 - decay) x; without a decay the parameters themselves."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._parameters, self._means = parameters, [parameter.detach().clone() for parameter in parameters]

    def follow(self, decay: float) -> None:
        """After an outer step."""
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it, the parameters are their averages."""
        own = [parameter.detach().clone() for parameter in self._parameters]
        self.put()
        try:
            yield
        finally:
            for parameter, value in zip(self._parameters, own, strict=True):
                parameter.data.copy_(value)

    def put(self) -> None:
        """Make the parameters their averages."""
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            parameter.data.copy_(mean)

    def state(self) -> dict[str, Tensor]:
        """Copies for `load_state`."""
        return {f"average.{number}": mean.clone() for number, mean in enumerate(self._means)}

    def load_state(self, state: dict[str, Any]) -> None:
        for number, mean in enumerate(self._means):
            mean.copy_(state[f"average.{number}"])


METHOD = Method(
    key="regression",
    title="Kernel ridge regression (FRePo)",
    summary="Learns images on whose features a ridge regression, solved in closed form, tells real images apart; no "
    "training is differentiated.",
    papers=(
        Paper("2206.00719", "Zhou et al. 2022"),
        Paper("2210.12067", "Loo et al. 2022"),
        Paper("2302.06755", "Loo et al. 2023"),
    ),
    config=RegressionConfig,
    presets=read_presets(__file__),
    distill=distill,
    outer_loss="error on real data",
)
