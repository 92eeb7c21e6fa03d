"""Published recipes of evaluation: how papers train the networks that their scores are of.

Each is a protocol of its own, the same for every training set, without a choice of rate or length:

standard                the code of DSA and of MTT: SGD, a tenth of the rate and a new optimiser after half of the
                        1,000 epochs, one DSA operation per batch with its own parameters for each image.
standard_learned_rate   the same at the learned rate of the distilled set, as in MTT, FTD and ATT.
frepo                   Adam, warm-up and cosine decay, half the squared error, one augmentation per batch.

Students are measured after the last step. A shortened recipe keeps its proportions, and its protocol says so:
"standard@30" is 30 % of its length.

Sources: Zhao & Bilen 2021 (arXiv:2102.08259), Cazenavette et al. 2022 (arXiv:2203.11932), Zhou et al. 2022
(arXiv:2206.00719), and their code. Where we differ: the code of DSA and MTT trains 1,001 epochs, 502 of them at the
first rate; that of FRePo takes batches in stored order, here each pass is shuffled.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import LabelledSet
from engine.data.transforms.augment import dsa, frepo_augmentation
from engine.evaluation.plan import Training
from engine.evaluation.scores import EPOCHS, LEARNED_RATE, shortening
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.meta.losses import half_squared_error
from engine.nets.student import Student

BATCH, RATE, MOMENTUM, WEIGHT_DECAY = 256, 0.01, 0.9, 5e-4
FREPO_BATCH, FREPO_RATE, WARM_UP, LAST_SHARE = 500, 3e-4, 500, 0.01


@dataclass(frozen=True)
class Published:
    """A published recipe.

    rate: its learning rate. num_steps(count): steps on so many samples. path(student, theta, data, training,
    generator): the weights (P,) after each step. told: in words, with {rate}, {epochs} and {steps}. regresses: onto
    labels, which then need not be shares.
    """

    rate: float
    batch_size: int
    num_steps: Callable[[int], int]
    path: Callable[[Student, Tensor, LabelledSet, Training, torch.Generator], Iterator[Tensor]]
    told: str
    regresses: bool = False


def published(protocol: str) -> Published | None:
    """The recipe of a protocol; None for the protocols of our own."""
    return PUBLISHED.get(protocol.partition("@")[0])


def protocol_of(recipe: str, percent: int) -> str:
    """The protocol of a recipe at a share of its length: "standard", or "standard@30"."""
    return recipe if percent == 100 else f"{recipe}@{percent}"


def shortened_steps(recipe: Published, count: int, percent: int) -> int:
    """Steps on `count` samples at a share of the recipe's length; whole epochs where it counts these."""
    return max(1, round(recipe.num_steps(count) * percent / 100))


def samples_seen(training: Training) -> int:
    """Samples that a student was trained on, each as often as it was seen."""
    count = training.num_samples
    passes, rest = divmod(training.num_steps, -(-count // training.batch_size))
    return passes * count + rest * min(training.batch_size, count)


def told(training: Training) -> str:
    """The recipe of a planned training in words."""
    recipe, said = PUBLISHED[training.protocol.partition("@")[0]], shortening(training.protocol)
    epochs = f"{training.num_steps // _per_pass(training.num_samples):,}"
    words = recipe.told.format(rate=training.rate, epochs=epochs, steps=f"{training.num_steps:,}")
    return f"{words}; shortened: {said}" if said else words


def _standard(
    student: Student, theta: Tensor, data: LabelledSet, training: Training, generator: torch.Generator
) -> Iterator[Tensor]:
    batches = _batches(data, training.batch_size, generator, dsa())
    half, rule = training.num_steps // 2, update_rules.momentum(MOMENTUM, WEIGHT_DECAY)
    for lr, count in ((training.rate, half), (training.rate / 10, training.num_steps - half)):
        rate = theta.new_tensor(lr)
        drawn = (Batch(*batch, rate) for batch in islice(batches, count))
        for reached in inner_loop(student, theta, drawn, rule, F.cross_entropy, detached=True):
            theta = reached
            yield theta


def _frepo(
    student: Student, theta: Tensor, data: LabelledSet, training: Training, generator: torch.Generator
) -> Iterator[Tensor]:
    batches = _batches(data, training.batch_size, generator, frepo_augmentation(mirrors=data.inputs.shape[1] > 1))
    warm_up = round(WARM_UP * training.num_steps / _frepo_steps(len(data)))
    rates = (warmed(training.rate, step, training.num_steps, warm_up) for step in range(training.num_steps))
    drawn = (Batch(*next(batches), theta.new_tensor(rate)) for rate in rates)
    return inner_loop(student, theta, drawn, update_rules.adam(eps_root=0.0), half_squared_error, detached=True)


def warmed(lr: float, step: int, num_steps: int, warm_up: int) -> float:
    """The rate of a step: from 0 to `lr` over `warm_up` steps, then a cosine to LAST_SHARE of it at `num_steps`."""
    if step < warm_up:
        return lr * step / warm_up
    share = 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, num_steps - warm_up)))
    return lr * (LAST_SHARE + (1 - LAST_SHARE) * share)


def _batches(
    data: LabelledSet, size: int, generator: torch.Generator, augment: Callable[[Tensor, torch.Generator], Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented minibatches of shuffled passes without end; the last of a pass is smaller if it must be."""
    while True:
        for indices in torch.randperm(len(data), generator=generator).split(size):
            inputs, targets = data.batch(indices)
            yield augment(inputs, generator), targets


def _per_pass(count: int) -> int:
    return -(-count // BATCH)


def _standard_steps(count: int) -> int:
    return EPOCHS * _per_pass(count)


def _frepo_steps(count: int) -> int:
    """As published for 10, 100, 200, 400, 500, 1,000, 2,000 and 5,000 images; otherwise as for the next number."""
    if count == 200:
        return 20_000
    return next((steps for most, steps in _FREPO_STEPS.items() if count <= most), 40_000)


_FREPO_STEPS = {10: 1000, 100: 2000, 500: 5000, 1000: 10_000}
_SGD = (
    f"SGD with momentum {MOMENTUM} and weight decay {WEIGHT_DECAY}, rate {{rate:g}} and a tenth of it from half of the "
    f"epochs on, {{epochs}} epochs of batches of at most {BATCH}, DSA with parameters for each image, last epoch"
)
_ADAM = (
    "Adam, rate {rate:g} after a warm-up, cosine decay to 1 %, {steps} steps of at most "
    f"{FREPO_BATCH} samples, half the squared error on centred labels, one augmentation per batch, last step"
)
_STANDARD = Published(RATE, BATCH, _standard_steps, _standard, _SGD)
PUBLISHED = {
    "standard": _STANDARD,
    LEARNED_RATE: _STANDARD,
    "frepo": Published(FREPO_RATE, FREPO_BATCH, _frepo_steps, _frepo, _ADAM, regresses=True),
}
