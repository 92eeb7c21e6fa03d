"""AlexCifarNet as in Wang et al. 2018: 1,756,426 weights for 32 x 32 colour images and 10 classes."""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape


def build(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Two 5 x 5 convolutions of 64 channels with local response normalisation, then 384-192-K."""
    channels, height, width = image_shape(spec, "alexcifarnet", 16)

    def halved(side: int) -> int:
        return (side - 1) // 2 + 1  # pooling 3, stride 2, padding 1

    def response_norm() -> nn.Module:
        return nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)

    features = 64 * halved(halved(height)) * halved(halved(width))
    return nn.Sequential(
        nn.Conv2d(channels, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        response_norm(),
        nn.Conv2d(64, 64, 5, padding=2),
        nn.ReLU(),
        response_norm(),
        nn.MaxPool2d(3, 2, 1),
        nn.Flatten(),
        nn.Linear(features, 384),
        nn.ReLU(),
        nn.Linear(384, 192),
        nn.ReLU(),
        nn.Linear(192, spec.num_outputs),
    )
