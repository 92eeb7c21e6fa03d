"""VGG11 as the field distils for it: 9,231,114 weights for 32 x 32 colour images and 10 classes, with instance norm.

Source: Zhao et al. 2021 (arXiv:2006.05929); convolutions keep their biases before the norms.
"""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape, normalisation

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions before each max pooling."""


def build(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Eight 3 x 3 convolutions with norm and ReLU, five max poolings, then K. Images of 28 pixels are padded to 32."""
    channels, height, width = image_shape(spec, "vgg11", 28)
    border = 2 if min(height, width) < 32 else 0
    features = 512 * ((height + 2 * border) >> 5) * ((width + 2 * border) >> 5)
    layers: list[nn.Module] = []
    for stage in STAGES:
        for out in stage:
            padding = 1 if layers else 1 + border
            layers += [nn.Conv2d(channels, out, 3, padding=padding), *normalisation(config.norm, out), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, spec.num_outputs))
