"""Pre-training: a fresh network learns the representation of each image, by mean squared error and without labels.

SGD with momentum 0.9, cosine decay to 0, weight decay and gradients clipped to length 1, like the inner networks of the
distillation: networks without normalisation then stay finite at the same rate.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import LabelledSet
from engine.data.transforms.predefined import Predefined, augmented
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.probe import Represent
from engine.evaluation.train import cosine
from engine.meta import update_rules
from engine.meta.inner import Batch, Loss, Network, burn_in
from engine.meta.update_rules import State, UpdateRule
from engine.nets.student import Student

Draw = Callable[[int], tuple[Tensor, Tensor]]
"""The data of a step: inputs (b, C, H, W) and representations (b, d), or labels (b,) for fine-tuning."""

LONGEST_GRADIENT = 1.0


def pretrain(encoder: Student, theta: Tensor, draw: Draw, config: ProbingConfig, num_steps: int) -> Iterator[Tensor]:
    """Train from `theta` (P,) on the pairs of each step; yield the weights (P,) after each."""
    rule = bounded_sgd(config.pretrain_weight_decay)
    return with_cosine(encoder, theta, draw, config.pretrain_lr, num_steps, rule, F.mse_loss)


def with_cosine(
    network: Network, theta: Tensor, draw: Draw, lr: float, num_steps: int, rule: UpdateRule, loss: Loss
) -> Iterator[Tensor]:
    """Train from `theta` (P,) at a rate that decays from `lr` to 0; yield the weights (P,) after each step."""
    rates = (torch.tensor(cosine(lr, step, num_steps), device=theta.device) for step in range(num_steps))
    batches = (Batch(*draw(step), rate) for step, rate in enumerate(rates))
    return (theta for theta, _ in burn_in(network, theta, batches, rule, loss))


def bounded_sgd(weight_decay: float) -> UpdateRule:
    """Momentum 0.9 on the gradient, clipped to length 1, plus weight_decay theta."""
    momentum = update_rules.momentum()

    def apply(theta: Tensor, g: Tensor, state: State, lr: Tensor | float) -> tuple[Tensor, State]:
        cut = (LONGEST_GRADIENT / g.norm()).clamp(max=1.0)
        return momentum.apply(theta, cut * g + weight_decay * theta, state, lr)

    return UpdateRule("bounded_sgd", momentum.init, apply)


def of_pairs(data: LabelledSet, batch_size: int, generator: torch.Generator) -> Draw:
    """Random minibatches of images with representations (N, d) as targets, or all if there are fewer."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        if batch_size >= len(data):
            return data.batch(torch.arange(len(data)))
        return data.batch(torch.randperm(len(data), generator=generator)[:batch_size])

    return draw


def real_pairs(
    data: LabelledSet, representations: Tensor, augmentations: Sequence[Predefined], represent: Represent
) -> tuple[Tensor, Tensor]:
    """Real images with a teacher's representations, like `pairs` of a set: ((1+A)n, C, H, W) and ((1+A)n, d).

    representations: (n, d), of the plain images. represent: the teacher, for the images under the A augmentations.
    """
    inputs, _ = data.batch(torch.arange(len(data)))
    known = representations.to(inputs.device)
    changed = augmented(augmentations, inputs, known)
    targets = [known, *(represent(each) for each in changed)]
    return torch.cat([inputs, *changed]), torch.cat(targets)
