"""Predefined augmentations: fixed changes of images, drawn once, so that a changed image has a representation of its own.

The same change is made to every image, by numbers that a result's file keeps; differentiable in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.augment import color
from engine.errors import ConfigError

PredefinedName = Literal["rotate_90", "rotate_180", "rotate_270", "flip", "jitter", "crop", "blur"]
NAMES: tuple[PredefinedName, ...] = get_args(PredefinedName)

QUARTERS = {"rotate_90": 1, "rotate_180": 2, "rotate_270": 3}
"""Quarter turns, against the clock."""

NUM_NUMBERS = {"jitter": 3, "crop": 3, "blur": 2}
"""Numbers of the augmentations that have any."""


@dataclass(frozen=True)
class Predefined:
    """One fixed change of images, by its name and its numbers.

    numbers: of "jitter" brightness, saturation and contrast in 0..1, one half for no change, as in DSA's `color`; of
    "crop" the share of the area that is shown and its place by rows and columns, 0..1 of what room there is; of "blur"
    the kernel's side and deviation in pixels; none of the others.

    Raises ConfigError where the numbers are none of the change's.
    """

    name: PredefinedName
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        values, wanted = self.numbers, NUM_NUMBERS.get(self.name, 0)
        if self.name not in NAMES:
            raise ConfigError(f"There is no augmentation '{self.name}'; choose among {', '.join(NAMES)}.")
        if len(values) != wanted or not all(math.isfinite(value) for value in values):
            raise ConfigError(f"The augmentation '{self.name}' has {wanted} numbers, not {list(values)}.")
        if self.name in ("jitter", "crop") and not all(0 <= value <= 1 for value in values):
            raise ConfigError(f"The numbers of the augmentation '{self.name}' are from 0 to 1, not {list(values)}.")
        if self.name == "crop" and values[0] == 0:
            raise ConfigError("A crop shows some share of the image. Choose a share above 0.")
        if self.name == "blur" and (values[0] < 1 or values[0] % 2 != 1 or values[1] <= 0):
            raise ConfigError(
                f"A blur has a kernel of an odd number of pixels and a deviation above 0, not {list(values)}. Choose others."
            )

    def __call__(self, inputs: Tensor) -> Tensor:
        """Inputs (N, C, H, W), prepared, all changed alike; the same shape. Raises ConfigError as `check` does."""
        self.check(tuple(inputs.shape[1:]))
        if self.name in QUARTERS:
            return inputs.rot90(QUARTERS[self.name], (2, 3))
        if self.name == "flip":
            return inputs.flip(3)
        if self.name == "jitter":
            return color(inputs, inputs.new_tensor([self.numbers]))
        return _crop(inputs, *self.numbers) if self.name == "crop" else _blur(inputs, *self.numbers)

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Raise ConfigError where images of shape (C, H, W) cannot be changed so."""
        height, width = sample_shape[1:]
        if self.name in ("rotate_90", "rotate_270") and height != width:
            raise ConfigError(
                f"A turn by {self.name.removeprefix('rotate_')} degrees needs square images, these are {height} x {width} pixels. "
                f"Leave out rotate_90 and rotate_270."
            )
        if self.name == "blur" and self.numbers[0] // 2 >= min(height, width):
            raise ConfigError(
                f"A blur by a kernel of {self.numbers[0]:.0f} pixels needs larger images than {height} x {width}. "
                f"Choose a kernel of {2 * min(height, width) - 1} pixels or less."
            )


def predefined(
    names: Sequence[PredefinedName], *, jitter: float, crop_scale: float, blur_kernel: int, blur_sigma: float, seed: int
) -> tuple[Predefined, ...]:
    """The augmentations of these names, in their order.

    An augmentation is the same whatever others are chosen beside it.

    Args:
        jitter: strength in 0..1; brightness, saturation and contrast are uniform in 1/2 - jitter/2 .. 1/2 + jitter/2.
        crop_scale: share of the area that the crop shows.
        blur_kernel: side of the kernel in pixels, odd.
        blur_sigma: its deviation in pixels.
        seed: of the jitter's numbers and of the crop's place.
    """
    drawn = torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    colours = 0.5 + jitter * (drawn[:3] - 0.5)
    numbers = {
        "jitter": tuple(colours.tolist()),
        "crop": (float(crop_scale), *drawn[3:].tolist()),
        "blur": (float(blur_kernel), float(blur_sigma)),
    }
    return tuple(Predefined(name, numbers.get(name, ())) for name in names)


def _crop(inputs: Tensor, share: float, down: float, right: float) -> Tensor:
    """The window of a share of the area, as wide for its height as the image, enlarged to the image's size."""
    height, width = inputs.shape[2:]
    rows, columns = (max(1, round(side * math.sqrt(share))) for side in (height, width))
    top, left = round(down * (height - rows)), round(right * (width - columns))
    window = inputs[:, :, top : top + rows, left : left + columns]
    return F.interpolate(window, (height, width), mode="bilinear", align_corners=False)


def _blur(inputs: Tensor, kernel: float, sigma: float) -> Tensor:
    """Each pixel the Gaussian mean of those around it, the border reflected."""
    reach = int(kernel) // 2
    places = torch.arange(-reach, reach + 1, dtype=inputs.dtype, device=inputs.device)
    weights = (-(places**2) / (2 * sigma**2)).exp()
    weights = (weights / weights.sum()).expand(inputs.shape[1], 1, 1, -1)  # (C, 1, 1, kernel)
    padded = F.pad(inputs, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights, groups=inputs.shape[1])
    return F.conv2d(rows, weights.transpose(2, 3), groups=inputs.shape[1])
