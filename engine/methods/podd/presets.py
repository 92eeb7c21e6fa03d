"""Named configs of PoDD: what runs in minutes here, and the published rows with what they cost.

Published settings: Shul et al. 2024 (arXiv:2403.12040), the recipes at 0.9 images per class of their code's README,
which runs 10,000 epochs whatever the batch; rows and columns are in our order. Posters of other sizes, and those of
imported folders, get their poster and patches as chosen here. Their fixed labels are a softmax of pixel counts, a
temperature of 1 / 1024. Scores marked "second-hand" are quoted by others and were not found in the paper's code.
"""

from __future__ import annotations

from typing import Any

from engine.methods.method import Preset

MLP = {"name": "mlp"}
LENET = {"name": "lenet"}
CONVNET = {"name": "convnet", "depth": 3, "width": 32}
# Learned labels learn fastest in minutes, and a poster of real images is ahead from the start.
SHORT = {"ipc": 0.5, "labels": "learned", "label_ipc": 4.0, "poster_from": "real", "student_lr": 0.003, "outer_lr": 0.1, "label_lr_divisor": 4.0, "outer_decay": "cosine", "real_batch": 256, "validation_students": 1}  # fmt: skip
WHOLE = {"window_schedule": "full", "label_ipc": 6.0}  # a finer map lets labels differ from patch to patch
PUBLISHED_STUDENT = {"name": "convnet", "depth": 3, "width": 128, "init": "default"}
PUBLISHED = {"student": PUBLISHED_STUDENT, "window_schedule": "random_each_epoch", "student_lr": 0.001, "outer_lr": 0.001, "order": "clip"}  # fmt: skip
HARD = {"labels": "fixed", "label_rule": "softmax", "temperature": 1 / 1024}
WHITENED = {"zca": True, "zca_kind": "podd", "augmentation": "flip_rotate"}
CIFAR10 = PUBLISHED | HARD | {"unroll_length": 200, "window": 60, "batch_size": 96, "real_batch": 5000, "epoch_steps": 10, "outer_steps": 100_000}  # fmt: skip
CIFAR100 = PUBLISHED | {"labels": "learned", "label_ipc": 1.0, "unroll_length": 300, "window": 100, "batch_size": 50, "real_batch": 2000, "epoch_steps": 25, "outer_steps": 250_000}  # fmt: skip
SCORES = {"cifar10": {0.3: "42.3 % published, second-hand", 0.5: "49.5 % published, second-hand", 1.0: "59.1 % published, second-hand"}, "cifar100": {0.4: "35.7 % published"}}  # fmt: skip
COSTS = {
    "cifar10": "days on a GPU; about 4 months on two cores, judged by its pace: 100,000 outer steps",
    "cifar100": "days on a GPU; about 8 months on two cores, judged by its pace: 250,000 outer steps",
}


def _images(ipc: float) -> str:
    return "1 image" if ipc == 1 else f"{ipc:g} images"


def _quick(source: str, cost: str, student: dict[str, Any], **config: Any) -> Preset:
    """Half an image per class, or the size given, on short trainings: what a user can wait for."""
    size = _images(config["ipc"]) if "ipc" in config else "half an image"
    return Preset(
        "quick", f"Quick: a poster of {size} per class", source, cost,
        config=SHORT | {"student": student, "unroll_length": 40, "window": 10, "batch_size": 40, "num_validations": 10, "validation_steps": 100} | config,
        evaluation={"num_students": 3, "inner_steps": 300, "ordinary_steps": 200, "full_epochs": 1},
    )  # fmt: skip


def _ten_minutes(source: str, data: dict[str, Any], **config: Any) -> Preset:
    """The same with trainings differentiated whole: in so few outer steps that teaches more than a window of longer ones."""
    return Preset(
        "ten_minutes_half", "Ten minutes: a poster of half an image per class", source, "under 10 minutes on two cores",
        config=SHORT | WHOLE | {"batch_size": 30, "num_validations": 10, "validation_steps": 60, "validation_students": 2} | config,
        data=data,
        evaluation={"num_students": 3, "inner_steps": 200, "ordinary_steps": 200, "full_epochs": 1},
    )  # fmt: skip


