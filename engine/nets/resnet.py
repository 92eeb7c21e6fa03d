"""ResNet18 for small images: 11,173,962 weights for 32 x 32 colour images and 10 classes, 11,250,762 with pooling.

Source: Zhao et al. 2021 (arXiv:2006.05929), after He et al. 2016 (arXiv:1512.03385): the first convolution is 3 x 3,
without pooling after it. It uses PyTorch's own convolutions and memory order, the fastest on CPUs for layers this wide.
"""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape, normalisation

WIDTHS = (64, 128, 256, 512)
"""Channels of each pair of blocks; all pairs but the first halve the image."""


def strided(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Halves the image by strides, and pools by four at the end."""
    channels, height, width = image_shape(spec, "resnet18", 25)  # 4 x 4 pixels are left of 25 x 25
    head = nn.Linear(WIDTHS[-1] * (-(-height // 8) // 4) * (-(-width // 8) // 4), spec.num_outputs)
    return nn.Sequential(*_trunk(channels, config.norm, is_pooled=False), nn.AvgPool2d(4), nn.Flatten(), head)


def average_pooled(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Halves the image by average pooling; the last layer reads all that is left."""
    channels, height, width = image_shape(spec, "resnet18_ap", 16)  # a norm of one pixel would be zero
    head = nn.Linear(WIDTHS[-1] * (height >> 3) * (width >> 3), spec.num_outputs)
    return nn.Sequential(*_trunk(channels, config.norm, is_pooled=True), nn.Flatten(), head)


def _trunk(channels: int, norm: str, is_pooled: bool) -> list[nn.Module]:
    """A convolution, then two blocks of each width."""
    layers = [*_convolution(channels, WIDTHS[0], norm), nn.ReLU()]
    for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False):
        layers += [_block(before, width, norm, is_pooled), _block(width, width, norm, is_pooled)]
    return layers


def _block(channels: int, width: int, norm: str, is_pooled: bool) -> Residual:
    """relu(two convolutions + shortcut); halves the image where the number of channels grows."""
    is_halved = width != channels
    stride = 2 if is_halved and not is_pooled else 1
    pooling = [nn.AvgPool2d(2)] if is_halved and is_pooled else []
    first, second = _convolution(channels, width, norm, stride=stride), _convolution(width, width, norm)
    inside = nn.Sequential(*first, nn.ReLU(), *pooling, *second)
    # pooled before its convolution: the same result at a quarter of the cost
    shortcut = [*pooling, *_convolution(channels, width, norm, kernel=1, stride=stride)] if is_halved else []
    return Residual(inside, nn.Sequential(*shortcut))


def _convolution(channels: int, width: int, norm: str, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution and its norm; with a bias only if there is no norm to cancel it."""
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=norm == "none")
    return [convolution, *normalisation(norm, width)]


class Residual(nn.Module):
    """relu(inside(x) + shortcut(x)); an empty shortcut gives x. Exported programs contain this source."""

    def __init__(self, inside, shortcut):
        super().__init__()
        self.inside, self.shortcut = inside, shortcut

    def forward(self, x):
        return nn.functional.relu(self.inside(x) + self.shortcut(x))
