"""Random augmentations of images, differentiable in the images.

Random numbers are drawn on the CPU, so every device sees the same ones.

    changed = augmentation("dsa")(inputs, generator)

Sources:
    DSA: Zhao and Bilen 2021, arXiv:2102.08259, with the published parameters (color_crop_cutout_flip_scale_rotate).
    flip_rotate: PoDD, Shul et al. 2024, arXiv:2403.12040.
    FRePo: Zhou et al. 2022, arXiv:2206.00719, as in its code: zoom, shift and turn repeat the border.
    flip, crop: the usual augmentation for CIFAR; a reflected border of 4 pixels from 28 pixels a side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.data_config import DSA_OPERATIONS
from engine.core.errors import ConfigError

MAX_DEGREES, MAX_SCALE = 15.0, 1.2
MAX_ZOOM, MAX_JITTER, HOLE_SHARE = 1.25, 0.25, 0.25
DSA_CROP_SHARE, CUTOUT_SHARE = 0.125, 0.5


class Step(NamedTuple):
    """One operation and its numbers in [0, 1): (N, k) float64, or (1, k) if the whole batch shares them."""

    operation: str
    numbers: Tensor


Draw = tuple[Step, ...]


class Operation(NamedTuple):
    """`apply(inputs (N, C, H, W), numbers (N, k))` gives the same shape; `num_numbers` is k."""

    num_numbers: int
    apply: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Named OPERATIONS, all in order, or one_at_a_time: each call applies one of them to the whole batch.

    same_for_batch: all images of a call share their numbers (siamese augmentation), else each has its own.
    """

    operations: tuple[str, ...]
    one_at_a_time: bool = False
    same_for_batch: bool = False

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented inputs (N, C, H, W), by numbers drawn from a CPU generator."""
        return self.apply(inputs, self.draw(inputs.shape, generator))

    def alike(self) -> Augmentation:
        """The same augmentation with one draw for all images of a call."""
        return replace(self, same_for_batch=True)

    def draw(self, shape: torch.Size | tuple[int, ...], generator: torch.Generator) -> Draw:
        """The random numbers for inputs of a shape (N, C, H, W)."""
        names = self.operations
        if self.one_at_a_time and names:
            names = (names[int(torch.randint(len(names), (), generator=generator))],)
        rows = 1 if self.same_for_batch else shape[0]
        # always float64: inputs of any precision get the same choices from a generator
        sizes = [(rows, OPERATIONS[name].num_numbers) for name in names]
        numbers = [torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes]
        return tuple(Step(name, drawn) for name, drawn in zip(names, numbers, strict=True))

    def apply(self, inputs: Tensor, draw: Draw) -> Tensor:
        """Augment inputs (N, C, H, W) by numbers drawn before; differentiable, not in place."""
        for name, numbers in draw:
            numbers = numbers.expand(len(inputs), -1).to(inputs.device)
            inputs = OPERATIONS[name].apply(inputs, numbers)
        return inputs


def augmentation(name: str, dsa_operations: Sequence[str] = DSA_OPERATIONS) -> Augmentation:
    """The augmentation of a DataConfig; "none" changes nothing. Raises ConfigError for an unknown name."""
    if name == "dsa":
        return dsa(dsa_operations)
    if name not in _NAMED:
        raise ConfigError(f"There is no augmentation '{name}'; choose one of {', '.join((*_NAMED, 'dsa'))}.")
    return _NAMED[name]


def dsa(operations: Sequence[str] = DSA_OPERATIONS) -> Augmentation:
    """Differentiable siamese augmentation: one operation per call. Raises ConfigError for none or an unknown one."""
    unknown = [name for name in operations if name not in DSA_OPERATIONS]
    if unknown or not operations:
        missed = f"DSA has no operation '{unknown[0]}'" if unknown else "DSA needs at least one operation"
        raise ConfigError(f"{missed}; choose among {', '.join(DSA_OPERATIONS)}.")
    own = tuple("crop_zeros" if name == "crop" else name for name in operations)
    return Augmentation(own, one_at_a_time=True)


def frepo_augmentation(mirrors: bool = True) -> Augmentation:
    """FRePo's: one operation per call, each image with its own numbers. mirrors: False for digits and grey images."""
    return Augmentation(("flip", *_FREPO) if mirrors else _FREPO, one_at_a_time=True)


