"""Dataset distillation by bilevel optimisation: images on which a few steps of gradient descent train a network.

The inner loop trains a student from theta_0 on the synthetic batches, T steps; the outer loss is the cross-entropy of
real data at theta_T; its exact gradient, through all T steps, moves images, labels and learning rates:

    theta_{t+1} = theta_t - eta_t grad L(theta_t; x_{t mod S}, y_{t mod S}),   t = 0..T-1,   T = S * E
    minimise over x, y, eta:   E_{theta_0} [ L(theta_T; real batch) ]

Sources:
    Wang et al. 2018, arXiv:1811.10959, Algorithms 1 and 2.
    Soft labels: Sucholutsky & Schonlau 2019, arXiv:1910.02551.
What differs from the paper is listed in README.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from engine.config import MethodConfig, option
from engine.context import Context
from engine.data.source import Splits
from engine.errors import Diverged
from engine.evaluation.train import accuracy, as_distilled
from engine.events import Checkpoint, Event, Measured, Preview
from engine.meta import optimiser_state, update_rules
from engine.meta.clip import clip_gradient, gradient_norm
from engine.meta.inner import Batch, inner_loop
from engine.methods.bilevel.presets import PRESETS
from engine.methods.bilevel.starts import Starts
from engine.methods.method import Method, Paper
from engine.nets import make_student
from engine.nets.student import Student
from engine.synthetic.base import Training
from engine.synthetic.pixels import PixelSet


class BilevelConfig(MethodConfig):
    """Hyperparameters, in the order the form shows them."""

    num_batches: int = option(
        1,
        "The images are shared out evenly over this many batches, each used for one inner step",
        low=1,
        high=500,
        label="Batches (S)",
        group="Inner loop",
    )
    passes: int = option(
        3, "Times the student goes through all batches", low=1, high=500, label="Passes (E)", group="Inner loop"
    )
    initialisation: Literal["random", "fixed", "pool"] = option(
        "random",
        "Weights the student starts from: any random draw, one fixed draw, or networks already part-trained on real data",
        group="Inner loop",
        label="Start weights",
    )
    num_inits: int = option(
        1,
        "Start weights per outer step; their gradients are averaged, one in memory at a time",
        low=1,
        high=1024,
        group="Inner loop",
        label="Starts per step",
    )
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option(
        "sgd", "How the student is trained on the synthetic images", group="Inner loop"
    )
    student_lr: float = option(
        0.02, "Inner learning rate at the start", low=1e-6, high=10.0, group="Inner loop", label="Student learning rate"
    )
    learn_rates: bool = option(True, "Learn the inner learning rates with the images", group="Inner loop")
    shared_rate: bool = option(
        False, "One rate for all inner steps instead of one for each", advanced=True, group="Inner loop"
    )
    pool_size: int = option(
        8,
        "Networks in the pool, of evenly spread ages",
        low=1,
        high=1000,
        advanced=True,
        group="Inner loop",
        when=("initialisation", "pool"),
    )
    pool_steps: int = option(
        100,
        "Age of the oldest network of the pool",
        low=1,
        high=100_000,
        unit="steps",
        advanced=True,
        group="Inner loop",
        when=("initialisation", "pool"),
    )
    memory: Literal["auto", "store", "recompute"] = option(
        "auto",
        "Keep every inner step's graph, or rebuild one at a time in backward: same gradient, less memory, more time",
        advanced=True,
        group="Inner loop",
    )

    images_from: Literal["noise", "real"] = option(
        "noise", "What the images start as", group="Synthetic set", label="Images start from"
    )
    labels: Literal["hard", "soft"] = option(
        "hard", "One class an image, or a learned distribution over classes", group="Synthetic set"
    )
    clamp: bool = option(
        False, "Cut pixels to the range of real ones after every outer step", advanced=True, group="Synthetic set"
    )
    augment_synthetic: bool = option(
        False, "Apply the training augmentation to synthetic batches too", advanced=True, group="Synthetic set"
    )

    real_batch: int = option(
        1024,
        "Real images that judge the student at each outer step",
        low=1,
        high=100_000,
        unit="images",
        group="Outer loop",
    )
    outer_lr: float = option(
        0.01,
        "Step size of Adam on images, labels and rates",
        low=1e-6,
        high=10.0,
        group="Outer loop",
        label="Outer learning rate",
    )
    decay_factor: float = option(
        0.5,
        "The outer learning rate is multiplied by this at each decay",
        low=0.01,
        high=1.0,
        advanced=True,
        group="Outer loop",
    )
    num_decays: int = option(
        4, "Decays, evenly spread over the run", low=0, high=100, advanced=True, group="Outer loop"
    )
    adam_beta1: float = option(
        0.5, "Momentum of the outer Adam", low=0.0, high=0.999, advanced=True, group="Outer loop", label="Adam beta 1"
    )
    clip: float = option(
        0.0,
        "Longest meta-gradient allowed; 0 means no limit",
        low=0.0,
        high=1e6,
        advanced=True,
        group="Outer loop",
        label="Gradient clip",
    )
    num_validations: int = option(
        20,
        "Times the set is tried on validation images during the run; 0 for never",
        low=0,
        high=1000,
        advanced=True,
        group="Outer loop",
    )
    keep: Literal["best", "last"] = option(
        "best", "Return the set that did best on validation images, or the last", advanced=True, group="Outer loop"
    )

    @model_validator(mode="after")
    def _batches_divide(self) -> BilevelConfig:
        if self.ipc % self.num_batches:
            raise ValueError(
                f"{self.ipc} images per class cannot be shared out evenly over {self.num_batches} batches; the number of batches must divide {self.ipc}"
            )
        return self


def distill(splits: Splits, config: BilevelConfig, context: Context) -> Generator[Event, None, PixelSet]:
    """Learn `config.ipc` images per class that train a student in S * E steps.

    Yields Measured(outer_loss, gradient_norm, student_lr, student_lr_min, student_lr_max, and validation_accuracy now
    and then) each outer step, a Preview now and then, a Checkpoint each step. Raises Diverged before anything is updated
    with a value that is not finite, and ConfigError if images and student do not fit.
    """
    student = make_student(config.student, splits.spec, context.device)
    synthetic = _initial_set(splits, config, context).to(context.device)
    starts = yield from Starts.prepare(student, splits.train, config, context)
    learned = [p for p in synthetic.parameters() if p.requires_grad]
    outer = torch.optim.Adam(learned, lr=config.outer_lr, betas=(config.adam_beta1, 0.999))
    best = _Best()
    first_step = _restore(context.resume_from, synthetic, outer, best)
    rule = update_rules.BY_NAME[config.inner_optimiser]()

    if first_step == 0:
        yield _preview(0, synthetic, splits)
    for step in range(first_step, config.outer_steps):
        outer.param_groups[0]["lr"] = _outer_lr(config, step)
        outer.zero_grad()
        real = _real_batch(splits, config.real_batch, context.stream("real", step))
        outer_loss = 0.0
        for number in range(config.num_inits):
            theta = starts.draw(step, number)
            batches = _augmented(synthetic.batches(), splits, config, context, step, number)
            theta = last(inner_loop(student, theta, batches, rule, F.cross_entropy, memory=config.memory))
            loss = F.cross_entropy(student(theta, real[0]), real[1]) / config.num_inits
            loss.backward()  # through all T steps; one start's graph at a time
            outer_loss += loss.item()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm) or not outer_loss < float("inf"):
            raise _diagnosis(student, starts, synthetic, rule, config, step, outer_loss)
        if config.clip:
            clip_gradient(learned, norm, config.clip)
        outer.step()
        if config.clamp and splits.display_range is not None:
            synthetic.clamp(*splits.display_range)

        done = step + 1
        rates = synthetic.rates.detach()
        values = {
            "outer_loss": outer_loss,
            "gradient_norm": norm.item(),
            "student_lr": rates.mean().item(),
            "student_lr_min": rates.min().item(),
            "student_lr_max": rates.max().item(),
        }
        if config.num_validations and (
            done % max(1, config.outer_steps // config.num_validations) == 0 or done == config.outer_steps
        ):
            values["validation_accuracy"] = _validate(student, synthetic, splits, starts, context)
            best.offer(values["validation_accuracy"], done, synthetic)
        yield Measured(done, values)
        if config.wants_preview(done):
            yield _preview(done, synthetic, splits)
        yield Checkpoint(done, lambda done=done: _snapshot(done, synthetic, outer, best), synthetic)

    if config.keep == "best" and best.state:
        synthetic.load_state_dict(best.state)
        yield _preview(config.outer_steps, synthetic, splits)
    return synthetic


def last(path: Iterator[Tensor]) -> Tensor:
    """The weights after the last inner step."""
    return deque(path, maxlen=1)[0]


def _initial_set(splits: Splits, config: BilevelConfig, context: Context) -> PixelSet:
    num_steps = config.num_batches * config.passes
    start_seed = None
    if config.initialisation == "fixed":
        start_seed = context.stream("fixed start").initial_seed()
    synthetic = PixelSet(
        spec=splits.spec,
        training=Training(config.inner_optimiser, num_steps, start_seed),
        ipc=config.ipc,
        num_batches=config.num_batches,
        num_rates=1 if config.shared_rate else num_steps,
        soft_labels=config.labels == "soft",
        learn_rates=config.learn_rates,
    )
    generator = context.stream("images")
    if config.images_from == "real":
        synthetic.start_from_real(splits.train, config.student_lr, generator)
    else:
        synthetic.start_from_noise(config.student_lr, generator)
    return synthetic


def _real_batch(splits: Splits, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`size` random training images, without repetition, augmented: (B, C, H, W) and (B,)."""
    indices = torch.randperm(len(splits.train), generator=generator)[:size]
    inputs, targets = splits.train.batch(indices)
    return splits.augment(inputs, generator), targets


