"""Named configs of trajectory matching: what runs in minutes here, and the published rows with what they cost.

Published settings: Liu et al. 2024 (arXiv:2407.14245) and the commands of its code's README; FTD's own settings of CIFAR-10: Du
et al. 2023 (arXiv:2211.11004). Where FTD leaves a value open, ATT's stands here. Scores in titles are the papers' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.methods.method import Preset

CONVNET = {"name": "convnet", "depth": 3, "width": 32}
BRIEF_EXPERTS = {"lr": 0.02, "batch_size": 128, "steps_per_epoch": 40}
GREY = {"experts": BRIEF_EXPERTS | {"num_experts": 20, "epochs": 3}, "student_lr": 0.05, "expert_epochs": 2, "outer_lr": 500.0, "rates_lr": 1e-4}  # fmt: skip
COLOURED = {"experts": BRIEF_EXPERTS | {"num_experts": 12, "epochs": 5}, "student_lr": 0.02, "expert_epochs": 4, "outer_lr": 1000.0, "rates_lr": 1e-5}  # fmt: skip
SHORT = {
    "student": CONVNET,
    "ipc": 1,
    "student_steps": 20,
    "max_start_epoch": 2,
    "ema_decay": 0.95,
    "num_validations": 4,
}
BRIEF = {"num_students": 3, "inner_steps": 150, "ordinary_steps": 150, "full_epochs": 1, "other_images": 500}
COLOUR = {"zca": True, "augmentation": "dsa"}
NO_MIRROR = {"augmentation": "dsa", "dsa_operations": ["color", "crop", "cutout", "scale", "rotate"]}

EXPERTS = {"num_experts": 100, "epochs": 50, "lr": 0.01, "batch_size": 512}
FLAT = EXPERTS | {"optimiser": "gsam", "rho": 0.01, "alpha": 0.3, "batch_size": 256}
WIDE = {"name": "convnet", "width": 128, "init": "default"}
ACROSS = {"num_students": 5, "students": ["alexnet", "vgg11", "resnet18"], "without_augmentation": True, "full_epochs": 50}  # fmt: skip


def _quick(source: str, cost: str, config: dict[str, Any], data: dict[str, Any]) -> Preset:
    """One image per class, and few experts: what a user can wait for."""
    few = config["experts"] | {"num_experts": 5}
    return Preset(
        "quick", "Quick: one image per class (ATT)", source, cost,
        config=SHORT | {"outer_steps": 100} | config | {"experts": few}, data=data, evaluation=BRIEF,
    )  # fmt: skip


def _fifteen_minutes(source: str, config: dict[str, Any], data: dict[str, Any]) -> Iterator[Preset]:
    """The two objectives by otherwise equal settings; they share their experts."""
    for objective in ("att", "mtt"):
        yield Preset(
            f"fifteen_minutes_{objective}", f"Fifteen minutes: one image per class ({objective.upper()})", source,
            "under 15 minutes on two cores, experts included",
            config=SHORT | {"objective": objective, "outer_steps": 120, "validation_students": 2} | config, data=data,
            evaluation=BRIEF,
        )  # fmt: skip


def _published(
    key: str, title: str, source: str, cost: str, *, zca: bool, depth: int = 3, steps: int = 1000, **config: Any
) -> Preset:
    """A row of the published table; `steps` are the thousand passes over the synthetic images of its evaluation."""
    return Preset(
        key, title, source, cost,
        config={"student": WIDE | {"depth": depth}, "experts": EXPERTS, "validation_steps": 500, "validation_students": 2, "num_validations": 50} | config,
        data={"zca": zca, "augmentation": "dsa"}, evaluation=ACROSS | {"inner_steps": steps},
    )  # fmt: skip


WEEKS = "experts about 12 days on two cores, then {}, judged by its pace; a day or two on a GPU"

PRESETS = (
    Preset(
        "quick", "Quick: one image per class (ATT)", "digits", "under a minute on two cores",
        config={"student": {"name": "mlp"}, "ipc": 1, "experts": {"num_experts": 5, "epochs": 10, "lr": 0.1, "batch_size": 64}, "outer_steps": 300, "student_steps": 20, "student_lr": 0.05, "max_start_epoch": 5, "outer_lr": 10.0},
        evaluation={"num_students": 5, "inner_steps": 300, "ordinary_steps": 200, "full_epochs": 40, "batch_size": 128},
    ),
    _quick("mnist", "about 4 minutes on two cores", GREY, {}),
    _quick("fashion_mnist", "about 4 minutes on two cores", GREY, {}),
    _quick("cifar10", "about 5 minutes on two cores", COLOURED, COLOUR),
    _quick("cifar100", "about 20 minutes on two cores", COLOURED, COLOUR),
    _quick("svhn", "about 5 minutes on two cores", COLOURED, {"zca": True} | NO_MIRROR),
    _quick("folder", "about 5 minutes on two cores for 12 classes at 32 pixels", COLOURED | {"student": CONVNET | {"norm": "batch"}}, {"augmentation": "dsa"}),
    *_fifteen_minutes("fashion_mnist", GREY, {}),
    *_fifteen_minutes("cifar10", COLOURED, COLOUR),
    _published("published_1", "Published: ATT, 1 image per class (48.3 %)", "cifar10", WEEKS.format("a day"), zca=True, ipc=1, student_steps=80, expert_epochs=4, max_start_epoch=2, outer_lr=1e2, rates_lr=1e-7, student_lr=0.01, ema_decay=0.9999, outer_steps=6_000),
    _published("published_10", "Published: ATT, 10 images per class (67.7 %)", "cifar10", WEEKS.format("a month"), zca=True, ipc=10, student_steps=30, expert_epochs=2, max_start_epoch=20, outer_lr=1e4, rates_lr=1e-4, student_lr=0.01, ema_decay=0.9999, outer_steps=60_000),
    _published("published_50", "Published: ATT, 50 images per class (74.5 %)", "cifar10", WEEKS.format("years"), zca=False, ipc=50, student_steps=50, expert_epochs=2, max_start_epoch=40, outer_lr=1e2, rates_lr=1e-5, student_lr=0.001, ema_decay=0.999, outer_steps=1_000_000),
    _published("published_ftd_1", "Published: FTD, 1 image per class (46.8 %)", "cifar10", WEEKS.format("a day"), zca=True, objective="mtt", experts=FLAT, ipc=1, student_steps=50, expert_epochs=4, max_start_epoch=2, outer_lr=1e2, rates_lr=1e-7, student_lr=0.01, ema_decay=0.9999, outer_steps=6_000),
    _published("published_ftd_10", "Published: FTD, 10 images per class (66.6 %)", "cifar10", WEEKS.format("a month"), zca=True, objective="mtt", experts=FLAT, ipc=10, student_steps=30, expert_epochs=2, max_start_epoch=20, outer_lr=1e2, rates_lr=1e-4, student_lr=0.01, ema_decay=0.9995, outer_steps=60_000),
    _published("published_ftd_50", "Published: FTD, 50 images per class (73.8 %)", "cifar10", WEEKS.format("years"), zca=False, objective="mtt", experts=FLAT, ipc=50, student_steps=30, expert_epochs=2, max_start_epoch=40, outer_lr=1e3, rates_lr=1e-5, student_lr=0.001, ema_decay=0.999, outer_steps=1_000_000),
    _published("published_1", "Published: ATT, 1 image per class (26.1 %)", "cifar100", WEEKS.format("3 days"), zca=True, ipc=1, student_steps=50, expert_epochs=4, max_start_epoch=20, outer_lr=500.0, rates_lr=1e-5, student_lr=0.01, ema_decay=0.9995, outer_steps=3_000),
    _published("published_10", "Published: ATT, 10 images per class (44.2 %)", "cifar100", WEEKS.format("years"), zca=False, ipc=10, student_steps=20, expert_epochs=2, max_start_epoch=40, outer_lr=1e3, rates_lr=1e-5, student_lr=0.01, ema_decay=0.9995, outer_steps=200_000),
    _published("published_50", "Published: ATT, 50 images per class (51.2 %)", "cifar100", WEEKS.format("years"), zca=True, steps=4167, ipc=50, batch_size=1200, student_steps=80, expert_epochs=2, max_start_epoch=40, outer_lr=1e3, rates_lr=1e-5, student_lr=0.01, ema_decay=0.999, outer_steps=100_000),
    _published("published_tiny_1", "Published: Tiny ImageNet at 64 pixels, ATT, 1 image per class (11.0 %)", "folder", "weeks on a GPU, years on two cores, judged by its pace; experts take 17 GB", depth=4, zca=False, ipc=1, student_steps=30, expert_epochs=2, max_start_epoch=10, outer_lr=1e4, rates_lr=1e-4, student_lr=0.01, ema_decay=0.999, outer_steps=10_000),
    _published("published_tiny_10", "Published: Tiny ImageNet at 64 pixels, ATT, 10 images per class (25.8 %)", "folder", "weeks on a GPU, years on two cores, judged by its pace; experts take 17 GB", depth=4, zca=False, ipc=10, student_steps=20, expert_epochs=2, max_start_epoch=40, outer_lr=1e4, rates_lr=1e-6, student_lr=0.001, ema_decay=0.999, outer_steps=80_000),
    _published("published_imagenet_1", "Published: an ImageNet subset of 10 classes at 128 pixels, ATT, 1 image per class (30.0 to 52.4 %)", "folder", "days on a GPU, half a year on two cores, judged by its pace; experts take 13 GB", depth=5, zca=False, ipc=1, student_steps=20, expert_epochs=2, max_start_epoch=10, outer_lr=1e4, rates_lr=5e-8, student_lr=0.01, ema_decay=0.9999, outer_steps=10_000),
    _published("published_imagenet_10", "Published: an ImageNet subset of 10 classes at 128 pixels, ATT, 10 images per class (40.0 to 69.3 %)", "folder", "weeks on a GPU, years on two cores, judged by its pace; experts take 13 GB", depth=5, zca=False, ipc=10, student_steps=20, expert_epochs=2, max_start_epoch=10, outer_lr=1e4, rates_lr=1e-4, student_lr=0.01, ema_decay=0.999, outer_steps=100_000),
)  # fmt: skip