def flip(inputs: Tensor, numbers: Tensor) -> Tensor:
    """Flip images horizontally whose number (N, 1) is below one half."""
    return torch.where(_column(numbers, 0) < 0.5, inputs.flip(3), inputs)


def crop(inputs: Tensor, numbers: Tensor) -> Tensor:
    """Shift by whole pixels with a reflected border: at most 4 pixels, or an eighth of a side below 28 pixels."""
    side = min(inputs.shape[2:])
    reach = 4 if side >= 28 else max(1, side // 8)
    return _shifted(F.pad(inputs, (reach,) * 4, mode="reflect"), inputs.shape, numbers, reach)


def crop_zeros(inputs: Tensor, numbers: Tensor) -> Tensor:
    """DSA's crop: shift by whole pixels, up to an eighth of a side, with a border of zeros."""
    reach = int(min(inputs.shape[2:]) * DSA_CROP_SHARE + 0.5)
    return _shifted(F.pad(inputs, (reach,) * 4), inputs.shape, numbers, reach)


def rotate(inputs: Tensor, numbers: Tensor, outside: str = "zeros") -> Tensor:
    """Rotate by up to 15 degrees either way, bilinear; outside: "zeros", or "border" for the nearest pixel."""
    angles = (numbers[:, 0] * 2 - 1) * math.radians(MAX_DEGREES)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    return _warped(inputs, torch.stack([cos, -sin, zero, sin, cos, zero], 1).reshape(-1, 2, 3), outside)


def scale(inputs: Tensor, numbers: Tensor) -> Tensor:
    """Scale the sampling grid along each axis by a factor uniform in 1/1.2 .. 1.2, bilinear, zeros outside."""
    factors = numbers * (MAX_SCALE - 1 / MAX_SCALE) + 1 / MAX_SCALE
    zero = torch.zeros_like(factors[:, 0])
    return _warped(inputs, torch.stack([factors[:, 0], zero, zero, zero, factors[:, 1], zero], 1).reshape(-1, 2, 3))


def color(inputs: Tensor, numbers: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast, by numbers (N, 3); saturation does not change grey images.

    x + (u − 1/2);  (x − m_c) · 2u + m_c, m_c the mean over channels;  (x − m) · (u + 1/2) + m, m the mean of the image.
    """
    numbers = numbers.to(inputs.dtype)
    inputs = inputs + (_column(numbers, 0) - 0.5)
    grey = inputs.mean(1, keepdim=True)
    inputs = (inputs - grey) * (2 * _column(numbers, 1)) + grey
    mean = inputs.mean((1, 2, 3), keepdim=True)
    return (inputs - mean) * (_column(numbers, 2) + 0.5) + mean


def zoom(inputs: Tensor, numbers: Tensor) -> Tensor:
    """FRePo's crop: enlarge by a factor z, log-uniform in 0.8 .. 1.25, and shift by up to |z − 1| / 2z of a side."""
    factors = MAX_ZOOM ** (2 * numbers[:, 0] - 1)
    reach, zero = (factors - 1).abs() / factors, torch.zeros_like(factors)
    down, across = (reach * (2 * numbers[:, place] - 1) for place in (1, 2))
    matrices = torch.stack([1 / factors, zero, across, zero, 1 / factors, down], 1)
    return _warped(inputs, matrices.reshape(-1, 2, 3), "border")


def shift(inputs: Tensor, numbers: Tensor) -> Tensor:
    """FRePo's shift by up to an eighth of a side along each axis, bilinear."""
    moved = 2 * DSA_CROP_SHARE * (2 * numbers - 1)  # a side is 2 units
    one, zero = torch.ones_like(moved[:, 0]), torch.zeros_like(moved[:, 0])
    matrices = torch.stack([one, zero, moved[:, 0], zero, one, moved[:, 1]], 1)
    return _warped(inputs, matrices.reshape(-1, 2, 3), "border")


def jitter(inputs: Tensor, numbers: Tensor) -> Tensor:
    """FRePo's colours, by numbers (N, 3): add b, then scale around the image's mean, then around each pixel's.

    b is uniform in ±1/4, both factors log-uniform in e^−1/4 .. e^1/4.
    """
    levels = MAX_JITTER * (2 * numbers.to(inputs.dtype) - 1)
    inputs = inputs + _column(levels, 0)
    for place, dims in ((1, (1, 2, 3)), (2, (1,))):
        mean = inputs.mean(dims, keepdim=True)
        inputs = (inputs - mean) * _column(levels, place).exp() + mean
    return inputs


def hole(inputs: Tensor, numbers: Tensor) -> Tensor:
    """FRePo's cutout: set a box of a quarter of the sides, all inside the image, to zero."""
    inside = []
    for side, drawn in zip(inputs.shape[2:], numbers.unbind(1), strict=True):
        length = int(side * HOLE_SHARE)
        first = (drawn * (side - length + 1)).long()[:, None]
        positions = torch.arange(side, device=numbers.device)
        inside.append((positions >= first) & (positions < first + length))
    rows, columns = inside
    return inputs.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def cutout(inputs: Tensor, numbers: Tensor) -> Tensor:
    """Set a box of half the sides to zero; its centre lies anywhere in the image."""
    height, width = inputs.shape[2:]
    rows, columns = _inside_box(height, numbers[:, 0]), _inside_box(width, numbers[:, 1])
    return inputs.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


OPERATIONS: dict[str, Operation] = {
    "flip": Operation(1, flip),
    "crop": Operation(2, crop),
    "crop_zeros": Operation(2, crop_zeros),
    "rotate": Operation(1, rotate),
    "scale": Operation(2, scale),
    "color": Operation(3, color),
    "cutout": Operation(2, cutout),
    "zoom": Operation(3, zoom),
    "shift": Operation(2, shift),
    "turn": Operation(1, partial(rotate, outside="border")),
    "jitter": Operation(3, jitter),
    "hole": Operation(2, hole),
}
_FREPO = ("jitter", "zoom", "turn", "shift", "hole")

_NAMED = {
    "none": Augmentation(()),
    "flip": Augmentation(("flip",)),
    "crop": Augmentation(("crop",)),
    "flip_crop": Augmentation(("flip", "crop")),
    "flip_rotate": Augmentation(("flip", "rotate"), one_at_a_time=True),
}


def _column(numbers: Tensor, index: int) -> Tensor:
    """One number per image, (N, 1, 1, 1)."""
    return numbers[:, index, None, None, None]


def _shifted(padded: Tensor, shape: torch.Size, numbers: Tensor, reach: int) -> Tensor:
    """Windows of a shape cut from images padded by `reach`, each at its own offset in 0 .. 2 · reach."""
    num_images, num_channels, height, width = shape
    offsets = (numbers * (2 * reach + 1)).long()
    rows = offsets[:, :1] + torch.arange(height, device=padded.device)
    columns = offsets[:, 1:] + torch.arange(width, device=padded.device)
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, num_channels, -1, padded.shape[3]))
    return padded.gather(3, columns[:, None, None, :].expand(-1, num_channels, height, -1))


def _warped(inputs: Tensor, matrices: Tensor, outside: str = "zeros") -> Tensor:
    """Inputs resampled on grids transformed by (N, 2, 3) matrices."""
    grid = F.affine_grid(matrices.to(inputs.dtype), list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def _inside_box(side: int, numbers: Tensor) -> Tensor:
    """Whether each of `side` positions lies in the cut-out box: (N, side)."""
    length = int(side * CUTOUT_SHARE + 0.5)
    centres = (numbers * (side + 1 - length % 2)).long()  # an even box may be centred on the far edge too
    positions = torch.arange(side, device=numbers.device)
    first = centres[:, None] - length // 2
    return (positions >= first) & (positions < first + length)
