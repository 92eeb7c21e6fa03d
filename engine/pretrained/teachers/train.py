"""Training a teacher: an encoder and a projector on two views of each image, by AdamW with cosine decay.

    z1, z2 = p(f(a(x))), p(f(a'(x)))        f the encoder, p the projector, a and a' drawn anew for each image
    theta <- AdamW(theta, grad L(z1, z2))   theta the weights of both

Sources: Barlow Twins: Zbontar et al. 2021, arXiv:2103.03230. SimCLR: Chen et al. 2020, arXiv:2002.05709. AdamW:
Loshchilov and Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.errors import Diverged
from engine.data.source import Splits, TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.data.transforms.prepare import ImageSplits
from engine.data.transforms.views import Views
from engine.nets import make_encoder
from engine.nets.student import Student
from engine.pretrained.recording import TrainingState, loss_and_gradient, minibatches
from engine.pretrained.teachers.config import TeacherConfig

BETAS, EPS = (0.9, 0.999), 1e-8
NO_VARIANCE = 1e-8  # added to the variance of a dimension that is divided by its deviation


ENCODER = "encoder."  # the beginning of the names of its weights


@dataclass(frozen=True)
class AdamWState(TrainingState):
    """first, second: the moments of the gradients, (P,) each. step: steps done."""

    first: Tensor
    second: Tensor
    step: int = 0

    @classmethod
    def of(cls, theta: Tensor) -> AdamWState:
        """The state before the first step."""
        return cls(theta, torch.zeros_like(theta), torch.zeros_like(theta))


def make_networks(config: TeacherConfig, spec: TaskSpec, device: torch.device | str) -> Student:
    """Encoder and projector, which is discarded after training. Raises ConfigError if images do not fit the encoder."""
    encoder, width = make_encoder(config.student(), spec, config.num_dims, device).module, config.projector_width
    projector = nn.Sequential(
        nn.Linear(config.num_dims, width, bias=False),
        nn.BatchNorm1d(width, affine=False, track_running_stats=False),
        nn.ReLU(),
        nn.Linear(width, width, bias=False),
    )
    both = nn.Sequential(OrderedDict(encoder=encoder, projector=projector))
    return Student(both, config.network, "default", device)


def of_encoder(networks: Student, theta: Tensor) -> dict[str, Tensor]:
    """The encoder's weights by name, views of theta (P,)."""
    parts = networks.unflatten(theta).items()
    return {name.removeprefix(ENCODER): part for name, part in parts if name.startswith(ENCODER)}


def num_steps(config: TeacherConfig, num_train: int) -> int:
    """Minibatches per epoch, all of the same size."""
    return config.steps_per_epoch or max(1, num_train // config.batch_size)


def epoch(
    networks: Student, state: AdamWState, splits: Splits, config: TeacherConfig, number: int, draws: torch.Generator
) -> Iterator[AdamWState]:
    """Train for epoch `number`, from 0; the state after each step. Raises Diverged if the loss is not finite.

    draws: minibatches and views.
    """
    views, steps = views_of(splits, config), num_steps(config, len(splits.train))
    batches = minibatches(len(splits.train), min(config.batch_size, len(splits.train)), draws, drop_last=True)
    state = replace(state, loss=0.0)
    for indices in islice(batches, steps):
        inputs, _ = splits.train.batch(indices)
        loss, gradient = _gradient(networks, state.theta, views(inputs, draws), views(inputs, draws), config)
        if not math.isfinite(loss):
            what = f"The teacher's loss became infinite or NaN in epoch {number + 1}."
            raise Diverged(f"{what} Lower the teacher's learning rate.", quantity="teacher's loss", step=0)
        lr = config.lr * 0.5 * (1 + math.cos(math.pi * state.step / (steps * config.epochs)))
        state = replace(adamw(state, gradient, lr, config.weight_decay), loss=state.loss + loss)
        yield state


def views_of(splits: Splits, config: TeacherConfig) -> Callable[[Tensor, torch.Generator], Tensor]:
    """A function that makes random views of prepared inputs: of their pixels, then prepared again."""
    colours = config.jitter, config.grey_share, config.blur_share, config.hue
    views = Views(config.crop_scale, config.mirror, *colours, config.blur_kernel)
    preparation = preparation_of(splits)
    if preparation is None:
        return views
    return lambda inputs, generator: preparation.of_pixels(views(preparation.inverse(inputs), generator))


def preparation_of(splits: Splits) -> Preparation | None:
    """How inputs are made from pixels; None if they are pixels."""
    return splits.preparation if isinstance(splits, ImageSplits) else None


def adamw(state: AdamWState, gradient: Tensor, lr: float, weight_decay: float) -> AdamWState:
    """One step: theta <- (1 - lr weight_decay) theta - lr m / (sqrt(v) + 1e-8), m and v the bias-corrected moments."""
    step = state.step + 1
    first = state.first.lerp(gradient, 1 - BETAS[0])
    second = (state.second * BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    spread = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPS)
    theta = (state.theta * (1 - lr * weight_decay)).addcdiv_(first, spread, value=-lr / (1 - BETAS[0] ** step))
    return AdamWState(theta, first, second, step)


def _gradient(
    networks: Student, theta: Tensor, view1: Tensor, view2: Tensor, config: TeacherConfig
) -> tuple[float, Tensor]:
    """The loss of two views and its gradient (P,). Each view is a batch of its own for batch norms."""

    def loss_at(theta: Tensor) -> Tensor:
        z1, z2 = networks(theta, view1), networks(theta, view2)
        if config.kind == "simclr":
            return simclr(z1, z2, config.temperature)
        return barlow_twins(z1, z2, config.redundancy)

    loss, gradient = loss_and_gradient(loss_at, theta)
    # the projector's norm cancels the encoder's last bias: its gradient is rounding noise, which AdamW would follow
    [*of_encoder(networks, gradient).values()][-1].zero_()
    return loss, gradient


def barlow_twins(z1: Tensor, z2: Tensor, redundancy: float) -> Tensor:
    """sum_i (1 - c_ii)^2 + redundancy sum_{i != j} c_ij^2, with c_ij = <z1_i z2_j> over the batch of standardised z.

    z1, z2: (N, D) of two views of N images, 2 or more. redundancy: lambda. Source: Barlow Twins, Eq. 1 and 2.
    """
    c = _standardised(z1).T @ _standardised(z2) / len(z1)
    diagonal = c.diagonal()
    return (1 - diagonal).square().sum() + redundancy * (c.square().sum() - diagonal.square().sum())


def simclr(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent: mean over all 2 N views i of -log exp(s_ij / t) / sum_{k != i} exp(s_ik / t); j the partner, s cosines.

    z1, z2: (N, D) of two views of N images. temperature: t. Source: SimCLR, Eq. 1.
    """
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarities = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    partners = torch.arange(len(z), device=z.device).roll(len(z1))
    return F.cross_entropy(similarities, partners)


def _standardised(z: Tensor) -> Tensor:
    """Each dimension with mean 0 and deviation 1 over the batch; one that is the same everywhere with 0."""
    centred = z - z.mean(0)
    return centred * torch.rsqrt(centred.square().mean(0) + NO_VARIANCE)
