"""Two networks for class folders: SimpleConvNet (421,642 weights for 28 x 28 grey images, 10 classes) and ConvNetRGB
(2,474,636 for 32 x 32 colour images, 12 classes).

The published ConvNetRGB has dropout before its last layer. It is left out: students must be deterministic.
"""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape


def simple_convnet(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """3 x 3 convolutions 32 and 64, each with max pooling, then 128-K."""
    return _pyramid(spec, "simpleconvnet", (32, 64), 128)


def convnet_rgb(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """3 x 3 convolutions 64, 128 and 256, each with max pooling, then 512-K."""
    return _pyramid(spec, "convnetrgb", (64, 128, 256), 512)


def _pyramid(spec: TaskSpec, name: str, widths: tuple[int, ...], hidden: int) -> nn.Sequential:
    channels, height, width = image_shape(spec, name, 2 ** len(widths))
    layers: list[nn.Module] = []
    for out in widths:
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out
    features = channels * (height >> len(widths)) * (width >> len(widths))
    head = [nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, spec.num_outputs)]
    return nn.Sequential(*layers, *head)
