"""Predefined augmentations: fixed changes of images, drawn once, so that a changed image has a representation of its own.

The same change is made to every image, by numbers that a result's file keeps; differentiable in the image. Optimal ones
are another matter: they come of all images and their representations, and are detached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.errors import ConfigError
from engine.data.transforms.augment import color
from engine.data.transforms.optimal import Kernel, optimal

PredefinedName = Literal["rotate_90", "rotate_180", "rotate_270", "flip", "jitter", "crop", "blur"]
NAMES: tuple[PredefinedName, ...] = get_args(PredefinedName)
OptimalName = Literal["optimal_1", "optimal_2", "optimal_3"]
OPTIMAL: tuple[OptimalName, ...] = get_args(OptimalName)
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

QUARTERS = {"rotate_90": 1, "rotate_180": 2, "rotate_270": 3}
"""Quarter turns, against the clock."""

NUM_NUMBERS = {"jitter": 3, "crop": 3, "blur": 2} | dict.fromkeys(OPTIMAL, 5)
"""Numbers of the augmentations that have any."""


@dataclass(frozen=True)
class Predefined:
    """One fixed change of images, by its name and its numbers.

    numbers: of "jitter" brightness, saturation and contrast in 0..1, one half for no change, as in DSA's `color`; of
    "crop" the share of the area that is shown and its place by rows and columns, 0..1 of what room there is; of "blur"
    the kernel's side and deviation in pixels; of the optimal ones the place of the kernel in KERNELS, its gamma, lambda,
    mu (as `optimal` has them), and the share of the way from an image to what `optimal` makes of it; none of the others.

    An optimal one is a function of a whole set of images and representations, not of one image: always the same for the
    same set, another for some images of it. Its images are detached; those of the others are differentiable.

    Raises ConfigError where the numbers are none of the change's.
    """

    name: PredefinedName | OptimalName
    numbers: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        values, wanted = self.numbers, NUM_NUMBERS.get(self.name, 0)
        if self.name not in NAMES + OPTIMAL:
            raise ConfigError(f"There is no augmentation '{self.name}'; choose among {', '.join(NAMES + OPTIMAL)}.")
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
        if self.name in OPTIMAL:
            self._check_optimal()

    def __call__(self, inputs: Tensor, representations: Tensor | None = None) -> Tensor:
        """Inputs (N, C, H, W), prepared, all changed alike; the same shape.

        representations: (N, d), theirs, which the optimal ones need and the others ignore.

        Raises ConfigError as `check` does, and for an optimal one without representations.
        """
        self.check(tuple(inputs.shape[1:]))
        if self.name in OPTIMAL:
            return augmented((self,), inputs, representations)[0]
        if self.name in QUARTERS:
            return inputs.rot90(QUARTERS[self.name], (2, 3))
        if self.name == "flip":
            return inputs.flip(3)
        if self.name == "jitter":
            return color(inputs, inputs.new_tensor([self.numbers]))
        return crop(inputs, *self.numbers) if self.name == "crop" else blur(inputs, *self.numbers)

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

    def _check_optimal(self) -> None:
        """Raise ConfigError for numbers that no optimal augmentation has."""
        kernel, gamma, ridge, preimage_ridge, share = self.numbers
        if kernel not in range(len(KERNELS)) or gamma <= 0 or min(ridge, preimage_ridge) < 0 or not 0 < share <= 1:
            raise ConfigError(
                f"An optimal augmentation has a kernel of 0 or 1, a gamma above 0, ridges of 0 or more and a share above 0 and up to 1, "
                f"not {list(self.numbers)}. Choose others."
            )


def augmented(
    augmentations: Sequence[Predefined], inputs: Tensor, representations: Tensor | None = None
) -> list[Tensor]:
    """Inputs (N, C, H, W) under each augmentation, as its call gives them; what optimal ones share is made once."""
    goals: dict[tuple[float, ...], Tensor] = {}
    found = []
    for each in augmentations:
        if each.name in OPTIMAL:
            *way, share = each.numbers
            if tuple(way) not in goals:
                goals[tuple(way)] = _goal(inputs, representations, *way)
            found.append(inputs.detach().lerp(goals[tuple(way)], share))
        else:
            found.append(each(inputs))
    return found


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


def optimal_ones(
    number: int, *, kernel: Kernel, gamma: float, ridge: float, preimage_ridge: float
) -> tuple[Predefined, ...]:
    """So many optimal augmentations (0 to 3) with the arguments of `optimal`; each goes as far again as the first one.

    Number a of A goes the share a / A of the way from an image to what `optimal` makes of it.
    """
    way = (float(KERNELS.index(kernel)), float(gamma), float(ridge), float(preimage_ridge))
    return tuple(Predefined(name, (*way, (place + 1) / number)) for place, name in enumerate(OPTIMAL[:number]))


def _goal(
    inputs: Tensor, representations: Tensor | None, kernel: float, gamma: float, ridge: float, preimage_ridge: float
) -> Tensor:
    """What `optimal` makes of images (N, C, H, W), by the numbers of a Predefined."""
    if representations is None:
        raise ConfigError("An optimal augmentation is made of images and their representations. Give it these too.")
    return optimal(
        inputs,
        representations,
        kernel=KERNELS[int(kernel)],
        gamma=gamma,
        ridge=ridge,
        preimage_ridge=preimage_ridge,
    )


def crop(inputs: Tensor, share: float, down: float, right: float) -> Tensor:
    """The window of a share of the area, as wide for its height as the image, enlarged to the image's size."""
    height, width = inputs.shape[2:]
    rows, columns = (max(1, round(side * math.sqrt(share))) for side in (height, width))
    top, left = round(down * (height - rows)), round(right * (width - columns))
    window = inputs[:, :, top : top + rows, left : left + columns]
    return F.interpolate(window, (height, width), mode="bilinear", align_corners=False)


def blur(inputs: Tensor, kernel: float, sigma: float) -> Tensor:
    """Each pixel the Gaussian mean of those around it, the border reflected."""
    reach = int(kernel) // 2
    places = torch.arange(-reach, reach + 1, dtype=inputs.dtype, device=inputs.device)
    weights = (-(places**2) / (2 * sigma**2)).exp()
    weights = (weights / weights.sum()).expand(inputs.shape[1], 1, 1, -1)  # (C, 1, 1, kernel)
    padded = F.pad(inputs, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights, groups=inputs.shape[1])
    return F.conv2d(rows, weights.transpose(2, 3), groups=inputs.shape[1])
