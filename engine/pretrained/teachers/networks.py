"""The networks of teachers as fixed functions of each image; see `engine.nets.statistics`."""

import os
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple, Self
from urllib.error import URLError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.core.errors import ConfigError, DataError
from engine.data.source import TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.nets import make_encoder, statistics
from engine.pretrained.teachers.config import TeacherConfig

IMAGENET_SIDE = 64  # smaller images are enlarged to 64 pixels per side: the network halves them five times
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
RESNET = "1."  # the beginning of the names of torchvision's networks, after their inputs are prepared
FIRST, TRUNK = "conv1.weight", re.compile(r"(conv1|bn1|layer\d+)\.")
KNOWN_RESNETS = {(2, 2, 2, 2, False): "ResNet18", (3, 4, 6, 3, False): "ResNet34", (3, 4, 6, 3, True): "ResNet50"}
KNOWN_RESNETS |= {(3, 4, 23, 3, True): "ResNet101", (3, 8, 36, 3, True): "ResNet152"}
"""By blocks in each of the four layers, and whether a block has three convolutions."""


class Stem(NamedTuple):
    """The first layers of a ResNet: 7 x 7 with stride 2 and max pooling, or 3 x 3 without either."""

    kernel: int = 7
    channels: int = 3

    @classmethod
    def of(cls, weight: Tensor) -> Self:
        """The stem with the first convolution's weight (64, C, k, k)."""
        return cls(weight.shape[2], weight.shape[1])

    def __str__(self) -> str:
        return f"{self.kernel} x {self.kernel} stem"


