"""Multi-layer perceptron 256-128-K: 235,146 weights for 28 x 28 images and 10 classes."""

from __future__ import annotations

import math

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import activation


def build(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Samples of any shape, flattened, then two hidden layers."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(spec.sample_shape), 256),
        activation(config.activation),
        nn.Linear(256, 128),
        activation(config.activation),
        nn.Linear(128, spec.num_outputs),
    )
