"""The networks of teachers as fixed functions: batch norms keep the statistics of real images, whatever the batch.

A network that is trained here normalises by its own batch. What it would then say of an image depended on its neighbours, so
that statistics are fixed once it is trained, on a sample of training images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.core.errors import ConfigError, DataError
from engine.data.source import LabelledSet, TaskSpec
from engine.nets import make_encoder
from engine.pretrained.teachers.config import TeacherConfig

IMAGENET_DIMS = 512
IMAGENET_SIDE = 64
"""Images are enlarged to so many pixels a side for a network that halves them five times."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SAMPLE = 1024
"""Training images that statistics are taken from."""
_PIECE_OF_STATISTICS = 256


class ImageNetInputs(nn.Module):
    """Prepared inputs (N, C, H, W) as torchvision's networks want them: colours, ImageNet's mean and deviation, 64 pixels a side.

    to_pixels: the inverse of the preparation.
    """

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
    """The network of a teacher, its weights still to be loaded, that will use the statistics it keeps.

    to_pixels: prepared inputs to pixels in [0, 1]. Raises ConfigError where the images do not fit.
    """
    if config.kind == "imagenet":
        from engine.data.torchvision_compat import models  # slow to import, and few teachers need it

        network = models.resnet18()
        network.fc = nn.Identity()
        network = nn.Sequential(ImageNetInputs(to_pixels), network)
    else:
        network = make_encoder(config.student(), spec, config.num_dims, device).module
        for norm in _batch_norms(network):
            norm.track_running_stats, norm.momentum = True, None  # None: the mean over all batches
            norm.register_buffer("running_mean", torch.zeros(norm.num_features))
            norm.register_buffer("running_var", torch.ones(norm.num_features))
            norm.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))
    return network.to(device).eval().requires_grad_(False)


def num_bytes(network: nn.Module) -> int:
    """Of its weights and statistics."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


@torch.no_grad()
def put_weights(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a network that `make_network` made the weights by name of an encoder; its statistics stay as they are."""
    for name, parameter in network.named_parameters():
        parameter.copy_(weights[name])


def fix_statistics(network: nn.Module, data: LabelledSet) -> Iterator[int]:
    """Let batch norms keep the mean statistics of a set, gone through in a few pieces; the number of each when it is done."""
    for norm in _batch_norms(network):
        norm.reset_running_stats()
        norm.train()
    for number, indices in enumerate(torch.arange(len(data)).chunk(num_pieces(data))):
        with torch.no_grad():
            network(data.batch(indices)[0])
        yield number
    network.eval()


def has_statistics(network: nn.Module) -> bool:
    """Whether anything in a network normalises by statistics of other images."""
    return bool(_batch_norms(network))


def num_pieces(data: LabelledSet) -> int:
    """Pieces that statistics of a set are taken in."""
    return -(-len(data) // _PIECE_OF_STATISTICS)


def sample(data: LabelledSet, count: int) -> LabelledSet:
    """At most `count` images of a set, always the same."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return data.subset(order[:count].sort()[0])


def weights_from_file(file: str, network: nn.Module) -> dict[str, Tensor]:
    """Weights by name for a network that `make_network` made, and statistics of batch norms where the file has them.

    Raises ConfigError where the file is missing or no safetensors file, or where a tensor is missing, not of the network, or of
    another shape.
    """
    path = path_of(file)
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"The teacher's weights file '{file}' cannot be read as safetensors ({error}).") from error
    wanted = network.state_dict()
    needed = [name for name in wanted if not name.endswith(STATISTICS)]
    statistics = [name for name in wanted if name.endswith(("running_mean", "running_var"))]
    if any(name in found for name in statistics):
        needed += statistics
    missing = [name for name in needed if name not in found]
    extra = [name for name in found if name not in wanted]
    advice = "Choose the network, depth, width, norm and dimensions that the file was made with."
    if missing or extra:
        what = (
            f"has no tensor '{missing[0]}'" if missing else f"has a tensor '{extra[0]}' that the network does not have"
        )
        raise ConfigError(f"The teacher's weights file '{file}' {what}. {advice}")
    for name in needed:
        theirs, ours = tuple(found[name].shape), tuple(wanted[name].shape)
        if theirs != ours:
            raise ConfigError(
                f"The teacher's weights file '{file}' holds '{name}' of shape {theirs}; the network's is {ours}. {advice}"
            )
    return found


def path_of(file: str) -> Path:
    """The path of a config's weights file. Raises ConfigError where there is no such file."""
    advice = "Give the path of a .safetensors file, or choose a teacher that is trained here."
    if not file:
        raise ConfigError(f"The teacher comes from a file, but no weights file is named. {advice}")
    try:
        path = Path(file).expanduser()
    except RuntimeError:
        raise ConfigError(f"The teacher's weights file '{file}' names a home that is not on this machine.") from None
    if not path.is_file():
        raise ConfigError(f"The teacher's weights file '{file}' is not there. {advice}")
    return path


def imagenet_weights() -> dict[str, Tensor]:
    """torchvision's weights of ResNet18, from where PyTorch keeps them, else downloaded. Raises DataError where that fails."""
    from engine.data.torchvision_compat import models

    weights = models.ResNet18_Weights.IMAGENET1K_V1
    try:
        found = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise DataError(
            f"torchvision's ImageNet weights are not on this machine and could not be downloaded ({error}). Put "
            f"{weights.url} into {folder}, or choose a teacher that is trained here."
        ) from error
    return {f"1.{name}": tensor for name, tensor in found.items() if not name.startswith("fc.")}


def _batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