def _augmented(
    batches: Iterator[Batch], splits: Splits, config: BilevelConfig, context: Context, step: int, number: int
) -> Iterator[Batch]:
    if not config.augment_synthetic:
        return batches
    generator = context.stream("synthetic augmentation", step, number)
    return (batch._replace(inputs=splits.augment(batch.inputs, generator)) for batch in batches)


def _outer_lr(config: BilevelConfig, step: int) -> float:
    decays_so_far = step * (config.num_decays + 1) // config.outer_steps
    return config.outer_lr * config.decay_factor**decays_so_far


def _validate(student: Student, synthetic: PixelSet, splits: Splits, starts: Starts, context: Context) -> float:
    """Mean validation accuracy of students trained as distilled, from starts the outer loop has not seen."""
    found = [
        accuracy(student, as_distilled(student, theta, synthetic), splits.validation) for theta in starts.unseen(3)
    ]
    return sum(found) / len(found)


def _preview(step: int, synthetic: PixelSet, splits: Splits) -> Preview:
    return synthetic.preview(step, splits)


class _Best:
    """The set that did best on validation images so far."""

    def __init__(self) -> None:
        self.accuracy, self.step, self.state = -1.0, 0, {}

    def offer(self, found: float, step: int, synthetic: PixelSet) -> None:
        if found >= self.accuracy:  # ties go to the later set
            self.accuracy, self.step = found, step
            self.state = {name: value.detach().clone() for name, value in synthetic.state_dict().items()}


