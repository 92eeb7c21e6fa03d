"""LeNet as in Wang et al. 2018: 61,706 weights for 28 x 28 grey images, 62,006 for 32 x 32 colour."""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape


def build(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Two 5 x 5 convolutions (6, 16) with max pooling, then 120-84-K. Images of 28 pixels are padded to 32."""
    channels, height, width = image_shape(spec, "lenet", 28)
    padding = 2 if min(height, width) < 32 else 0
    rows, columns = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, spec.num_outputs),
    )