class PixelInputs(nn.Module):
    """Prepared inputs (N, C, H, W) for torchvision's networks: pixels in the channels of `stem`, normalised.

    With the stem of ImageNet by its mean and deviation, and enlarged to 64 pixels per side; else by those of the
    training images.
    """

    def __init__(self, preparation: Preparation | None, stem: Stem) -> None:
        super().__init__()
        self.to_pixels = preparation.inverse if preparation else nn.Identity()
        self.stem, self.side = stem, IMAGENET_SIDE if stem.kernel == 7 else 1
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if stem.kernel != 7:
            mean, std = (preparation.mean, preparation.std) if preparation else (torch.zeros(1), torch.ones(1))
        is_wide = len(mean) == stem.channels
        self.mean, self.std = (values if is_wide else values.mean(0, True) for values in (mean, std))

    def forward(self, inputs: Tensor) -> Tensor:
        pixels = self.to_pixels(inputs).clamp(0, 1)
        if min(pixels.shape[2:]) < self.side:
            scale = self.side / min(pixels.shape[2:])
            sides = [round(side * scale) for side in pixels.shape[2:]]
            pixels = F.interpolate(pixels, sides, mode="bilinear", align_corners=False)
        if pixels.shape[1] != self.stem.channels:
            pixels = pixels.mean(1, keepdim=True).expand(-1, self.stem.channels, -1, -1)
        mean, std = (values.to(pixels)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std


def resnet(name: str, stem: Stem) -> nn.Module:
    """torchvision's network of that name without its last layer."""
    from engine.data.torchvision_compat import models  # slow to import, and few teachers need it

    network = getattr(models, name)()
    network.fc = nn.Identity()
    if stem.kernel == 3:
        network.conv1, network.maxpool = nn.Conv2d(stem.channels, 64, 3, padding=1, bias=False), nn.Identity()
    elif stem.channels != 3:
        network.conv1 = nn.Conv2d(stem.channels, 64, 7, 2, 3, bias=False)
    return network


def make_network(
    config: TeacherConfig,
    spec: TaskSpec,
    preparation: Preparation | None,
    device: torch.device | str,
    stem: Stem | None = None,
) -> nn.Module:
    """The network of a teacher, untrained. preparation: of its inputs; None if they are pixels.

    stem: of torchvision's networks, that of ImageNet if None. Raises ConfigError if images misfit.
    """
    stem = stem or Stem()
    if config.is_resnet:
        network: nn.Module = nn.Sequential(PixelInputs(preparation, stem), resnet(config.architecture, stem))
    else:
        network = statistics.with_statistics(make_encoder(config.student(), spec, config.num_dims, device).module)
    return network.to(device).eval().requires_grad_(False)


def num_bytes(network: nn.Module) -> int:
    """Size of its weights and statistics."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def weights_from_file(config: TeacherConfig, network: nn.Module) -> dict[str, Tensor]:
    """Weights by name for a network of `make_network`, and statistics of batch norms if the file has them.

    Raises ConfigError if the file cannot be read, or if a tensor is missing, unknown or of another shape.
    """
    file, own = config.file, RESNET if config.is_resnet else ""
    wanted = {name.removeprefix(own): value for name, value in network.state_dict().items()}
    content = read_weights(file)
    found = _after_prefix(content, next(iter(wanted)))
    if config.is_resnet:
        found = {name: tensor for name, tensor in found.items() if TRUNK.match(name)}
    has_statistics = any(name.endswith(STATISTICS[:2]) for name in found)
    needed = [name for name in wanted if not name.endswith(STATISTICS[2:] if has_statistics else STATISTICS)]
    problems = [f"has no tensor '{name}'" for name in needed if name not in found]
    problems += [f"has a tensor '{name}' that the network does not have" for name in found if name not in wanted]
    for name in needed if not problems else ():
        theirs, ours = tuple(found[name].shape), tuple(wanted[name].shape)
        if theirs != ours:
            problems.append(f"holds '{name}' of shape {theirs}; the network's is {ours}")
    if problems:
        raise _refused(config, content, problems[0])
    return {own + name: tensor for name, tensor in found.items()}


def stem_of(config: TeacherConfig) -> Stem:
    """The stem of the ResNet in a weights file. Raises ConfigError for any other network."""
    content = read_weights(config.file)
    weight = _after_prefix(content, FIRST).get(FIRST, torch.zeros(0))
    shape = tuple(weight.shape)
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[2:] not in ((3, 3), (7, 7)):
        stems = "of shape (64, 3, 7, 7) or (64, 3, 3, 3), for grey images (64, 1, 7, 7) or (64, 1, 3, 3)"
        raise _refused(config, content, f"has no tensor '{FIRST}' {stems}")
    return Stem.of(weight)


def read_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a weights file by name; it creates no Python objects. Raises ConfigError if there are none."""
    path = path_of(file)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, "cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"The teacher's weights file '{file}' cannot be read as safetensors ({error}).") from error
    except (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError) as error:
        problem = "is damaged, or holds Python objects besides tensors. Save the network's state_dict() alone,"
        raise ConfigError(f"The teacher's weights file '{file}' {problem} best as .safetensors.") from error
    if not (found := _most_tensors(content)):
        raise ConfigError(f"The teacher's weights file '{file}' holds no named tensors. Save a state_dict().")
    return found


def _most_tensors(content: Any) -> dict[str, Tensor]:
    """The dictionary with most tensors of nested ones, such as "state_dict" beside the state of an optimiser."""
    if not isinstance(content, dict):
        return {}
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return max([own, *map(_most_tensors, content.values())], key=len)


def _after_prefix(content: dict[str, Tensor], first: str) -> dict[str, Tensor]:
    """The tensors of a network whose first one is `first`, without the prefix that all its names may have."""
    prefixes = [name.removesuffix(first) for name in content if f".{name}".endswith(f".{first}")]
    prefix = min(prefixes, key=len, default="")
    return {name.removeprefix(prefix): tensor for name, tensor in content.items() if name.startswith(prefix)}


def _refused(config: TeacherConfig, content: dict[str, Tensor], problem: str) -> ConfigError:
    """A weights file that is not of the chosen network: what it holds and what is needed."""
    trunk = _after_prefix(content, FIRST)
    layers = ({name.split(".")[1] for name in trunk if name.startswith(f"layer{number}.")} for number in range(1, 5))
    blocks = (*map(len, layers), any(".conv3." in name for name in trunk))
    name, tensor = next(iter(content.items()))
    holds = f"tensors such as '{name}' of shape {tuple(tensor.shape)}"
    if blocks in KNOWN_RESNETS:
        holds = f"{KNOWN_RESNETS[blocks]} with torchvision's names"
    advice = "Choose the network, depth, width, norm and dimensions that the file was made with."
    if config.is_resnet or blocks in KNOWN_RESNETS:
        advice = "'ResNet from a file' takes a ResNet18 or ResNet50 with torchvision's names, 'From a file' others."
    needed = config.title.removesuffix(" from a file")
    return ConfigError(
        f"The teacher's weights file '{config.file}' {problem}. It holds {holds}; {needed} is needed. {advice}"
    )


def path_of(file: str) -> Path:
    """The path of a weights file. Raises ConfigError if there is none."""
    advice = "Give the path of a .safetensors or .pth file, or choose a teacher that is trained here."
    if not file:
        raise ConfigError(f"The teacher comes from a file, but no weights file is named. {advice}")
    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise ConfigError(f"There is no teacher's weights file '{file}'. {advice}")
    return path


def imagenet_weights() -> dict[str, Tensor]:
    """torchvision's weights of ResNet18, downloaded unless PyTorch has cached them. Raises DataError if that fails."""
    from engine.data.torchvision_compat import models

    weights = models.ResNet18_Weights.IMAGENET1K_V1
    try:
        found = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        what = f"torchvision's ImageNet weights are not on this machine and could not be downloaded ({error})."
        advice = f"Download {weights.url} to {folder}, or choose a teacher that is trained here."
        raise DataError(f"{what} {advice}") from error
    return {f"{RESNET}{name}": tensor for name, tensor in found.items() if not name.startswith("fc.")}
