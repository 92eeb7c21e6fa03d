"""ResNet18 for small images: 11,173,962 weights for 32 x 32 colour images and 10 classes; 11,250,762 with average pooling.

Source: Zhao et al. 2021 (arXiv:2006.05929), after He et al. 2016 (arXiv:1512.03385): a first convolution of 3 x 3, no
pooling after it. Convolutions are PyTorch's own in its own order of memory, which is the fastest on CPUs for layers as
wide as these.
"""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape, normalisation
from engine.nets.residual import Residual

WIDTHS = (64, 128, 256, 512)
"""Channels of each pair of blocks; all pairs but the first halve the picture."""


def strided(config: StudentConfig, spec: TaskSpec) -> nn.Module:
    """Halved by strides, and at the end pooled by four."""
    channels, height, width = image_shape(spec, "resnet18", 25)  # 4 x 4 pixels are left of 25 x 25
    features = WIDTHS[-1] * (-(-height // 8) // 4) * (-(-width // 8) // 4)
    blocks = _blocks(config.norm, is_pooled=False)
    return nn.Sequential(
        *_convolution(channels, WIDTHS[0], config.norm),
        nn.ReLU(),
        *blocks,
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(features, spec.num_outputs),
    )


def average_pooled(config: StudentConfig, spec: TaskSpec) -> nn.Module:
    """Halved by average pooling; all that is left goes into the last layer."""
    channels, height, width = image_shape(spec, "resnet18_ap", 16)  # a norm of one pixel would be zero
    features = WIDTHS[-1] * (height >> 3) * (width >> 3)
    blocks = _blocks(config.norm, is_pooled=True)
    return nn.Sequential(
        *_convolution(channels, WIDTHS[0], config.norm),
        nn.ReLU(),
        *blocks,
        nn.Flatten(),
        nn.Linear(features, spec.num_outputs),
    )


def _blocks(norm: str, is_pooled: bool) -> list[nn.Module]:
    """Two blocks of each width."""
    channels, blocks = WIDTHS[0], []
    for width in WIDTHS:
        blocks += [_block(channels, width, norm, is_pooled), _block(width, width, norm, is_pooled)]
        channels = width
    return blocks


def _block(channels: int, width: int, norm: str, is_pooled: bool) -> Residual:
    """relu(two convolutions + shortcut), halving the picture where it becomes wider."""
    is_halved = width != channels
    stride = 2 if is_halved and not is_pooled else 1
    pooling = [nn.AvgPool2d(2)] if is_halved and is_pooled else []
    inside = nn.Sequential(
        *_convolution(channels, width, norm, stride=stride),
        nn.ReLU(),
        *pooling,
        *_convolution(width, width, norm),
    )
    # pooled before its convolution, which comes to the same and costs a quarter
    shortcut = [*pooling, *_convolution(channels, width, norm, kernel=1, stride=stride)] if is_halved else []
    return Residual(inside, nn.Sequential(*shortcut))


def _convolution(channels: int, width: int, norm: str, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution and its norm; with a bias where no norm would cancel it."""
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=norm == "none")
    return [convolution, *normalisation(norm, width)]
