"""Hyperparameters of a teacher: the network whose representations are distilled."""

from __future__ import annotations

from functools import partial
from typing import Literal

from engine.core.config import Config, StudentConfig, option

TRAINED = ("barlow_twins", "simclr")
"""Kinds of teachers that are trained here."""
IMAGENET_DIMS = 512

_option = partial(option, group="Teacher")
_training = partial(_option, when=("kind", TRAINED))
_view = partial(option, group="Teacher's views", when=("kind", TRAINED))


class TeacherConfig(Config):
    """Trained on images alone, or loaded. Labels are not used for training; accuracies are only reported."""

    kind: Literal["barlow_twins", "simclr", "imagenet", "file"] = _option(
        "barlow_twins",
        "Self-supervised training on this data set, torchvision's ImageNet ResNet18, or weights from a file",
        names={"barlow_twins": "Barlow Twins", "imagenet": "ResNet18 of ImageNet", "file": "From a file"},
        label="Teacher",
    )
    file: str = _option(
        "",
        "A .safetensors file with the weights of the network below, under PyTorch's names",
        label="Weights file",
        when=("kind", "file"),
    )
    network: Literal["convnet", "resnet18"] = _option(
        "convnet",
        "The ResNet18 has a 3 x 3 stem for small images and is slow on CPUs",
        when=("kind", (*TRAINED, "file")),
        label="Teacher network",
    )
    depth: int = _option(
        3,
        "Blocks of convolution, normalisation, activation and pooling",
        low=1,
        high=8,
        advanced=True,
        when=("network", "convnet"),
    )
    width: int = _option(
        64, "Channels of the first block", low=4, high=1024, unit="channels", advanced=True, when=("network", "convnet")
    )
    growth: int = _option(
        1,
        "Factor by which each block is wider than the one before",
        low=1,
        high=4,
        advanced=True,
        when=("network", "convnet"),
    )
    norm: Literal["instance", "batch", "layer", "group", "none"] = _option(
        "batch", "Normalisation inside each block", advanced=True, when=("kind", (*TRAINED, "file"))
    )
    num_dims: int = _option(
        128,
        "Dimensions of a representation; torchvision's ResNet18 has 512",
        low=2,
        high=4096,
        label="Dimensions",
        when=("kind", (*TRAINED, "file")),
    )
    epochs: int = _training(10, "Passes over the training images", low=1, high=1000, unit="epochs")
    steps_per_epoch: int = _training(
        0, "Minibatches per epoch; 0 for a full pass over the data", low=0, high=100_000, unit="steps", advanced=True
    )
    batch_size: int = _training(256, "Images per minibatch; each is seen in two views", low=2, high=8192)
    lr: float = _training(
        1e-3, "Peak learning rate of AdamW; cosine decay to 0", low=1e-6, high=1.0, label="Learning rate"
    )
    weight_decay: float = _training(1e-5, "Weight decay of AdamW", low=0.0, high=1.0, advanced=True)
    projector_width: int = _training(
        512,
        "Width of the projector between the network and the loss; it is discarded after training",
        low=8,
        high=8192,
        advanced=True,
    )
    redundancy: float = _option(
        5e-3,
        "Weight of the redundancy term (lambda of Barlow Twins)",
        low=0.0,
        high=1.0,
        advanced=True,
        when=("kind", "barlow_twins"),
    )
    temperature: float = _option(
        0.5, "Temperature of SimCLR's loss", low=0.01, high=10.0, advanced=True, when=("kind", "simclr")
    )
    crop_scale: float = _view(0.2, "Smallest share of the image in a view", low=0.02, high=1.0, advanced=True)
    mirror: bool = _view(True, "Flip half of the views horizontally; do not flip digits")
    jitter: float = _view(
        0.4,
        "Strength of brightness and contrast changes; half of it for saturation, a quarter for hue",
        low=0.0,
        high=1.0,
        advanced=True,
        label="Colour jitter",
    )
    grey_share: float = _view(0.2, "Share of views in greyscale", low=0.0, high=1.0, advanced=True)
    blur_share: float = _view(0.5, "Share of blurred views", low=0.0, high=1.0, advanced=True)
    seed: int = _training(
        0,
        "Seed of the teacher, separate from the run's, so that runs with different seeds share a teacher",
        low=0,
        high=2**31 - 1,
        advanced=True,
        label="Teacher seed",
    )

    def student(self) -> StudentConfig:
        """The network of a teacher that is trained here or comes from a file."""
        return StudentConfig(
            name=self.network, depth=self.depth, width=self.width, growth=self.growth, norm=self.norm, init="default"
        )

    @property
    def is_trained(self) -> bool:
        """Whether the teacher is trained here."""
        return self.kind in TRAINED

    @property
    def output_dims(self) -> int:
        """Dimensions of a representation."""
        return IMAGENET_DIMS if self.kind == "imagenet" else self.num_dims

    @property
    def architecture(self) -> str:
        """The network's key among the students."""
        return "resnet18" if self.kind == "imagenet" else self.network

    @property
    def title(self) -> str:
        """For people."""
        if self.kind == "imagenet":
            return "ResNet18 trained on ImageNet"
        network = "ResNet18" if self.network == "resnet18" else f"ConvNet-D{self.depth}, width {self.width}"
        if self.kind == "file":
            return f"{network} from a file"
        return f"{'SimCLR' if self.kind == 'simclr' else 'Barlow Twins'}, {network}"
