"""Which steps of a long inner training are differentiated: truncation windows by named schedules.

The student trains `burn_in` steps without a graph, then `length` steps that carry gradient, then it is judged.

    fixed_late          the last `window` steps of the unroll, always
    random_each_step    burn_in ~ U{min_burn_in .. unroll - window}, drawn anew at every outer step (RaT-BPTT)
    random_each_epoch   the same, one draw for each `epoch_steps` outer steps
    growing             burn_in starts at min_burn_in and grows by a window whenever the outer loss has stalled
    random_length       no burn_in, length ~ U{1 .. window}
    full                the whole unroll

Source: Feng et al. 2024, arXiv:2311.07025, section 3; the options 0 to 3 of its code, in the order fixed_late, growing,
    random_each_epoch, random_length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

WindowSchedule = Literal["random_each_step", "random_each_epoch", "fixed_late", "growing", "random_length", "full"]


class Window(NamedTuple):
    """Inner steps without a graph, then inner steps with one."""

    burn_in: int
    length: int


@dataclass(frozen=True)
class Unroll:
    """Limits of the windows, in inner steps: `length` of the longest training, `window` of it differentiated.

    epoch_steps: outer steps per draw of random_each_epoch. patience: outer steps without a new lowest loss until
    `growing` grows.
    """

    length: int
    window: int
    min_burn_in: int = 0
    epoch_steps: int = 1
    patience: int = 1

    @property
    def max_burn_in(self) -> int:
        return self.length - self.window


@dataclass(frozen=True)
class Growth:
    """State of the growing schedule: its burn-in, the lowest outer loss with it, and the steps since that."""

    burn_in: int
    lowest: float = math.inf
    stalled: int = 0

    def after(self, outer_loss: float, unroll: Unroll) -> Growth:
        """The state after an outer step. Each burn-in has a lowest loss of its own."""
        if outer_loss < self.lowest:
            return Growth(self.burn_in, outer_loss)
        if self.stalled + 1 < unroll.patience or self.burn_in >= unroll.max_burn_in:
            return Growth(self.burn_in, self.lowest, self.stalled + 1)
        return Growth(min(self.burn_in + unroll.window, unroll.max_burn_in))


def window_at(
    schedule: WindowSchedule, unroll: Unroll, step: int, stream: Callable[..., torch.Generator], growth: Growth
) -> Window:
    """The window of an outer step. stream: `Context.stream`; nothing else is random."""
    if schedule == "full":
        return Window(0, unroll.length)
    if schedule == "fixed_late":
        return Window(unroll.max_burn_in, unroll.window)
    if schedule == "growing":
        return Window(growth.burn_in, unroll.window)
    number = step // unroll.epoch_steps if schedule == "random_each_epoch" else step
    generator = stream("window", number)
    if schedule == "random_length":
        return Window(0, _uniform(1, unroll.window, generator))
    return Window(_uniform(unroll.min_burn_in, unroll.max_burn_in, generator), unroll.window)


def _uniform(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number in low..high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
