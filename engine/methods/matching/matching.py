"""Matching: to networks, synthetic images of a class should look like its real ones.

At an outer step a network f sees a real batch and the synthetic images of every class k, both changed by the same draw
of the augmentation A. Two objectives, both without any inner loop:

    features    sum_k || mean_{i in k} f(A(r_i)) - mean_{j in k} f(A(x_j)) ||^2,  f all layers but the last (DM)
    gradients   sum_k sum_rows 1 - cos(dL(A(r in k))/d theta, dL(A(x in k))/d theta)  (DC; with A, DSA)

A network has random weights, or trains on the set between a number of outer steps, and is then drawn again.

Sources:
    DM: Zhao & Bilen 2023, arXiv:2110.04181, Algorithm 1.
    DC: Zhao, Mopuri & Bilen 2021, arXiv:2006.05929, Algorithm 1.
    DSA: Zhao & Bilen 2021, arXiv:2102.08259.
What differs from the papers is listed in README.md.
"""

from collections.abc import Generator, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.errors import Diverged
from engine.core.events import Begun, Checkpoint, Event, Measured
from engine.core.progress import paced
from engine.data.transforms.prepare import ImageSplits
from engine.evaluation.balance import deciding
from engine.evaluation.train import at_random
from engine.meta.clip import gradient_norm
from engine.meta.outer import Adam, Sgd
from engine.methods.forms import Asked, initial_set
from engine.methods.matching.config import REAL_AT_ONCE, MatchingConfig
from engine.methods.matching.objectives import Sums, class_gradients, class_sums, feature_distance, gradient_distance
from engine.methods.method import Method, Paper
from engine.methods.presets import read_presets
from engine.methods.state import Best, restore, snapshot
from engine.methods.validation import with_students
from engine.nets import make_student
from engine.nets.student import Student
from engine.synthetic.base import Training
from engine.synthetic.labelled import LabelledImages

Pieces = list[tuple[Tensor, Tensor]]
"""Inputs (n, C, H, W) with shares (n, K) of the classes."""


def distill(splits: ImageSplits, config: MatchingConfig, context: Context) -> Generator[Event, None, LabelledImages]:
    """Learn a set whose classes look like the real ones to networks.

    Yields Measured(outer_loss, gradient_norm, and validation_accuracy now and then) each outer step, a Preview now and
    then, a Checkpoint each step, and Progress within steps that take long.
    Raises Diverged before anything is updated with a value that is not finite, and ConfigError if images and student do
    not fit.
    """
    student = make_student(config.student, splits.spec, context.device)
    asked = Asked(config.training(splits.spec), config.student_lr, learn_rates=False)
    synthetic = yield from initial_set(config, splits, asked, context)
    groups = synthetic.groups(config.outer_lr, config.labels_lr, 0.0)
    learned = [parameter for group in groups for parameter in group["params"]]
    outer = Adam(groups) if config.outer_optimiser == "adam" else Sgd(groups, momentum=0.5)
    best, saved = Best(), context.resume_from
    first_step = synthetic.step = restore(saved, synthetic, outer, best)
    theta = student.init(context.stream("network", 0)) if saved is None else saved["network"].to(context.device)

    if saved is None:
        yield Begun(synthetic)
        yield synthetic.preview(0, splits)
    for step in range(first_step, config.outer_steps):
        if step % config.network_matches == 0:
            theta = student.init(context.stream("network", step))
        augment = partial(_augmented, splits, config, context, step)
        real = [(augment(inputs), shares) for inputs, shares in _real(splits, config.real_batch, context, step)]
        with synthetic.rounded(config.rounded_bits(step)):
            batch = next(synthetic.drawn(context.stream("samples", step)))
            ours = augment(batch.inputs), _shares(batch.targets, splits.spec.num_outputs)
            matched = _features if config.objective == "features" else _gradients
            loss: Tensor = yield from matched(student, theta, real, ours)
            outer.zero_grad()
            loss.backward()
        norm = gradient_norm(learned)
        if not torch.isfinite(norm) or not torch.isfinite(loss):
            said = f"The distance between real and synthetic images is {loss.item():.3g} at outer step {step},"
            remedy = f"its gradient {norm.item():.3g}. Start again with a lower outer learning rate."
            raise Diverged(f"{said} {remedy}", quantity="outer loss", step=step)
        outer.step()
        synthetic.project()
        if config.network_steps and (step + 1) % config.network_matches:
            theta = yield from _trained(student, theta, synthetic, splits, config, context, step)

        done = synthetic.step = step + 1
        values = {"outer_loss": loss.item(), "gradient_norm": norm.item()}
        if config.wants_validation(done):
            counts = config.validation_students, config.validation_steps
            rounded = synthetic.as_stored(config.rounded_bits())
            tried = yield from with_students(student, rounded, splits, *counts, context)
            values |= tried
            best.offer(deciding(tried), done, synthetic)
        yield Measured(done, values)
        if config.wants_preview(done):
            yield synthetic.preview(done, splits)
        carried = {"network": theta.detach().clone()}
        yield Checkpoint(done, partial(snapshot, done, synthetic, outer, best, carried), synthetic)

    if config.keep == "best" and best.put_back(synthetic):
        yield synthetic.preview(best.step, splits)
    return synthetic


