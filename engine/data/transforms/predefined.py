"""Predefined augmentations: fixed changes, the same for every image, so that augmented images have representations too.

Their numbers are drawn once and stored with the result. Optimal ones depend on all images and their representations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.errors import ConfigError
from engine.data.transforms.augment import color
from engine.data.transforms.optimal import Kernel, optimal

PredefinedName = Literal["rotate_90", "rotate_180", "rotate_270", "flip", "jitter", "crop", "blur", "hue"]
NAMES: tuple[PredefinedName, ...] = get_args(PredefinedName)
OptimalName = Literal["optimal_1", "optimal_2", "optimal_3"]
OPTIMAL: tuple[OptimalName, ...] = get_args(OptimalName)
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

QUARTERS = {"rotate_90": 1, "rotate_180": 2, "rotate_270": 3}  # quarter turns, counter-clockwise

NEEDED = {
    "jitter": (3, "3 numbers from 0 to 1"),
    "crop": (3, "3 numbers from 0 to 1, the first above 0"),
    "blur": (2, "an odd kernel and a standard deviation above 0"),
    "hue": (1, "a turn from -1/2 to 1/2"),
} | dict.fromkeys(OPTIMAL, (5, "kernel 0 or 1, gamma above 0, ridges of at least 0 and a share in (0, 1]"))
"""How many numbers an augmentation has, and which; none if not listed."""


@dataclass(frozen=True)
class Predefined:
    """One fixed augmentation. Raises ConfigError for impossible numbers.

    numbers: of "jitter" brightness, saturation and contrast in [0, 1], 1/2 for no change, as in DSA's `color`; of
    "crop" its share of the area, and its row and column in [0, 1] of the free space; of "blur" the kernel's side and
    standard deviation in pixels; of "hue" the turn as a share of the full circle, in [-1/2, 1/2]; of optimal ones the
    kernel's index in KERNELS, gamma, lambda, mu (see `optimal`), and the share of the way from an image to its optimal
    augmentation.
    """

    name: PredefinedName | OptimalName
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in NAMES + OPTIMAL:
            raise ConfigError(f"There is no augmentation '{self.name}'; choose among {', '.join(NAMES + OPTIMAL)}.")
        count, needed = NEEDED.get(self.name, (0, "no numbers"))
        if len(self.numbers) != count or not self._is_possible():
            raise ConfigError(f"The augmentation '{self.name}' needs {needed}, not {list(self.numbers)}.")

    def _is_possible(self) -> bool:
        values = self.numbers
        if not all(map(math.isfinite, values)):
            return False
        if self.name == "blur":
            return values[0] >= 1 and values[0] % 2 == 1 and values[1] > 0
        if self.name == "hue":
            return abs(values[0]) <= 0.5
        if self.name in OPTIMAL:
            kernel, gamma, *ridges, share = values
            return kernel in range(len(KERNELS)) and gamma > 0 and min(ridges) >= 0 and 0 < share <= 1
        return all(0 <= value <= 1 for value in values) and (self.name != "crop" or values[0] > 0)

    @property
    def strength(self) -> str:
        """How strong it is, in words: a jitter by its largest change, in the unit of its option."""
        values = self.numbers
        if self.name == "blur":
            return f"of {values[0]:g} px, deviation {values[1]:g}"
        if self.name == "jitter":
            return f"of up to {2 * max(abs(value - 0.5) for value in values):.2f}"
        return {"crop": "to {:.0%}", "hue": "by {:+.0%}"}[self.name].format(values[0])

    def __call__(self, inputs: Tensor, representations: Tensor | None = None) -> Tensor:
        """Augmented inputs (N, C, H, W). representations: (N, d), which optimal ones need. Raises ConfigError."""
        self.check(tuple(inputs.shape[1:]))
        if self.name in OPTIMAL:
            return augmented((self,), inputs, representations)[0]
        if self.name in QUARTERS:
            return inputs.rot90(QUARTERS[self.name], (2, 3))
        if self.name == "flip":
            return inputs.flip(3)
        if self.name == "jitter":
            return color(inputs, inputs.new_tensor([self.numbers]))
        if self.name == "crop":
            return crop(inputs, *self.numbers)
        return blur(inputs, *self.numbers) if self.name == "blur" else hue(inputs, *self.numbers)

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Raise ConfigError if images of shape (C, H, W) cannot be augmented like this."""
        height, width = sample_shape[1:]
        if self.name in ("rotate_90", "rotate_270") and height != width:
            turn = f"A turn by {self.name.removeprefix('rotate_')} degrees needs square images"
            raise ConfigError(f"{turn}, these are {height} x {width} pixels. Leave out rotate_90 and rotate_270.")
        if self.name == "hue" and sample_shape[0] != 3:
            raise ConfigError("A turn of the hue changes colour images alone. Leave out hue.")
        if self.name == "blur" and self.numbers[0] // 2 >= min(height, width):
            need = f"A blur kernel of {self.numbers[0]:.0f} pixels needs larger images than {height} x {width}"
            raise ConfigError(f"{need}. Choose a kernel of {2 * min(height, width) - 1} pixels or less.")


