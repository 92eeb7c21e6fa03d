"""Pre-training: a fresh network learns to give each image its representation. No label takes part.

SGD with momentum 0.9, cosine decay to 0 and weight decay on the mean squared error, each gradient cut to length 1 as
inner networks of the distillation have it: networks without normalisation then stay finite at the same rate.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import LabelledSet
from engine.data.transforms.predefined import Predefined, augmented
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.probe import Represent
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.meta.update_rules import State, UpdateRule
from engine.nets.student import Student

Draw = Callable[[int], tuple[Tensor, Tensor]]
"""The pairs of a step: inputs (b, C, H, W) and representations (b, d)."""

LONGEST_GRADIENT = 1.0


def pretrain(
    encoder: Student, theta: Tensor, draw: Draw, config: ProbingConfig, num_steps: int | None = None
) -> Iterator[Tensor]:
    """Train from `theta` (P,) on the pairs that `draw` gives for steps 0, 1, ...; yield the weights (P,) after each.

    num_steps: `config.pretrain_steps` if None.
    """
    num_steps = config.pretrain_steps if num_steps is None else num_steps

    def batches() -> Iterator[Batch]:
        for step in range(num_steps):
            lr = config.pretrain_lr * 0.5 * (1 + math.cos(math.pi * step / num_steps))
            yield Batch(*draw(step), torch.tensor(lr, device=theta.device))

    return inner_loop(encoder, theta, batches(), bounded_sgd(config.pretrain_weight_decay), F.mse_loss, detached=True)


def bounded_sgd(weight_decay: float) -> UpdateRule:
    """Momentum 0.9 on the gradient, cut to length 1 at most, plus weight_decay theta."""
    momentum = update_rules.momentum()

    def apply(theta: Tensor, g: Tensor, state: State, lr: Tensor | float) -> tuple[Tensor, State]:
        cut = (LONGEST_GRADIENT / g.norm()).clamp(max=1.0)
        return momentum.apply(theta, cut * g + weight_decay * theta, state, lr)

    return UpdateRule("bounded_sgd", momentum.init, apply)


def of_pairs(inputs: Tensor, representations: Tensor, batch_size: int, generator: torch.Generator) -> Draw:
    """Random minibatches of prepared inputs (n, C, H, W) with representations (n, d); all if there are fewer."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        if batch_size >= len(inputs):
            return inputs, representations
        indices = torch.randperm(len(inputs), generator=generator)[:batch_size].to(inputs.device)
        return inputs[indices], representations[indices]

    return draw


def of_images(data: LabelledSet, representations: Tensor, batch_size: int, generator: torch.Generator) -> Draw:
    """Random minibatches of a data set with the representations (N, d) of its images, prepared as they are drawn."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        indices = torch.randperm(len(data), generator=generator)[:batch_size]
        inputs, _ = data.batch(indices)
        return inputs, representations[indices.to(representations.device)].to(inputs.device)

    return draw


def real_pairs(
    data: LabelledSet, representations: Tensor, augmentations: Sequence[Predefined], represent: Represent
) -> tuple[Tensor, Tensor]:
    """Real images with the teacher's representations, as `pairs` of a set: ((1+A)n, C, H, W) and ((1+A)n, d).

    representations: (n, d), of the images as they are. represent: the teacher; it sees each image under each of the A
    augmentations, which a distilled set has to store something for.
    """
    inputs, _ = data.batch(torch.arange(len(data)))
    known = representations.to(inputs.device)
    changed = augmented(augmentations, inputs, known)
    targets = [known, *(represent(each) for each in changed)]
    return torch.cat([inputs, *changed]), torch.cat(targets)
