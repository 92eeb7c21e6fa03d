"""ConvNet-D: the field's standard student, D blocks of convolution, normalisation, activation and pooling.

Source: Zhao et al. 2021 (arXiv:2006.05929), Gidaris & Komodakis 2018. D3 of width 128 has 320,010 weights there. Here a
convolution has no bias if a normalisation follows: that would cancel it, and Adam would amplify the noise in its
vanishing gradient.
"""

from torch import nn

from engine.core.errors import ConfigError
from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets.layers import ConvNetLayers, Convolution, InstanceNorm

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "swish": nn.SiLU,
}


def build(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """A ConvNet for (C, H, W) samples. Raises ConfigError if the image is too small for so many poolings."""
    channels, height, width = image_shape(spec, "convnet")
    halvings = 0 if config.pooling == "none" else config.depth
    if min(height, width) >> halvings < 1:
        allowed = f"{height} x {width} pixels allow {min(height, width).bit_length() - 1}"
        problem = f"ConvNet of depth {config.depth} halves the image {halvings} times, but {allowed}."
        raise ConfigError(f"{problem} Lower the depth, or choose pooling 'none'.")
    layers: list[nn.Module] = []
    for block in range(config.depth):
        wide = config.width * config.growth**block
        layers.append(Convolution(channels, wide, bias=config.norm == "none", reads_samples=not block))
        layers += [*normalisation(config.norm, wide), activation(config.activation)]
        if config.pooling != "none":
            layers.append(nn.AvgPool2d(2) if config.pooling == "average" else nn.MaxPool2d(2))
        channels = wide
    features = channels * (height >> halvings) * (width >> halvings)
    return ConvNetLayers(*layers, nn.Flatten(), nn.Linear(features, spec.num_outputs))


def image_shape(spec: TaskSpec, name: str, smallest: int = 1) -> tuple[int, int, int]:
    """(C, H, W) of the samples. Raises ConfigError if they are not images, or have a side below `smallest` pixels."""
    if len(spec.sample_shape) != 3:
        raise ConfigError(
            f"Student '{name}' takes images, but these samples have shape {spec.sample_shape}. Choose another student."
        )
    channels, height, width = spec.sample_shape
    if min(height, width) < smallest:
        problem = f"Student '{name}' needs images of at least {smallest} x {smallest} pixels;"
        raise ConfigError(f"{problem} these have {height} x {width}. Choose 'convnet' or 'mlp'.")
    return channels, height, width


def activation(name: str) -> nn.Module:
    """The layer of the option `activation`."""
    return ACTIVATIONS[name]()


def normalisation(name: str, width: int) -> list[nn.Module]:
    """The layers of the option `norm` for `width` channels."""
    if name == "none":
        return []
    if name == "batch":  # running statistics would be hidden state; `Student.fixed` adds them after training
        return [nn.BatchNorm2d(width, track_running_stats=False)]
    if name == "instance":
        return [InstanceNorm(width)]
    groups = {"layer": 1, "group": next(g for g in (4, 2, 1) if width % g == 0)}[name]
    return [nn.GroupNorm(groups, width)]
