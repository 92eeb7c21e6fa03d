"""What is matched, class by class: mean features, or gradients.

Samples have shares y_jk of class k: 1 of their own class, or soft labels. A class is seen through the samples,
weighted by its shares; where each sample has one class, these are plain means.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.student import Student

Sums = tuple[Tensor, Tensor]


def class_sums(features: Tensor, shares: Tensor) -> Sums:
    """Sums (K, D) over samples of features (N, D) times the shares (N, K) of classes in them; sums (K,) of shares."""
    return shares.T @ features, shares.sum(0)


def feature_distance(real: Sums, synthetic: Sums) -> Tensor:
    """The squared distance between the means of two `class_sums`, summed over classes and features; a scalar.

    Source: Zhao & Bilen 2023, arXiv:2110.04181, equation 6.
    """
    first, second = (sums / weights.clamp_min(1e-12)[:, None] for sums, weights in (real, synthetic))
    return (first - second).square().sum()


def class_gradients(
    student: Student, theta: Tensor, inputs: Tensor, shares: Tensor, create_graph: bool = False
) -> Iterator[Tensor]:
    """For each class k, the gradient (P,) in theta of sum_j y_jk CE(f(x_j), k) / sum_j y_jk."""
    theta = theta.detach().requires_grad_()
    losses = -F.log_softmax(student(theta, inputs), 1)  # (N, K): CE(f(x_j), k)
    means = (shares * losses).sum(0) / shares.sum(0).clamp_min(1e-12)
    for label, mean in enumerate(means):
        keep = create_graph or label + 1 < len(means)
        (gradient,) = torch.autograd.grad(mean, theta, create_graph=create_graph, retain_graph=keep)
        yield gradient


def gradient_distance(student: Student, real: Tensor, synthetic: Tensor) -> Tensor:
    """Over the output rows of each weight, the sum of 1 - cosine between two gradients (P,); a scalar.

    Biases and norms, which have one dimension, are left out.
    Source: Zhao et al. 2021, arXiv:2006.05929, equation 9, and its code.
    """
    total = real.new_zeros(())
    theirs, ours = student.unflatten(real), student.unflatten(synthetic)
    for name, first in theirs.items():
        if first.ndim > 1:
            total = total + (1 - F.cosine_similarity(first.flatten(1), ours[name].flatten(1), dim=1, eps=1e-6)).sum()
    return total
