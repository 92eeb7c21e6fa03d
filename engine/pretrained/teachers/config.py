"""Hyperparameters of a teacher: the network whose representations are distilled."""

from __future__ import annotations

from typing import Literal

from engine.core.config import Config, StudentConfig, option

TRAINED = ("barlow_twins", "simclr")
"""Kinds of teachers that are trained here."""
TEACHER, VIEWS = "Teacher", "Teacher's views"


class TeacherConfig(Config):
    """Trained on images alone, or brought along. No label is used; accuracies are measured to be shown."""

    kind: Literal["barlow_twins", "simclr", "imagenet", "file"] = option(
        "barlow_twins",
        "Trained here on two changed views of each image, torchvision's ResNet18 trained on ImageNet, or weights from a file",
        names={"barlow_twins": "Barlow Twins", "imagenet": "ResNet18 of ImageNet", "file": "From a file"},
        group=TEACHER,
        label="Teacher",
    )
    file: str = option(
        "", "A .safetensors file with the weights of the network below, named as PyTorch names them", group=TEACHER, label="Weights file", when=("kind", "file")
    )  # fmt: skip
    network: Literal["convnet", "resnet18"] = option(
        "convnet", "Network of the teacher; ResNet18 has a 3 x 3 stem for small images and is slow on CPUs", group=TEACHER, when=("kind", (*TRAINED, "file"))
    )  # fmt: skip
    depth: int = option(3, "Blocks of convolution, normalisation, activation and pooling", low=1, high=8, advanced=True, group=TEACHER, when=("network", "convnet"))  # fmt: skip
    width: int = option(64, "Channels of its first block", low=4, high=1024, unit="channels", advanced=True, group=TEACHER, when=("network", "convnet"))  # fmt: skip
    growth: int = option(1, "Times that each block is as wide as the one before", low=1, high=4, advanced=True, group=TEACHER, when=("network", "convnet"))  # fmt: skip
    norm: Literal["instance", "batch", "layer", "group", "none"] = option(
        "batch", "Normalisation inside each block", advanced=True, group=TEACHER, when=("kind", (*TRAINED, "file"))
    )
    num_dims: int = option(128, "Numbers of a representation; torchvision's ResNet18 has 512", low=2, high=4096, group=TEACHER, label="Dimensions", when=("kind", (*TRAINED, "file")))  # fmt: skip
    epochs: int = option(10, "Passes over the training images", low=1, high=1000, unit="epochs", group=TEACHER, when=("kind", TRAINED))  # fmt: skip
    steps_per_epoch: int = option(
        0, "Minibatches that count as a pass; 0 for all images", low=0, high=100_000, unit="steps", advanced=True, group=TEACHER, when=("kind", TRAINED)
    )  # fmt: skip
    batch_size: int = option(256, "Images a step, each seen in two views", low=2, high=8192, group=TEACHER, when=("kind", TRAINED))  # fmt: skip
    lr: float = option(1e-3, "Learning rate of AdamW, cosine decay to 0", low=1e-6, high=1.0, group=TEACHER, label="Learning rate", when=("kind", TRAINED))  # fmt: skip
    weight_decay: float = option(1e-5, "Weight decay of AdamW", low=0.0, high=1.0, advanced=True, group=TEACHER, when=("kind", TRAINED))  # fmt: skip
    projector_width: int = option(512, "Width of the two layers that the loss is taken after; they are thrown away", low=8, high=8192, advanced=True, group=TEACHER, when=("kind", TRAINED))  # fmt: skip
    redundancy: float = option(
        5e-3, "Weight of the correlations between different dimensions (lambda of Barlow Twins)", low=0.0, high=1.0, advanced=True, group=TEACHER, when=("kind", "barlow_twins")
    )  # fmt: skip
    temperature: float = option(0.5, "Temperature of SimCLR", low=0.01, high=10.0, advanced=True, group=TEACHER, when=("kind", "simclr"))  # fmt: skip
    crop_scale: float = option(
        0.2, "Smallest share of an image that a view shows", low=0.02, high=1.0, group=VIEWS, advanced=True, when=("kind", TRAINED)
    )  # fmt: skip
    mirror: bool = option(True, "Half of the views are mirrored; mirrored digits are other digits", group=VIEWS, when=("kind", TRAINED))  # fmt: skip
    jitter: float = option(
        0.4, "Strength of changes of brightness and contrast; half of it for saturation, a quarter for hue", low=0.0, high=1.0, group=VIEWS, advanced=True, label="Colour jitter", when=("kind", TRAINED)
    )  # fmt: skip
    grey_share: float = option(0.2, "Share of views without colour", low=0.0, high=1.0, group=VIEWS, advanced=True, when=("kind", TRAINED))  # fmt: skip
    blur_share: float = option(0.5, "Share of views that are blurred", low=0.0, high=1.0, group=VIEWS, advanced=True, when=("kind", TRAINED))  # fmt: skip
    seed: int = option(0, "Seed of the teacher, so that runs of any seed share it", low=0, high=2**31 - 1, advanced=True, group=TEACHER, label="Teacher's seed", when=("kind", TRAINED))  # fmt: skip

    def student(self) -> StudentConfig:
        """The network of a teacher that is trained here or comes from a file."""
        return StudentConfig(
            name=self.network, depth=self.depth, width=self.width, growth=self.growth, norm=self.norm, init="default"
        )