def augmented(
    augmentations: Sequence[Predefined], inputs: Tensor, representations: Tensor | None = None
) -> list[Tensor]:
    """Inputs (N, C, H, W) under each augmentation; what optimal ones share is computed once."""

    @cache
    def goal(kernel: float, gamma: float, ridge: float, preimage_ridge: float) -> Tensor:
        if representations is None:
            raise ConfigError("An optimal augmentation needs the images' representations too.")
        ridges = {"ridge": ridge, "preimage_ridge": preimage_ridge}
        return optimal(inputs, representations, kernel=KERNELS[int(kernel)], gamma=gamma, **ridges)

    def one(each: Predefined) -> Tensor:
        if each.name not in OPTIMAL:
            return each(inputs)
        *way, share = each.numbers
        return inputs.detach().lerp(goal(*way), share)

    return [one(each) for each in augmentations]


def predefined(
    names: Sequence[PredefinedName],
    *,
    jitter: Sequence[float],
    crop_scale: Sequence[float],
    blur_kernel: Sequence[float],
    blur_sigma: Sequence[float],
    hue: Sequence[float],
    seed: int,
) -> tuple[Predefined, ...]:
    """The augmentations with these names, in order; each strength is one of its own, kernel by deviation for "blur".

    jitter: widths, in [0, 1], of the range around 1/2 of brightness, saturation and contrast. seed: of these and of the
    position of "crop", the same for all strengths.
    """
    drawn = torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    numbers: dict[str, list[tuple[float, ...]]] = {
        "jitter": [tuple((0.5 + width * (drawn[:3] - 0.5)).tolist()) for width in jitter],
        "crop": [(float(share), *drawn[3:].tolist()) for share in crop_scale],
        "blur": [(float(kernel), float(sigma)) for kernel in blur_kernel for sigma in blur_sigma],
        "hue": [(float(turn),) for turn in hue],
    }
    return tuple(Predefined(name, each) for name in names for each in numbers.get(name, [()]))


def titles(augmentations: Sequence[Predefined]) -> list[str]:
    """The name of each augmentation, with its strength where several have the name."""
    names = [each.name for each in augmentations]
    return [each.name if names.count(each.name) == 1 else f"{each.name} {each.strength}" for each in augmentations]


def optimal_ones(
    number: int, *, kernel: Kernel, gamma: float, ridge: float, preimage_ridge: float
) -> tuple[Predefined, ...]:
    """0 to 3 augmentations by `optimal`: number a of A goes the share a / A of the way from an image to the optimum."""
    way = (float(KERNELS.index(kernel)), float(gamma), float(ridge), float(preimage_ridge))
    return tuple(Predefined(name, (*way, (place + 1) / number)) for place, name in enumerate(OPTIMAL[:number]))


def crop(inputs: Tensor, share: float, down: float, right: float) -> Tensor:
    """A window with a share of the area and the image's aspect ratio, resized to the image's size."""
    height, width = inputs.shape[2:]
    rows, columns = (max(1, round(side * math.sqrt(share))) for side in (height, width))
    top, left = round(down * (height - rows)), round(right * (width - columns))
    window = inputs[:, :, top : top + rows, left : left + columns]
    return F.interpolate(window, (height, width), mode="bilinear", align_corners=False)


def blur(inputs: Tensor, kernel: float, sigma: float) -> Tensor:
    """Gaussian blur with a reflected border."""
    reach = int(kernel) // 2
    places = torch.arange(-reach, reach + 1, dtype=inputs.dtype, device=inputs.device)
    weights = (-(places**2) / (2 * sigma**2)).exp()
    weights = (weights / weights.sum()).expand(inputs.shape[1], 1, 1, -1)  # (C, 1, 1, kernel)
    padded = F.pad(inputs, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights, groups=inputs.shape[1])
    return F.conv2d(rows, weights.transpose(2, 3), groups=inputs.shape[1])


def hue(inputs: Tensor, turn: float) -> Tensor:
    """Colours (N, 3, H, W) turned around the axis of greys by a share of the full circle."""
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn) / math.sqrt(3)
    mean = (1 - cos) / 3
    first, second = mean - sin, mean + sin
    rotation = [[cos + mean, first, second], [second, cos + mean, first], [first, second, cos + mean]]
    return torch.einsum("dc,nchw->ndhw", inputs.new_tensor(rotation), inputs)
