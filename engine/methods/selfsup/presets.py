"""Named configs of self-supervised distillation: what runs in minutes here, and the published rows with what they cost.

Published settings: the configuration files of the low-rank system (Yu et al. 2025, arXiv:2507.21455) and the code of KRR-ST (Lee et
al. 2024, arXiv:2310.06511).
"""

from __future__ import annotations

from typing import Any

from engine.methods.method import Preset

SMALL = {"name": "convnet", "depth": 3, "width": 32, "norm": "batch", "init": "default"}
TEACHER = {"network": "convnet", "depth": 3, "width": 32, "norm": "batch", "num_dims": 64, "batch_size": 128}
SHORT = {
    "student": SMALL,
    "num_images": 200,
    "image_bases": 64,
    "representation_bases": 32,
    "basis_size": 16,
    "augmentations": ["flip"],
    "pool_size": 4,
    "pool_steps": 200,
    "inner_batch": 128,
    "real_batch": 256,
    "refresh_every": 100,
    "num_validations": 3,
    "probing": {"pretrain_steps": 300, "pretrain_batch": 128, "probe_images": 5000},
}
GREY = {"image_bases": 48, "representation_bases": 24, "basis_size": 14}
BRIEF = {"num_students": 3, "full_epochs": 1}

INNER = {"name": "convnet", "depth": 3, "width": 128, "growth": 2, "norm": "batch", "init": "default"}
RESNET = {"kind": "barlow_twins", "network": "resnet18", "num_dims": 512, "epochs": 100, "projector_width": 2048}
LOW_RANK = {
    "student": INNER,
    "image_bases": 200,
    "representation_bases": 200,
    "basis_size": 16,
    "augmentations": ["rotate_90", "rotate_180", "rotate_270"],
    "teacher": RESNET,
    "outer_lr": 1e-3,
    "relative_steps": False,
    "outer_weight_decay": 0.01,
    "outer_steps": 30_000,
    "storage_budget": 100,
    "num_images": 100,
    "probing": {"pretrain_steps": 1000, "pretrain_batch": 400, "probe_epochs": 100},
}
KRR_ST = {
    "student": INNER,
    "parameterisation": "full",
    "num_images": 1000,
    "teacher": RESNET,
    "outer_lr": 1e-4,
    "relative_steps": False,
    "outer_steps": 160_000,
    "real_batch": 1024,
    "inner_weight_decay": 1e-3,
    "probing": {"pretrain_steps": 4000, "pretrain_weight_decay": 1e-3, "fine_tune_steps": 10_000, "probe_epochs": 100},
}
PUBLISHED = {"num_students": 3, "students": ["resnet18"], "full_epochs": 50}


def _quick(source: str, cost: str, config: dict[str, Any]) -> Preset:
    """A small teacher, and few steps: what a user can wait for."""
    return Preset("quick", "Quick: a small teacher, few steps", source, cost, config=SHORT | config, evaluation=BRIEF)


def _fifteen_minutes(source: str, config: dict[str, Any]) -> Preset:
    return Preset(
        "fifteen_minutes", "Fifteen minutes: bases, teacher included", source, "under 15 minutes on two cores, teacher included",
        config=SHORT | config, evaluation=BRIEF,
    )  # fmt: skip


MIRRORED = {"teacher": TEACHER | {"epochs": 4, "steps_per_epoch": 200}}
CLOTHES = GREY | {"teacher": MIRRORED["teacher"] | {"num_dims": 32}, "outer_lr": 3e-3}
UPRIGHT = {"teacher": MIRRORED["teacher"] | {"mirror": False}, "augmentations": ["blur"]}
FIGURES = GREY | UPRIGHT | {"teacher": UPRIGHT["teacher"] | {"num_dims": 32}}


def _longer(config: dict[str, Any]) -> dict[str, Any]:
    """The same with a teacher of so many more steps as a quarter of an hour allows, and longer trainings."""
    return config | {
        "teacher": config["teacher"] | {"epochs": 8, "steps_per_epoch": 200},
        "outer_steps": 600,
        "probing": SHORT["probing"] | {"pretrain_steps": 600},
    }


DIGITS = {
    "student": SMALL | {"depth": 2, "width": 16},
    "parameterisation": "full",
    "num_images": 10,
    "teacher": {
        "network": "convnet",
        "depth": 2,
        "width": 16,
        "norm": "batch",
        "num_dims": 16,
        "projector_width": 128,
        "epochs": 20,
        "batch_size": 128,
        "mirror": False,
    },
    "pool_steps": 600,
    "outer_steps": 600,
    "probing": SHORT["probing"] | {"pretrain_steps": 1000},
}
DIGIT_BASES = DIGITS | {
    "parameterisation": "low_rank",
    "num_images": 60,
    "image_bases": 12,
    "representation_bases": 10,
    "basis_size": 8,
    "augmentations": ["blur"],
}  # fmt: skip
JUDGED = "about five minutes on two cores, teacher included; judged, not timed"

PRESETS: tuple[Preset, ...] = (
    Preset(
        "quick", "Quick: ten images (KRR-ST)", "digits", "about a minute on two cores, teacher included",
        config=SHORT | DIGITS, evaluation=BRIEF,
    ),
    Preset(
        "low_rank", "Sixty images of twelve bases", "digits", "about a minute on two cores, teacher included",
        config=SHORT | DIGIT_BASES, evaluation=BRIEF,
    ),
    _quick("mnist", JUDGED, FIGURES | {"outer_steps": 300}),
    _quick("fashion_mnist", JUDGED, CLOTHES | {"outer_steps": 300}),
    _quick("cifar10", JUDGED, MIRRORED | {"outer_steps": 300}),
    _quick("cifar100", JUDGED, MIRRORED | {"outer_steps": 300}),
    _quick("svhn", JUDGED, UPRIGHT | {"outer_steps": 300}),
    _quick("folder", JUDGED, MIRRORED | {"outer_steps": 300, "num_images": 100}),
    _fifteen_minutes("fashion_mnist", _longer(CLOTHES)),
    _fifteen_minutes("cifar10", _longer(MIRRORED)),
    *(
        Preset(
            "low_rank_100", "Published: low-rank bases, storage of 100 images", source, "hours on a GPU, as published; days on a CPU",
            config=LOW_RANK | more, evaluation=PUBLISHED,
        )
        for source, more in (("cifar10", {}), ("cifar100", {"num_optimal": 3}))
    ),
    Preset(
        "krr_st_1000", "Published: KRR-ST, 1,000 images", "cifar100", "a day on a GPU, as published", config=KRR_ST,
        evaluation=PUBLISHED,
    ),
    Preset(
        "low_rank_240_64px", "Published for Stanford Dogs: 64 px images, storage of 240", "folder", "hours on a GPU, as published",
        config=LOW_RANK
        | {"num_images": 240, "storage_budget": 240, "image_bases": 400, "representation_bases": 400, "hidden_dims": 16, "outer_steps": 20_000}
        | {"teacher": RESNET | {"epochs": 200, "batch_size": 128}},
        evaluation=PUBLISHED,
    ),
)  # fmt: skip
"""Named requests, the first one of a source its default."""