def _features(
    student: Student, theta: Tensor, real: Pieces, ours: tuple[Tensor, Tensor]
) -> Generator[Event, None, Tensor]:
    """The distance between mean features."""
    sums = yield from paced("see the real images", _sums(student, theta, real), len(real))
    return feature_distance(sums, class_sums(student.features(theta, ours[0]), ours[1]))


def _gradients(
    student: Student, theta: Tensor, real: Pieces, ours: tuple[Tensor, Tensor]
) -> Generator[Event, None, Tensor]:
    """The distance between gradients, class by class."""
    inputs, shares = (torch.cat(parts) for parts in zip(*real, strict=True))
    pairs = zip(
        _real_gradients(student, theta, inputs, shares),
        class_gradients(student, theta, *ours, create_graph=True),
        strict=True,
    )
    totals = _running(gradient_distance(student, *pair) for pair in pairs)
    return (yield from paced("compare gradients", totals, shares.shape[1]))


def _running(distances: Iterator[Tensor]) -> Iterator[Tensor]:
    """The sum so far, after each."""
    total = torch.zeros(())
    for distance in distances:
        total = total.to(distance) + distance
        yield total


def _real_gradients(student: Student, theta: Tensor, inputs: Tensor, shares: Tensor) -> Iterator[Tensor]:
    """`class_gradients` of real images, whose classes are apart: a pass for each."""
    for label in range(shares.shape[1]):
        mine = shares[:, label] > 0
        weights = theta.detach().requires_grad_()
        targets = torch.full((int(mine.sum()),), label, device=inputs.device)
        (gradient,) = torch.autograd.grad(F.cross_entropy(student.quick(weights, inputs[mine]), targets), weights)
        yield gradient


@torch.no_grad()
def _sums(student: Student, theta: Tensor, pieces: Pieces) -> Iterator[Sums]:
    """`class_sums` of the pieces so far, after each."""
    sums, weights = torch.zeros(()), torch.zeros(())
    for inputs, shares in pieces:
        more, counted = class_sums(student.quick_features(theta, inputs), shares)
        sums, weights = sums.to(more) + more, weights.to(more) + counted
        yield sums, weights


def _real(splits: ImageSplits, per_class: int, context: Context, step: int) -> Pieces:
    """`per_class` random images of each class or all there are, in mixed pieces."""
    targets, num_classes = splits.train.targets.cpu(), splits.spec.num_outputs
    order = torch.randperm(len(targets), generator=context.stream("real", step))
    rank = F.one_hot(targets[order], num_classes).cumsum(0).gather(1, targets[order][:, None])[:, 0]
    chosen = order[rank <= per_class]
    drawn = (splits.train.batch(indices) for indices in chosen.split(REAL_AT_ONCE))
    return [(inputs, _shares(labels, num_classes).to(inputs)) for inputs, labels in drawn]


def _shares(targets: Tensor, num_classes: int) -> Tensor:
    return targets if targets.ndim == 2 else F.one_hot(targets, num_classes).float()


def _augmented(splits: ImageSplits, config: MatchingConfig, context: Context, step: int, inputs: Tensor) -> Tensor:
    """Inputs augmented by the one draw of an outer step."""
    return splits.siamese(inputs, context.stream("augmentation", step)) if config.augment_synthetic else inputs


def _trained(
    student: Student,
    theta: Tensor,
    synthetic: LabelledImages,
    splits: ImageSplits,
    config: MatchingConfig,
    context: Context,
    step: int,
) -> Generator[Event, None, Tensor]:
    """The network after its steps on the set as it is now."""
    size, generator = synthetic.own_training.batch_size, context.stream("network training", step)
    training = Training("sgd", config.network_steps, batch_size=size, is_augmented=config.augment_synthetic)
    rate, steps = config.network_lr, config.network_steps
    path = at_random(student, theta, synthetic.data(), training, rate, steps, generator, splits.augment)
    return (yield from paced("train the network", path, steps)).detach()


METHOD = Method(
    key="matching",
    title="Matching (DM, DC, DSA)",
    summary="Learns images that have the mean features of the real ones of their class, or give networks the same "
    "gradients; no training is differentiated.",
    papers=(
        Paper("2110.04181", "Zhao & Bilen 2023"),
        Paper("2006.05929", "Zhao et al. 2021"),
        Paper("2102.08259", "Zhao & Bilen 2021"),
    ),
    config=MatchingConfig,
    presets=read_presets(__file__),
    distill=distill,
    outer_loss="distance to real images",
)
