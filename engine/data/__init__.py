"""Data: sources, and what is done to their images before anything is trained on them.

`SOURCES[key].load(config, data_root)` is a generator of events that returns `ImageSplits`.
"""

from __future__ import annotations

from engine.data.augment import Augmentation, augmentation, dsa
from engine.data.digits import DigitsSource
from engine.data.prepare import ImageSplits, Preparation, RawImages, prepare_images
from engine.data.source import Availability, LabelledSet, Source, Splits, TaskSpec
from engine.data.vision import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, SVHN

SOURCES: dict[str, Source] = {
    source.key: source for source in (DigitsSource(), MNIST, FASHION_MNIST, CIFAR10, CIFAR100, SVHN)
}

__all__ = [
    "SOURCES",
    "Augmentation",
    "Availability",
    "ImageSplits",
    "LabelledSet",
    "Preparation",
    "RawImages",
    "Source",
    "Splits",
    "TaskSpec",
    "augmentation",
    "dsa",
    "prepare_images",
]
