"""What preparation does to a few real images, as pictures."""

from __future__ import annotations

import numpy as np
import torch

from engine.data.describe import sample_grid
from engine.data.source import Splits


def prepared_rows(splits: Splits, num_images: int = 10, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """The same training images as they come, as the student sees them, and after one training augmentation.

    Returns (name, (num_images, H, W, C) uint8) a row. What the student sees is stretched to each image's own range,
    for normalised or whitened values are no colours.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = _one_of_each(splits.train.targets, num_images, generator)
    inputs, _ = splits.train.batch(chosen)
    augmented = splits.augment(inputs, generator)
    rows = [("Original", splits.to_display(inputs)), ("As the student sees it", stretched(inputs))]
    if not torch.equal(inputs, augmented):
        rows.append(("After one augmentation", splits.to_display(augmented)))
    return rows


def stretched(inputs: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) float values -> (N, H, W, C) uint8, each image from its smallest to its largest value."""
    flat = inputs.flatten(1)
    low = flat.min(1).values.view(-1, 1, 1, 1)
    high = flat.max(1).values.view(-1, 1, 1, 1)
    scaled = (inputs - low) / (high - low).clamp_min(1e-12)
    return (scaled * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _one_of_each(targets: torch.Tensor, num_images: int, generator: torch.Generator) -> torch.Tensor:
    """Indices of images from as many classes as there is room for, in class order."""
    order = torch.randperm(len(targets), generator=generator)
    shuffled = targets[order]
    firsts = [order[(shuffled == label).nonzero()[0, 0]] for label in targets.unique()[:num_images]]
    return torch.stack(firsts)


def class_samples(splits: Splits, per_class: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Random training images (N, H, W, C) uint8, class by class, and the class name of each."""
    images, labels = sample_grid(splits, per_class, torch.Generator().manual_seed(seed))
    return images, [splits.spec.class_names[label] for label in labels]