def _snapshot(step: int, synthetic: PixelSet, outer: torch.optim.Optimizer, best: _Best) -> dict[str, Any]:
    state: dict[str, Any] = {"step": step, "best.accuracy": best.accuracy, "best.step": best.step}
    state |= {f"synthetic.{name}": value.detach().clone() for name, value in synthetic.state_dict().items()}
    state |= {f"outer.{name}": value for name, value in optimiser_state.export_state(outer).items()}
    state |= {f"best.state.{name}": value for name, value in best.state.items()}
    return state


def _restore(state: dict[str, Any] | None, synthetic: PixelSet, outer: torch.optim.Optimizer, best: _Best) -> int:
    """Put a snapshot back; the number of outer steps already done."""
    if state is None:
        return 0

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    synthetic.load_state_dict(part("synthetic."))
    optimiser_state.import_state(outer, part("outer."))
    best.accuracy, best.step, best.state = state["best.accuracy"], state["best.step"], part("best.state.")
    return state["step"]


def _diagnosis(
    student: Student,
    starts: Starts,
    synthetic: PixelSet,
    rule: update_rules.UpdateRule,
    config: BilevelConfig,
    step: int,
    outer_loss: float,
) -> Diverged:
    """Say which quantity stopped being finite first, by walking the inner loop of the same starts again."""
    highest = synthetic.rates.max().item()
    if not torch.isfinite(synthetic.images).all():
        return Diverged(
            f"The synthetic images are not finite at outer step {step}. Lower the outer learning rate.",
            quantity="images",
            step=step,
        )
    for number in range(config.num_inits):
        path = inner_loop(student, starts.draw(step, number), synthetic.batches(), rule, F.cross_entropy, detached=True)
        for inner_step, theta in enumerate(path):
            if not torch.isfinite(theta).all():
                return Diverged(
                    f"The student's weights became infinite or NaN at inner step {inner_step + 1} of {synthetic.training.num_steps}, in outer step "
                    f"{step}: its learning rate has grown to {highest:.3g}. Start again with a lower student learning rate or outer "
                    f"learning rate, or with a gradient clip of 1.",
                    quantity="student weights", step=step,
                )  # fmt: skip
    if not outer_loss < float("inf"):
        return Diverged(
            f"The outer loss is {outer_loss} at outer step {step}, though the student's weights are finite: its outputs overflow. "
            f"Lower the student learning rate (now up to {highest:.3g}), or the number of passes.",
            quantity="outer loss", step=step,
        )  # fmt: skip
    broken = [
        name for name, p in synthetic.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    return Diverged(
        f"The meta-gradient of {', '.join(broken) or 'the set'} is infinite or NaN at outer step {step} (outer loss {outer_loss:.3g}): the gradient "
        f"explodes on its way through {synthetic.training.num_steps} inner steps. Lower the passes or the student learning rate; a gradient clip of 1 keeps earlier steps from leading there.",
        quantity="meta-gradient", step=step,
    )  # fmt: skip


METHOD = Method(
    key="bilevel",
    title="Bilevel (Dataset Distillation)",
    summary="Learns images and learning rates on which a few gradient steps train a network, by differentiating through the training itself.",
    papers=(Paper("1811.10959", "Wang et al. 2018"), Paper("1910.02551", "Sucholutsky & Schonlau 2019")),
    tasks=frozenset({"classification"}),
    config=BilevelConfig,
    presets=PRESETS,
    distill=distill,
)
