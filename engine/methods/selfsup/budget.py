"""How many images, bases and augmentations a set has: as the settings say, or as many as a budget of bytes holds.

The rule of a budget: numbers of images, of image bases and of representation bases keep the proportions of the
settings, and are the largest that fit into nine tenths of the bytes (all of them without augmentations). The rest goes
to approximation networks: as many augmentations are kept as fit, those whose networks leave the smallest error when
the set starts. Pairs in full are as many as fit. A number takes 2 bytes (float16), a pixel that is stored in full 1 as
one of 256 codes, whose scales take 8 per channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from engine.core.config import Task
from engine.core.errors import ConfigError
from engine.synthetic.bases import basis_shape, num_in_bases
from engine.synthetic.storage import CHANNEL_BYTES

if TYPE_CHECKING:
    from engine.methods.selfsup.config import SelfsupConfig

OF_BASES = 0.9
"""Share of a budget for images and representations, where there are augmentations."""


class Counts(NamedTuple):
    """What a set is made of."""

    num_images: int
    image_bases: int
    representation_bases: int
    num_augmentations: int


def counts_of(config: SelfsupConfig, spec: Task) -> Counts:
    """The numbers of a config for a task. Raises ConfigError for a budget in which no image fits."""
    asked = Counts(config.num_images, config.image_bases, config.representation_bases, config.num_candidates)
    budget, num_dims = config.byte_budget, config.num_dims
    if not budget:
        return asked
    if config.parameterisation == "full":
        pair, codes = math.prod(spec.sample_shape) + 2 * num_dims, CHANNEL_BYTES * spec.sample_shape[0]
        return Counts(_largest(budget, lambda count: count * pair + codes), 0, 0, 0)
    pixels = math.prod(basis_shape(spec.sample_shape, config.basis_size))

    def in_proportion(num_images: int) -> Counts:
        share = num_images / asked.num_images
        of_images, of_representations = (max(1, round(share * number)) for number in asked[1:3])
        return Counts(num_images, min(of_images, pixels), min(of_representations, num_dims), 0)

    def num_bytes(num_images: int) -> int:
        found = in_proportion(num_images)
        values = num_in_bases(num_images, found.image_bases, pixels)
        return 2 * (values + num_in_bases(num_images, found.representation_bases, num_dims))

    num_images = _largest(budget, num_bytes, OF_BASES if asked.num_augmentations else 1.0)
    found = in_proportion(num_images)
    network = 2 * network_values(found.representation_bases, config.hidden_dims)
    left = int(budget - num_bytes(num_images)) // network
    return found._replace(num_augmentations=min(asked.num_augmentations, left))


def network_values(num_bases: int, hidden_dims: int) -> int:
    """Numbers of an approximation network."""
    return 2 * num_bases * hidden_dims + hidden_dims + num_bases


def _largest(budget: int, num_bytes: Callable[[int], int], share: float = 1.0) -> int:
    """The largest count, at least 1, that fits into a share of the budget; bytes grow with the count."""
    if num_bytes(1) > share * budget:
        needed = f"{math.ceil(num_bytes(1) / share):,} bytes are needed for one image with its representation"
        raise ConfigError(f"The byte budget is too small: {needed}. Raise it, or lower the number of bases per image.")
    low, high = 1, budget + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if num_bytes(middle) <= share * budget else (low, middle)
    return low
