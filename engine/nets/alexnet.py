"""AlexNet as the field distils for it: 1,872,202 weights for 32 x 32 colour images and 10 classes.

Source: Zhao et al. 2021 (arXiv:2006.05929), without normalisation.
"""

from __future__ import annotations

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.convnet import image_shape


def build(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Five convolutions (128, 192, 256, 192, 192), three max poolings, then K. Images of 28 pixels are padded to 32."""
    channels, height, width = image_shape(spec, "alexnet", 8)
    padding = 4 if min(height, width) < 32 else 2
    rows, columns = ((side + 2 * padding - 4) >> 3 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 128, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(128, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(192, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 192, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(192, 192, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(192 * rows * columns, spec.num_outputs),
    )
