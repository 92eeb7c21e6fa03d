"""Facts about a source for the data page: counts, statistics, samples, and needed memory and disk space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.core.config import DataConfig
from engine.data.source import Source, Splits
from engine.data.transforms.prepare import ImageSplits, num_held_out

FLOAT_BYTES, TARGET_BYTES = 4, 8
WORKSPACE_BYTES = 100_000_000  # buffers of decoders and of PyTorch's products, as measured on MNIST and CIFAR-10


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of main memory: `held` by the splits, `peak` while they are made."""

    held: int
    peak: int


def class_counts(splits: Splits) -> dict[str, np.ndarray]:
    """Samples per class (K,) int64 in "train", "validation" and "test"."""
    num_classes = splits.spec.num_outputs
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {name: torch.bincount(part.targets.cpu(), minlength=num_classes).numpy() for name, part in parts.items()}


def channel_statistics(splits: ImageSplits) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of the training pixels in [0, 1], as used for normalisation."""
    return splits.preparation.mean.numpy(), splits.preparation.std.numpy()


def sample_grid(splits: Splits, per_class: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random training images, class by class: (N, H, W, C) uint8 and labels (N,) int64; all of a smaller class."""
    targets = splits.train.targets.cpu()
    chosen = []
    for label in range(splits.spec.num_outputs):
        members = (targets == label).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    inputs, labels = splits.train.batch(torch.cat(chosen))
    return splits.to_display(inputs), labels.cpu().numpy()


def memory_needed(source: Source, config: DataConfig) -> MemoryNeed:
    """The memory that loading a source takes, computed from its sizes.

    Raw images are bytes, whitened ones floats. A whitening is two square matrices with a row per pixel and channel;
    fitting it needs several in float64. Decoding holds the files' content up to three times, making splits once more.
    """
    num_values = int(np.prod(source.sample_shape))
    num_validation = round(source.num_train * config.validation_fraction)
    num_train = min(source.num_train - num_validation, config.train_limit or source.num_train)
    num_held = num_train + num_validation + source.num_test
    raw = (source.num_train + source.num_test) * (num_values + TARGET_BYTES)
    splits = num_held * (num_values + TARGET_BYTES)
    if not config.zca:
        return MemoryNeed(splits, max(3 * raw, raw + splits) + WORKSPACE_BYTES)
    matrix = FLOAT_BYTES * num_values**2
    held = num_held * (FLOAT_BYTES * num_values + TARGET_BYTES) + 2 * matrix
    fitting = 6 * 2 * matrix  # covariance, eigenvectors, eigh's work space, scaled vectors, two products
    return MemoryNeed(held, raw + splits + max(held, fitting, raw) + WORKSPACE_BYTES)


def planned_images(source: Source, config: DataConfig) -> int:
    """Training images of a run without those for validation, as far as known before anything is loaded."""
    report = getattr(source, "report", None)  # of imported images
    if report is None or not config.validation_fraction:
        left = round(source.num_train * (1 - config.validation_fraction))
    elif any(report.counts["validation"]):
        left = sum(report.counts["train"])
    else:
        train = report.counts["train"]
        left = sum(train) - sum(num_held_out(train, config.validation_fraction))
    return min(left, config.train_limit) if config.train_limit else left


def bytes_on_disk(source: Source, data_root: Path) -> int:
    """Bytes of a source's files on disk now, both archives and unpacked files."""
    return sum(path.stat().st_size for path in source.paths(data_root))
