"""Fine-tuning: a pre-trained network and a linear layer on its representation are trained together with labels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import LabelledSet
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.probing.pretrain import bounded_sgd, with_cosine
from engine.evaluation.probing.probe import Represent
from engine.nets.student import Student

WEIGHT_DECAY = 5e-4  # as KRR-ST fine-tunes: Lee et al. 2024, arXiv:2310.06511


@dataclass(frozen=True)
class Classifier:
    """An encoder and a linear layer as a function of one vector: the encoder's weights (P,), then ((d+1) K,)."""

    encoder: Student
    num_classes: int

    def __call__(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """Logits (N, K)."""
        weights, layer = self._parts(theta)
        return self.encoder(weights, inputs) @ layer[:-1] + layer[-1]

    def fixed(self, theta: Tensor, data: LabelledSet) -> Represent:
        """Logits (N, K) of inputs as a function of each image; see `Student.fixed`."""
        weights, layer = self._parts(theta)
        represent = self.encoder.fixed(weights, data)
        return lambda inputs: represent(inputs) @ layer[:-1] + layer[-1]

    def _parts(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's weights (P,), and the linear layer (d + 1, K) with its bias last."""
        weights, head = theta.split([self.encoder.num_params, len(theta) - self.encoder.num_params])
        return weights, head.view(-1, self.num_classes)

    def start(self, theta: Tensor, num_dims: int) -> Tensor:
        """The encoder's weights (P,), then a linear layer of zeros for representations of `num_dims`."""
        return torch.cat([theta, theta.new_zeros((num_dims + 1) * self.num_classes)])


def fine_tune(
    classifier: Classifier,
    theta: Tensor,
    data: LabelledSet,
    config: ProbingConfig,
    num_steps: int,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Train from `theta` on random augmented minibatches; yield the weights after each step.

    SGD as in pre-training, with weight decay 5e-4.
    """

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, labels = data.batch(torch.randperm(len(data), generator=generator)[: config.pretrain_batch])
        return augment(inputs, generator), labels

    rule = bounded_sgd(WEIGHT_DECAY)
    return with_cosine(classifier, theta, draw, config.fine_tune_lr, num_steps, rule, F.cross_entropy)
