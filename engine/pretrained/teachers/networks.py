"""The networks of teachers as fixed functions of each image; see `engine.nets.statistics`."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.core.errors import ConfigError, DataError
from engine.data.source import LabelledSet, TaskSpec
from engine.nets import make_encoder, statistics
from engine.pretrained.teachers.config import TeacherConfig

IMAGENET_SIDE = 64  # smaller images are enlarged to 64 pixels per side: the network halves them five times
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class ImageNetInputs(nn.Module):
    """Prepared inputs (N, C, H, W) for torchvision's networks: in colour, normalised, 64 pixels per side or more."""

    def __init__(self, to_pixels: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.to_pixels = to_pixels

    def forward(self, inputs: Tensor) -> Tensor:
        pixels = self.to_pixels(inputs).clamp(0, 1)
        if min(pixels.shape[2:]) < IMAGENET_SIDE:
            scale = IMAGENET_SIDE / min(pixels.shape[2:])
            sides = [round(side * scale) for side in pixels.shape[2:]]
            pixels = F.interpolate(pixels, sides, mode="bilinear", align_corners=False)
        if pixels.shape[1] != 3:
            pixels = pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (pixels - mean) / std


def make_network(
    config: TeacherConfig, spec: TaskSpec, to_pixels: Callable[[Tensor], Tensor], device: torch.device | str
) -> nn.Module:
    """The network of a teacher, untrained; `to_pixels` inverts the preparation. Raises ConfigError if images misfit."""
    if config.kind == "imagenet":
        from engine.data.torchvision_compat import models  # slow to import, and few teachers need it

        network = models.resnet18()
        network.fc = nn.Identity()
        network = nn.Sequential(ImageNetInputs(to_pixels), network)
    else:
        network = make_encoder(config.student(), spec, config.num_dims, device).module
        network = statistics.with_statistics(network)
    return network.to(device).eval().requires_grad_(False)


def num_bytes(network: nn.Module) -> int:
    """Size of its weights and statistics."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def fix_statistics(network: nn.Module, data: LabelledSet) -> None:
    """Fix the statistics of batch norms on a sample of the data."""
    statistics.fix_statistics(network, statistics.pieces_of(data.sample(statistics.SAMPLE)))


def weights_from_file(file: str, network: nn.Module) -> dict[str, Tensor]:
    """Weights by name for a network of `make_network`, and statistics of batch norms if the file has them.

    Raises ConfigError if the file cannot be read, or if a tensor is missing, unknown or of another shape.
    """
    try:
        found = load_file(path_of(file))
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"The teacher's weights file '{file}' cannot be read as safetensors ({error}).") from error
    wanted, has_statistics = network.state_dict(), any(name.endswith(STATISTICS[:2]) for name in found)
    needed = [name for name in wanted if not name.endswith(STATISTICS[2:] if has_statistics else STATISTICS)]
    problems = [f"has no tensor '{name}'" for name in needed if name not in found]
    problems += [f"has a tensor '{name}' that the network does not have" for name in found if name not in wanted]
    for name in needed if not problems else ():
        theirs, ours = tuple(found[name].shape), tuple(wanted[name].shape)
        if theirs != ours:
            problems.append(f"holds '{name}' of shape {theirs}; the network's is {ours}")
    if problems:
        advice = "Choose the network, depth, width, norm and dimensions that the file was made with."
        raise ConfigError(f"The teacher's weights file '{file}' {problems[0]}. {advice}")
    return found


def path_of(file: str) -> Path:
    """The path of a weights file. Raises ConfigError if there is none."""
    advice = "Give the path of a .safetensors file, or choose a teacher that is trained here."
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
    return {f"1.{name}": tensor for name, tensor in found.items() if not name.startswith("fc.")}
