"""How networks that learned representations are compared: pre-trained, frozen, and probed with labels."""

from __future__ import annotations

from engine.core.config import Config, option

GROUP = "Probing"


class ProbingConfig(Config):
    """Of every arm alike. Pre-training fits a teacher's representations; labels come in after that alone."""

    pretrain_steps: int = option(
        500,
        "Steps of pre-training a fresh network on pairs of image and representation",
        low=1,
        high=1_000_000,
        unit="steps",
        group=GROUP,
    )
    pretrain_batch: int = option(
        256, "Pairs per step; all pairs of smaller sets", low=1, high=8192, group=GROUP, advanced=True
    )
    pretrain_lr: float = option(
        0.1,
        "Learning rate of pre-training: SGD with momentum 0.9 and cosine decay",
        low=1e-6,
        high=10.0,
        group=GROUP,
        advanced=True,
        label="Pre-training rate",
    )
    pretrain_weight_decay: float = option(
        1e-4, "Weight decay of pre-training", low=0.0, high=1.0, group=GROUP, advanced=True
    )
    probe_images: int = option(
        0,
        "Labelled training images to train probes on, class-balanced; 0 for all",
        low=0,
        high=10_000_000,
        unit="images",
        group=GROUP,
        advanced=True,
        label="Images to probe with",
    )
    probe_epochs: int = option(
        30, "Epochs of the linear probe on frozen features", low=1, high=1000, unit="epochs", group=GROUP, advanced=True
    )
    probe_lr: float = option(
        0.2,
        "Learning rate of the linear probe on standardised features: SGD with momentum 0.9 and cosine decay",
        low=1e-6,
        high=10.0,
        group=GROUP,
        advanced=True,
        label="Probe's rate",
    )
    neighbours: int = option(
        20, "Nearest neighbours by cosine that vote on a class; 0 to skip", low=0, high=1000, group=GROUP, advanced=True
    )
    fine_tune_steps: int = option(
        0,
        "Steps of fine-tuning the whole network with labels; 0 to skip",
        low=0,
        high=1_000_000,
        unit="steps",
        group=GROUP,
        label="Fine-tuning",
    )
    fine_tune_lr: float = option(
        0.01,
        "Learning rate of fine-tuning: SGD with momentum 0.9 and cosine decay",
        low=1e-6,
        high=10.0,
        group=GROUP,
        advanced=True,
        label="Fine-tuning rate",
    )
    transfer: tuple[str, ...] = option(
        (), "Other data sets to probe the frozen features on", group=GROUP, label="Transfer to", among="images"
    )