def _published(source: str, ipc: float, shared: dict[str, Any], **config: Any) -> Preset:
    """The published recipe, at 0.9 images per class with the published sizes too."""
    score = SCORES[source].get(ipc, "score not found")
    key = f"published_{ipc:.1f}".replace(".", "")
    return Preset(
        key, f"The published recipe at {_images(ipc)} per class ({score})", source, COSTS[source],
        config=shared | {"ipc": ipc} | config,
        data=WHITENED,
        evaluation={"num_students": 8, "inner_steps": 2000},
    )  # fmt: skip


PRESETS = (
    Preset(
        "quick", "Quick: a poster of half an image per class", "digits", "about a minute on two cores",
        config=SHORT | {"student": MLP, "label_ipc": 1.0, "outer_lr": 0.05, "label_lr_divisor": 1.0, "unroll_length": 40, "window": 15, "batch_size": 40, "outer_steps": 500, "num_validations": 10, "validation_steps": 100, "validation_students": 2},
        evaluation={"num_students": 5, "inner_steps": 300, "ordinary_steps": 200, "full_epochs": 40, "batch_size": 128},
    ),
    _quick("mnist", "about 3 minutes on two cores", LENET, outer_steps=400),
    _quick("fashion_mnist", "about 3 minutes on two cores", LENET, outer_steps=400),
    _quick("cifar10", "about 5 minutes on two cores", CONVNET, outer_steps=200),
    _quick("cifar100", "about 8 minutes on two cores", CONVNET, outer_steps=150, ipc=0.4, batch_size=100),
    _quick("svhn", "about 5 minutes on two cores", CONVNET, outer_steps=200),
    _quick("folder", "about 4 minutes on two cores for 12 classes at 32 pixels", CONVNET | {"norm": "batch"}, outer_steps=200, ipc=1.0),
    _ten_minutes("fashion_mnist", {}, student=LENET, unroll_length=20, student_lr=0.004, outer_steps=800),
    _ten_minutes("cifar10", {"zca": True}, student=CONVNET | {"width": 16}, unroll_length=15, student_lr=0.006, outer_steps=800),
    _published("cifar10", 0.9, CIFAR10, poster_height=60, poster_width=153, class_rows=2, class_columns=5, patch_rows=6, patch_columns=16),
    *(_published("cifar10", ipc, CIFAR10) for ipc in (0.3, 0.4, 0.5, 1.0)),
    _published("cifar100", 0.9, CIFAR100, poster_height=303, poster_width=303, class_rows=10, class_columns=10, patch_rows=20, patch_columns=20),
    *(_published("cifar100", ipc, CIFAR100) for ipc in (0.3, 0.4, 0.5, 1.0)),
    Preset(
        "published_cub200", "The published recipe of CUB-200 (200 classes, 32 pixels) at 0.9 images per class (score not found)", "folder",
        "for its 200 classes days on a GPU; about 7 weeks on two cores, judged by its pace: 20,000 outer steps",
        config=PUBLISHED | {"ipc": 0.9, "labels": "learned", "unroll_length": 200, "window": 60, "batch_size": 200, "real_batch": 3000, "epoch_steps": 2, "outer_steps": 20_000},
        data=WHITENED,
        evaluation={"num_students": 8, "inner_steps": 2000},
    ),
    Preset(
        "published_tiny", "The published recipe of Tiny ImageNet (200 classes, 64 pixels) at 0.9 images per class (score not found)", "folder",
        "for its 200 classes weeks on a GPU; many years on two cores, judged by its pace: 2,000,000 outer steps",
        config=PUBLISHED | {"ipc": 0.9, "labels": "learned", "unroll_length": 300, "window": 100, "batch_size": 30, "real_batch": 500, "epoch_steps": 200, "outer_steps": 2_000_000, "student_lr": 0.0005, "outer_lr": 0.0005},
        data=WHITENED,
        evaluation={"num_students": 8, "inner_steps": 2000},
    ),
)  # fmt: skip
