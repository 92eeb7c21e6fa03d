"""Named configs of RaT-BPTT: what runs in minutes here, and the published recipes with what they cost.

Published settings: Feng et al. 2024 (arXiv:2311.07025) and the recipes of its code's README. Where these leave a value
open (synthetic batch, real batch and length of most), ours stands here and the card says so.
"""

from __future__ import annotations

from typing import Any

from engine.methods.method import Preset

MLP = {"name": "mlp"}
LENET = {"name": "lenet"}
CONVNET = {"name": "convnet", "depth": 3, "width": 32}
SHORT = {"images_from": "real", "labels": "soft", "student_lr": 0.003, "outer_lr": 0.05, "outer_decay": "cosine", "real_batch": 256, "validation_students": 1}  # fmt: skip
PUBLISHED = {"student": {"name": "convnet", "depth": 3, "width": 128, "init": "default"}, "ipc": 10, "window_schedule": "random_each_epoch", "student_lr": 0.001, "outer_lr": 0.001}  # fmt: skip
CIFAR10 = PUBLISHED | {"unroll_length": 200, "window": 60, "batch_size": 50, "real_batch": 5000, "epoch_steps": 10, "outer_steps": 600_000}  # fmt: skip
LATE = {"window_schedule": "fixed_late", "window": 90}
WHITENED = {"zca": True, "augmentation": "flip_rotate"}
LONG = {"num_students": 8, "inner_steps": 2000}


def _quick(source: str, cost: str, student: dict[str, Any], **config: Any) -> Preset:
    """One image per class on short trainings: what a user can wait for."""
    return Preset(
        "quick", "Quick: one image per class", source, cost,
        config=SHORT | {"student": student, "ipc": 1, "unroll_length": 40, "window": 10, "batch_size": 50, "num_validations": 10, "validation_steps": 100} | config,
        evaluation={"num_students": 3, "inner_steps": 300, "ordinary_steps": 200, "full_epochs": 1},
    )  # fmt: skip


def _ten_minutes(source: str, data: dict[str, Any], **config: Any) -> Preset:
    """Trainings differentiated whole: in so few outer steps that teaches more than a window of longer ones."""
    return Preset(
        "ten_minutes", "Ten minutes: one image per class", source, "under 10 minutes on two cores",
        config=SHORT | {"ipc": 1, "window_schedule": "full", "batch_size": 10, "num_validations": 10, "validation_steps": 60, "validation_students": 2} | config,
        data=data,
        evaluation={"num_students": 3, "inner_steps": 200, "ordinary_steps": 200, "full_epochs": 1},
    )  # fmt: skip


PRESETS = (
    Preset(
        "quick", "Quick: one image per class", "digits", "under a minute on two cores",
        config=SHORT | {"student": MLP, "ipc": 1, "unroll_length": 40, "window": 15, "batch_size": 10, "outer_steps": 500, "num_validations": 10, "validation_steps": 100, "validation_students": 2},
        evaluation={"num_students": 5, "inner_steps": 300, "ordinary_steps": 200, "full_epochs": 40, "batch_size": 128},
    ),
    _quick("mnist", "about 3 minutes on two cores", LENET, outer_steps=400),
    _quick("fashion_mnist", "about 3 minutes on two cores", LENET, outer_steps=400),
    _quick("cifar10", "about 4 minutes on two cores", CONVNET, outer_steps=250),
    _quick("cifar100", "about 8 minutes on two cores", CONVNET, outer_steps=150, batch_size=100),
    _quick("svhn", "about 4 minutes on two cores", CONVNET, outer_steps=250),
    _quick("folder", "about 3 minutes on two cores for 12 classes at 32 pixels", CONVNET | {"norm": "batch"}, outer_steps=250),
    _ten_minutes("fashion_mnist", {}, student=LENET, unroll_length=20, student_lr=0.004, outer_steps=900),
    _ten_minutes("cifar10", {"zca": True}, student=CONVNET | {"width": 16}, unroll_length=15, student_lr=0.006, outer_steps=1400),
    Preset(
        "published_10", "Published: 10 images per class (69.4 %, second-hand)", "cifar10",
        "a week or more on a GPU; over a year on two cores, judged by its pace: 600,000 outer steps",
        config=CIFAR10, data=WHITENED, evaluation=LONG,
    ),
    Preset(
        "published_late_130", "Later advice of its authors: 10 images per class, fixed late window of 90 in 130 (score not found)", "cifar10",
        "a week or more on a GPU; over a year on two cores, judged by its pace: 600,000 outer steps",
        config=CIFAR10 | LATE | {"unroll_length": 130}, data=WHITENED, evaluation=LONG,
    ),
    Preset(
        "published_late_270", "Later advice of its authors: 10 images per class, fixed late window of 90 in 270 (score not found)", "cifar10",
        "a week or more on a GPU; over a year on two cores, judged by its pace: 600,000 outer steps",
        config=CIFAR10 | LATE | {"unroll_length": 270}, data=WHITENED, evaluation=LONG,
    ),
    Preset(
        "published_10", "Published: 10 images per class, learned labels (47.5 %, second-hand)", "cifar100",
        "days on a GPU; about 6 months on two cores, judged by its pace: 100,000 outer steps",
        config=PUBLISHED | {"labels": "soft", "unroll_length": 300, "window": 100, "batch_size": 100, "real_batch": 2000, "epoch_steps": 25, "outer_steps": 100_000},
        data=WHITENED, evaluation=LONG,
    ),
    Preset(
        "published_tiny", "Published: Tiny ImageNet at 64 pixels, 10 images per class (24.4 %, second-hand)", "folder",
        "days on a GPU; over a year on two cores, judged by its pace: 100,000 outer steps",
        config=PUBLISHED | {"student": {"name": "convnet", "depth": 4, "width": 128, "init": "default"}, "labels": "soft", "unroll_length": 200, "window": 60, "batch_size": 100, "real_batch": 1000, "epoch_steps": 100, "outer_steps": 100_000, "student_lr": 0.0003, "outer_lr": 0.0003},
        data=WHITENED, evaluation=LONG,
    ),
    Preset(
        "published_imagenet64", "Published: ImageNet at 64 pixels, 1,000 classes (score not found)", "folder",
        "weeks on a GPU; years on two cores, judged by its pace: 100,000 outer steps",
        config=PUBLISHED | {"student": {"name": "convnet", "depth": 4, "width": 128, "init": "default"}, "ipc": 1, "labels": "soft", "unroll_length": 280, "window": 80, "batch_size": 200, "real_batch": 1000, "epoch_steps": 1000, "outer_steps": 100_000},
        data={"augmentation": "flip_rotate"}, evaluation=LONG,
    ),
)  # fmt: skip
