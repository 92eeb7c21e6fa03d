"""A toy data set for tests of methods: three noisy patterns of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np
import torch

from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.data.transforms.augment import Augmentation

SPEC = TaskSpec("classification", (1, 8, 8), 3, ("a", "b", "c"))


def toy_splits(num_images: int = 60, scale: float = 1.0) -> Splits:
    """Three classes, each a noisy pattern of its own."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(3, *SPEC.sample_shape, generator=generator)
    targets = torch.arange(num_images) % 3
    noise = torch.randn(num_images, *SPEC.sample_shape, generator=generator)
    inputs = patterns[targets] + noise
    data = LabelledSet(inputs, targets, lambda x: scale * x.to(torch.get_default_dtype()))

    def to_display(inputs):
        return (inputs.permute(0, 2, 3, 1) * 50 + 128).clamp(0, 255).numpy().astype(np.uint8)

    return Splits(data, data, data, SPEC, to_display, Augmentation(()), "toy")
