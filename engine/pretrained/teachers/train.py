"""Training a teacher: two views of each image through an encoder and a projector, and AdamW with cosine decay on the loss.

    z1, z2 = p(f(a(x))), p(f(a'(x)))        f the encoder, p the projector, a and a' drawn anew for each image
    theta <- AdamW(theta, grad L(z1, z2))   theta the weights of both

Sources: Barlow Twins: Zbontar et al. 2021, arXiv:2103.03230. SimCLR: Chen et al. 2020, arXiv:2002.05709. AdamW: Loshchilov and
Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from engine.core.errors import Diverged
from engine.data.source import Splits, TaskSpec
from engine.data.transforms.views import Views
from engine.nets import make_encoder
from engine.nets.student import Student
from engine.pretrained.teachers.config import TeacherConfig
from engine.pretrained.teachers.losses import barlow_twins, simclr

BETAS, EPS = (0.9, 0.999), 1e-8

ViewsOf = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Networks:
    """The encoder, which is kept, and the projector, which is thrown away; their weights are one vector theta (P + Q,)."""

    encoder: Student
    projector: Student

    def init(self, generator: torch.Generator) -> Tensor:
        """Fresh weights of both, from a CPU generator."""
        return torch.cat([self.encoder.init(generator), self.projector.init(generator)])

    def of_encoder(self, theta: Tensor) -> Tensor:
        """The encoder's weights (P,)."""
        return theta[: self.encoder.num_params]

    def projected(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """What the loss compares, (N, projector_width), of inputs (N, C, H, W)."""
        ours, others = theta.split([self.encoder.num_params, self.projector.num_params])
        return self.projector(others, self.encoder(ours, inputs))


@dataclass(frozen=True)
class Standing:
    """A teacher between two steps: weights, the moments of its gradients, steps done, and the epoch's losses so far, added up."""

    theta: Tensor
    first: Tensor
    second: Tensor
    step: int = 0
    loss: float = 0.0

    @classmethod
    def of(cls, theta: Tensor) -> Standing:
        """Before the first step."""
        return cls(theta, torch.zeros_like(theta), torch.zeros_like(theta))


def make_networks(config: TeacherConfig, spec: TaskSpec, device: torch.device | str) -> Networks:
    """Encoder and projector of a teacher that is trained here. Raises ConfigError where the images do not fit the network."""
    encoder = make_encoder(config.student(), spec, config.num_dims, device)
    width = config.projector_width
    projector = nn.Sequential(
        nn.Linear(config.num_dims, width, bias=False),
        nn.BatchNorm1d(width, affine=False, track_running_stats=False),
        nn.ReLU(),
        nn.Linear(width, width, bias=False),
    )
    return Networks(encoder, Student(projector, "projector", "default", device))


def num_steps(config: TeacherConfig, num_train: int) -> int:
    """Minibatches of an epoch; images that do not fill one are left for another epoch."""
    return config.steps_per_epoch or max(1, num_train // config.batch_size)


def epoch(
    networks: Networks,
    standing: Standing,
    splits: Splits,
    config: TeacherConfig,
    number: int,
    generator: torch.Generator,
) -> Iterator[Standing]:
    """Train for epoch `number`, from 0; the standing after each step.

    Minibatches are random and without repetition within a pass; a new pass begins where `steps_per_epoch` needs more.
    Raises Diverged where the loss is no number.
    """
    views = views_of(splits, config)
    size = min(config.batch_size, len(splits.train))
    standing, order = replace(standing, loss=0.0), iter(())
    steps = num_steps(config, len(splits.train))
    for _ in range(steps):
        indices = next(order, None)
        if indices is None or len(indices) < size:
            order = iter(torch.randperm(len(splits.train), generator=generator).split(size))
            indices = next(order)
        inputs, _ = splits.train.batch(indices)
        loss, gradient = _gradient(networks, standing.theta, views(inputs, generator), views(inputs, generator), config)
        if not math.isfinite(loss):
            raise Diverged(
                f"The teacher's loss became infinite or NaN in epoch {number + 1}. Lower the teacher's learning rate.",
                quantity="teacher's loss", step=0,
            )  # fmt: skip
        lr = config.lr * 0.5 * (1 + math.cos(math.pi * standing.step / (steps * config.epochs)))
        standing = replace(adamw(standing, gradient, lr, config.weight_decay), loss=standing.loss + loss)
        yield standing


def views_of(splits: Splits, config: TeacherConfig) -> ViewsOf:
    """Random views of prepared inputs, prepared in turn."""
    views = Views(config.crop_scale, config.mirror, config.jitter, config.grey_share, config.blur_share)
    preparation = getattr(splits, "preparation", None)
    if preparation is None:
        return views
    return lambda inputs, generator: preparation.of_pixels(views(preparation.inverse(inputs), generator))


def adamw(standing: Standing, gradient: Tensor, lr: float, weight_decay: float) -> Standing:
    """One step: theta <- (1 - lr weight_decay) theta - lr m / (sqrt(v) + 1e-8), m and v the moments without their bias to 0."""
    step = standing.step + 1
    first = standing.first.lerp(gradient, 1 - BETAS[0])
    second = (standing.second * BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    spread = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPS)
    theta = (standing.theta * (1 - lr * weight_decay)).addcdiv_(first, spread, value=-lr / (1 - BETAS[0] ** step))
    return Standing(theta, first, second, step)


def _gradient(
    networks: Networks, theta: Tensor, view1: Tensor, view2: Tensor, config: TeacherConfig
) -> tuple[float, Tensor]:
    """The loss of two views, each a batch of its own to the norms, and its gradient (P + Q,)."""
    theta = theta.detach().requires_grad_()
    with torch.enable_grad():
        z1, z2 = networks.projected(theta, view1), networks.projected(theta, view2)
        if config.kind == "simclr":
            loss = simclr(z1, z2, config.temperature)
        else:
            loss = barlow_twins(z1, z2, config.redundancy)
    (gradient,) = torch.autograd.grad(loss, theta)
    # the projector's norm cancels the encoder's last bias, so that its gradient is rounding alone, which AdamW would follow
    end = networks.encoder.num_params
    gradient[end - networks.encoder.sizes[-1] : end] = 0
    return loss.item(), gradient
