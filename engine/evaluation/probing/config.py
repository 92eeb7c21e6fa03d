"""How networks that learned representations are compared: pre-trained, frozen, and probed with labels."""

from engine.core.config import Config, option
from engine.core.options import unless

GROUP = "Probing"


class ProbingConfig(Config):
    """Of every arm alike. Pre-training fits a teacher's representations; only what comes after it sees labels."""

    pretrain_steps: int = option(500, low=1, high=1_000_000, unit="steps", group=GROUP)
    """Steps of pre-training a fresh network on pairs of image and representation."""
    pretrain_batch: int = option(256, low=1, high=8192, group=GROUP, advanced=True)
    """Pairs per step; all pairs of smaller sets."""
    pretrain_lr: float = option(0.1, low=1e-6, high=10.0, group=GROUP, advanced=True, label="Pre-training rate")
    """Learning rate of pre-training: SGD with momentum 0.9 and cosine decay."""
    pretrain_weight_decay: float = option(1e-4, low=0.0, high=1.0, group=GROUP, advanced=True)
    """Weight decay of pre-training."""
    probe_images: int = option(
        0, low=0, high=10_000_000, unit="images", group=GROUP, advanced=True, label="Images to probe with"
    )
    """Labelled training images to train probes on, class-balanced; 0 for all."""
    probe_epochs: int = option(30, low=1, high=1000, unit="epochs", group=GROUP, advanced=True)
    """Epochs of the linear probe on frozen features."""
    probe_lr: float = option(0.2, low=1e-6, high=10.0, group=GROUP, advanced=True, label="Probe's rate")
    """Learning rate of the linear probe on standardised features: SGD with momentum 0.9 and cosine decay."""
    neighbours: int = option(20, low=0, high=1000, group=GROUP, advanced=True)
    """Nearest neighbours by cosine that vote on a class; 0 to skip."""
    fine_tune_steps: int = option(0, low=0, high=1_000_000, unit="steps", group=GROUP, label="Fine-tuning")
    """Steps of fine-tuning the whole network with labels; 0 to skip."""
    fine_tune_lr: float = option(0.01, low=1e-6, high=10.0, group=GROUP, advanced=True, label="Fine-tuning rate")
    """Learning rate of fine-tuning: SGD with momentum 0.9 and cosine decay."""
    transfer: tuple[str, ...] = option((), group=GROUP, label="Transfer to", among="images")
    """Other data sets to probe the frozen features on."""
    transfer_steps: int = option(
        0, low=0, high=1_000_000, unit="steps", group=GROUP, label="Fine-tuning elsewhere", when=unless("transfer", ())
    )
    """Steps of fine-tuning the whole network on each of these data sets, at the fine-tuning rate; 0 to skip."""
