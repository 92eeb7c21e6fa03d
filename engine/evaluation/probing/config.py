"""How networks that learned representations are compared: pre-trained, frozen, and probed with labels."""

from __future__ import annotations

from engine.core.config import Config, option

GROUP = "Probing"


class ProbingConfig(Config):
    """Of every arm alike. Pre-training fits a teacher's representations; labels come in after that alone."""

    pretrain_steps: int = option(500, "Steps that a fresh network is pre-trained on pairs of an image and its representation; of full data at least its passes", low=1, high=1_000_000, unit="steps", group=GROUP)  # fmt: skip
    pretrain_batch: int = option(256, "Pairs a step; of smaller sets all", low=1, high=8192, group=GROUP, advanced=True)
    pretrain_lr: float = option(0.1, "Learning rate of the pre-training, SGD with momentum 0.9 and cosine decay", low=1e-6, high=10.0, group=GROUP, advanced=True, label="Pre-training rate")  # fmt: skip
    pretrain_weight_decay: float = option(1e-4, "Weight decay of the pre-training", low=0.0, high=1.0, group=GROUP, advanced=True)  # fmt: skip
    probe_images: int = option(
        0, "Labelled training images for probes, class-balanced; 0 for all", low=0, high=10_000_000, unit="images", group=GROUP, advanced=True, label="Images to probe with"
    )  # fmt: skip
    probe_epochs: int = option(30, "Passes of the linear probe over frozen features", low=1, high=1000, unit="epochs", group=GROUP, advanced=True)  # fmt: skip
    probe_lr: float = option(0.2, "Learning rate of the linear probe, SGD with momentum 0.9 and cosine decay, on standardised features", low=1e-6, high=10.0, group=GROUP, advanced=True, label="Probe's rate")  # fmt: skip
    neighbours: int = option(20, "Nearest neighbours by cosine that vote on a class; 0 leaves that measure out", low=0, high=1000, group=GROUP, advanced=True)  # fmt: skip
    fine_tune_steps: int = option(
        0, "Steps of fine-tuning the whole network with labels; 0 leaves that out", low=0, high=1_000_000, unit="steps", group=GROUP, label="Fine-tuning"
    )  # fmt: skip
    fine_tune_lr: float = option(0.01, "Learning rate of fine-tuning, SGD with momentum 0.9 and cosine decay", low=1e-6, high=10.0, group=GROUP, advanced=True, label="Fine-tuning rate")  # fmt: skip
    transfer: tuple[str, ...] = option((), "Other data sets that the frozen features are probed on", group=GROUP, label="Transfer to", among="images")  # fmt: skip
