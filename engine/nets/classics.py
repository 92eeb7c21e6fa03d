"""Image students of older papers. Numbers of weights are for 10 classes and 32 x 32 colour images, if not said.

Sources: LeNet and AlexCifarNet: Wang et al. 2018 (arXiv:1811.10959). AlexNet and VGG11 as the field distils for them:
Zhao et al. 2021 (arXiv:2006.05929). The published ConvNetRGB has dropout before its last layer. It is left out:
students must be deterministic. LeNet, AlexNet and VGG11 pad images of less than 32 pixels by 2 more on each side.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import activation, image_shape, normalisation

POOL = 0  # a max pooling, in a list of convolutions
Convolution = tuple[int, int, int]


def lenet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Two 5 x 5 convolutions, each with max pooling, then 120-84-K: 62,006 weights, 61,706 for 28 x 28 grey images."""
    return _stack(spec, "lenet", 28, [(6, 5, _border(spec)), POOL, (16, 5, 0), POOL], 120, 84)


def alexcifarnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Two 5 x 5 convolutions with max pooling and local response normalisation, then 384-192-K: 1,756,426 weights."""
    channels, height, width = image_shape(spec, "alexcifarnet", 16)
    norms = [nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1) for _ in range(2)]
    first, second = nn.Conv2d(channels, 64, 5, padding=2), nn.Conv2d(64, 64, 5, padding=2)
    blocks = [first, nn.ReLU(), nn.MaxPool2d(3, 2, 1), norms[0], second, nn.ReLU(), norms[1], nn.MaxPool2d(3, 2, 1)]
    rows, columns = (-(-side // 4) for side in (height, width))  # each pooling halves, rounding up
    return nn.Sequential(*blocks, *_dense(64 * rows * columns, 384, 192, spec.num_outputs))


def alexnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Five convolutions and three max poolings, without normalisation: 1,872,202 weights."""
    plan: list[int | Convolution] = [(128, 5, 2 + _border(spec)), POOL, (192, 5, 2), POOL, 256, 192, 192, POOL]
    return _stack(spec, "alexnet", 8, plan)


def vgg11(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Eight 3 x 3 convolutions with biases and norms, five max poolings: 9,231,114 weights with instance norm."""
    first = 64, 3, 1 + _border(spec)
    others = POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL
    return _stack(spec, "vgg11", 28, [first, *others], norm=config.norm)


def mlp(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Samples of any shape, flattened, then 256-128-K: 235,146 weights for 28 x 28 grey images."""
    sizes = math.prod(spec.sample_shape), 256, 128, spec.num_outputs
    return nn.Sequential(*_dense(*sizes, between=lambda: activation(config.activation)))


def simple_convnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """3 x 3 convolutions 32 and 64, each with max pooling, then 128-K: 421,642 weights for 28 x 28 grey images."""
    return _stack(spec, "simpleconvnet", 4, [32, POOL, 64, POOL], 128)


def convnet_rgb(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """3 x 3 convolutions 64, 128 and 256, each with max pooling, then 512-K: 2,474,636 weights for 12 classes."""
    return _stack(spec, "convnetrgb", 8, [64, POOL, 128, POOL, 256, POOL], 512)


def _border(spec: TaskSpec) -> int:
    """Pixels that small images are padded with on each side."""
    return 2 if min(spec.sample_shape[1:]) < 32 else 0


def _stack(
    spec: TaskSpec, name: str, smallest: int, plan: Sequence[int | Convolution], *hidden: int, norm: str = "none"
) -> nn.Sequential:
    """Convolutions with norm and ReLU, and max poolings, then linear layers of these sizes and K.

    plan: (channels, kernel, padding) of a convolution, its channels alone if it is 3 x 3, or POOL. Raises ConfigError
    if the images have a side below `smallest` pixels.
    """
    before, *sides = image_shape(spec, name, smallest)
    layers: list[nn.Module] = []
    for each in plan:
        if each == POOL:
            layers.append(nn.MaxPool2d(2))
            sides = [side // 2 for side in sides]
        else:
            width, kernel, padding = (each, 3, 1) if isinstance(each, int) else each
            layers += [nn.Conv2d(before, width, kernel, padding=padding), *normalisation(norm, width), nn.ReLU()]
            before, sides = width, [side + 2 * padding - kernel + 1 for side in sides]
    return nn.Sequential(*layers, *_dense(before * math.prod(sides), *hidden, spec.num_outputs))


def _dense(*sizes: int, between: Callable[[], nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Flattened samples, then linear layers from each size to the next, with an activation between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), between()]
    return layers[:-1]
