"""Hyperparameters of a teacher: the network whose representations are distilled."""

from functools import partial
from typing import Literal

from engine.core.config import Config, StudentConfig, option
from engine.core.options import numbers

TRAINED = ("barlow_twins", "simclr")  # kinds of teachers that are trained here
FROM_FILE = ("file", "torchvision")
NAMES = {"barlow_twins": "Barlow Twins", "imagenet": "ResNet18 of ImageNet", "file": "From a file"}
NAMES |= {"torchvision": "ResNet from a file"}
RESNETS = {"resnet18": 512, "resnet50": 2048}
"""torchvision's networks that can be teachers, and the dimensions of their representations."""

_teacher = partial(option, group="Teacher")
_own = partial(_teacher, when=("kind", (*TRAINED, "file")))
_convnet = partial(_teacher, advanced=True, when=("network", "convnet"))
_training = partial(_teacher, when=("kind", TRAINED))
_view = partial(option, group="Teacher's views", advanced=True, when=("kind", TRAINED))
_strengths = partial(numbers, group="Teacher's views", advanced=True, when=("kind", TRAINED))


class TeacherConfig(Config):
    """Trained on images alone, or loaded. Labels are not used for training; accuracies are only reported."""

    kind: Literal["barlow_twins", "simclr", "imagenet", "file", "torchvision"] = _teacher(
        "barlow_twins", names=NAMES, label="Teacher"
    )
    """Trained on this data set without labels, or pretrained elsewhere: a network of this program, or a ResNet whose
    weights have torchvision's names.
    """
    file: str = _teacher("", label="Weights file", when=("kind", FROM_FILE))
    """Weights as .safetensors, or as a .pth file that holds tensors alone; prefixes such as "module." or "backbone."
    and heads are left out.
    """
    resnet: Literal["resnet18", "resnet50"] = _teacher(
        "resnet18", label="ResNet", when=("kind", "torchvision"), names={"resnet50": "ResNet50"}
    )
    """Network of the weights file. Its stem is recognised: 7 x 7 with pooling (ImageNet) or 3 x 3 (small images)."""
    network: Literal["convnet", "resnet18"] = _own("convnet", label="Teacher network")
    """The ResNet18 has a 3 x 3 stem for small images and is slow on CPUs."""
    depth: int = _convnet(3, "Blocks of convolution, normalisation, activation and pooling", low=1, high=8)
    width: int = _convnet(64, "Channels of the first block", low=4, high=1024, unit="channels")
    growth: int = _convnet(1, "Factor by which each block is wider than the one before", low=1, high=4)
    norm: Literal["instance", "batch", "layer", "group", "none"] = _own("batch", advanced=True)
    """Normalisation inside each block."""
    num_dims: int = _own(128, "Dimensions of a representation", low=2, high=4096, label="Dimensions")
    epochs: int = _training(10, "Passes over the training images", low=1, high=1000, unit="epochs")
    steps_per_epoch: int = _training(0, low=0, high=100_000, unit="steps", advanced=True)
    """Minibatches per epoch; 0 for a full pass over the data."""
    batch_size: int = _training(256, "Images per minibatch; each is seen in two views", low=2, high=8192)
    lr: float = _training(1e-3, low=1e-6, high=1.0, label="Learning rate")
    """Peak learning rate of AdamW; cosine decay to 0."""
    weight_decay: float = _training(1e-5, "Weight decay of AdamW", low=0.0, high=1.0, advanced=True)
    projector_width: int = _training(512, low=8, high=8192, advanced=True)
    """Width of the projector before the loss; it is discarded after training."""
    redundancy: float = _teacher(5e-3, low=0.0, high=1.0, advanced=True, when=("kind", "barlow_twins"))
    """Lambda of Barlow Twins' loss."""
    temperature: float = _teacher(0.5, low=0.01, high=10.0, advanced=True, when=("kind", "simclr"))
    """Temperature of SimCLR's loss."""
    crop_scale: tuple[float, ...] = _strengths((0.2,), low=0.02, high=1.0)
    """Smallest share of the image in a view; of a list, each view draws one."""
    mirror: bool = _view(True, "Flip half of the views horizontally; do not flip digits", advanced=False)
    jitter: tuple[float, ...] = _strengths((0.4,), low=0.0, high=1.0, label="Colour jitter")
    """Strengths of changes in brightness, contrast, saturation and hue."""
    hue: tuple[float, ...] = _strengths((), low=0.0, high=0.5)
    """Largest turns of the hue, as shares of the full circle; none for a quarter of the colour jitter."""
    grey_share: float = _view(0.2, "Share of views in greyscale", low=0.0, high=1.0)
    blur_share: float = _view(0.5, "Share of blurred views", low=0.0, high=1.0)
    blur_kernel: tuple[int, ...] = _strengths((3,), "Sides of the blur kernel, odd", low=3, high=31, unit="px")
    seed: int = _training(0, low=0, high=2**31 - 1, advanced=True, label="Teacher seed")
    """Runs with different seeds share a teacher."""

    def student(self) -> StudentConfig:
        """The network, unless it is torchvision's."""
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
        return RESNETS[self.architecture] if self.is_resnet else self.num_dims

    @property
    def is_resnet(self) -> bool:
        """Whether the network is torchvision's."""
        return self.kind in ("imagenet", "torchvision")

    @property
    def architecture(self) -> str:
        """The network's key among the students."""
        if self.is_resnet:
            return self.resnet if self.kind == "torchvision" else "resnet18"
        return self.network

    @property
    def title(self) -> str:
        if self.kind == "imagenet":
            return "ResNet18 trained on ImageNet"
        if self.kind == "torchvision":
            return f"{self.resnet.replace('resnet', 'ResNet')} of torchvision from a file"
        network = "ResNet18" if self.network == "resnet18" else f"ConvNet-D{self.depth}, width {self.width}"
        if self.kind == "file":
            return f"{network} from a file"
        return f"{'SimCLR' if self.kind == 'simclr' else 'Barlow Twins'}, {network}"
