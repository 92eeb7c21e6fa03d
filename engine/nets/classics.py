"""Image students of older papers, whose layers are listed one by one. Numbers of weights are for 10 classes.

Sources: LeNet and AlexCifarNet: Wang et al. 2018 (arXiv:1811.10959). AlexNet and VGG11 as the field distils for them:
Zhao et al. 2021 (arXiv:2006.05929). The published ConvNetRGB has dropout before its last layer. It is left out:
students must be deterministic.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import activation, image_shape, normalisation

VGG_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions before each max pooling."""


def lenet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Two 5 x 5 convolutions (6, 16) with max pooling, then 120-84-K. Images of 28 pixels are padded to 32.

    61,706 weights for 28 x 28 grey images, 62,006 for 32 x 32 colour.
    """
    channels, height, width = image_shape(spec, "lenet", 28)
    padding = 2 if min(height, width) < 32 else 0
    rows, columns = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width))
    first, second = nn.Conv2d(channels, 6, 5, padding=padding), nn.Conv2d(6, 16, 5)
    convolutions = [first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, *_dense(16 * rows * columns, 120, 84, spec.num_outputs))


def alexcifarnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Two 5 x 5 convolutions of 64 channels with local response normalisation, then 384-192-K.

    1,756,426 weights for 32 x 32 colour images.
    """
    channels, height, width = image_shape(spec, "alexcifarnet", 16)
    norms = [nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1) for _ in range(2)]
    first, second = nn.Conv2d(channels, 64, 5, padding=2), nn.Conv2d(64, 64, 5, padding=2)
    blocks = [first, nn.ReLU(), nn.MaxPool2d(3, 2, 1), norms[0], second, nn.ReLU(), norms[1], nn.MaxPool2d(3, 2, 1)]
    rows, columns = (-(-side // 4) for side in (height, width))  # each pooling halves, rounding up
    return nn.Sequential(*blocks, *_dense(64 * rows * columns, 384, 192, spec.num_outputs))


def alexnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Five convolutions (128, 192, 256, 192, 192), three max poolings, then K. Images of 28 pixels are padded to 32.

    1,872,202 weights for 32 x 32 colour images; without normalisation.
    """
    channels, height, width = image_shape(spec, "alexnet", 8)
    padding = 4 if min(height, width) < 32 else 2
    rows, columns = ((side + 2 * padding - 4) >> 3 for side in (height, width))
    layers: list[nn.Module] = [nn.Conv2d(channels, 128, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(128, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    for before, after in pairwise((192, 256, 192, 192)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2), *_dense(192 * rows * columns, spec.num_outputs))


def vgg11(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Eight 3 x 3 convolutions with norm and ReLU, five max poolings, then K. Images of 28 pixels are padded to 32.

    9,231,114 weights for 32 x 32 colour images, with instance norm. Convolutions keep their biases before the norms.
    """
    channels, height, width = image_shape(spec, "vgg11", 28)
    border = 2 if min(height, width) < 32 else 0
    features = 512 * ((height + 2 * border) >> 5) * ((width + 2 * border) >> 5)
    layers: list[nn.Module] = []
    for stage in VGG_STAGES:
        for out in stage:
            padding = 1 if layers else 1 + border
            layers += [nn.Conv2d(channels, out, 3, padding=padding), *normalisation(config.norm, out), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *_dense(features, spec.num_outputs))


def mlp(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Samples of any shape, flattened, then 256-128-K: 235,146 weights for 28 x 28 images."""
    sizes = math.prod(spec.sample_shape), 256, 128, spec.num_outputs
    return nn.Sequential(*_dense(*sizes, between=lambda: activation(config.activation)))


def simple_convnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """3 x 3 convolutions 32 and 64, each with max pooling, then 128-K: 421,642 weights for 28 x 28 grey images."""
    return _pyramid(spec, "simpleconvnet", (32, 64), 128)


def convnet_rgb(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """3 x 3 convolutions 64, 128 and 256, each with max pooling, then 512-K.

    2,474,636 weights for 32 x 32 colour images and 12 classes.
    """
    return _pyramid(spec, "convnetrgb", (64, 128, 256), 512)


def _pyramid(spec: TaskSpec, name: str, widths: tuple[int, ...], hidden: int) -> nn.Sequential:
    channels, height, width = image_shape(spec, name, 2 ** len(widths))
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    features = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    return nn.Sequential(*layers, *_dense(features, hidden, spec.num_outputs))


def _dense(*sizes: int, between: Callable[[], nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Flattened samples, then linear layers from each size to the next, with an activation between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), between()]
    return layers[:-1]
