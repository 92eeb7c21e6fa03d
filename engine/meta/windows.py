"""Which steps of a long inner training are differentiated: truncation windows by named schedules.

The student trains `burn_in` steps without a graph, then `length` steps that carry gradient, then it is judged.

    fixed_late          the last `window` steps of the unroll, always
    random_each_step    burn_in ~ U{min_burn_in .. unroll - window}, drawn anew at every outer step (RaT-BPTT)
    random_each_epoch   the same, one draw for each `epoch_steps` outer steps
    growing             burn_in starts at min_burn_in and grows by a window whenever the outer loss has stalled
    random_length       no burn_in, length ~ U{1 .. window}
    adaptive            one window for each `epoch_steps` outer steps, by the inner gradients (AT-BPTT): see `adapted`
    full                the whole unroll

Sources: Feng et al. 2024, arXiv:2311.07025, section 3; the options 0 to 3 of its code, in the order fixed_late,
    growing, random_each_epoch, random_length. AT-BPTT: arXiv:2510.04838, as its released code has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

WindowSchedule = Literal[
    "random_each_step", "random_each_epoch", "fixed_late", "growing", "random_length", "adaptive", "full"
]
STALLS = {1: (0.015, 0.15), 2: (0.01, 0.125)}
"""The gain in accuracy per epoch below which a stage of `adaptive` stalls, and the epochs, as a share of the longest
training, after which the next one begins."""


class Window(NamedTuple):
    """Inner steps without a graph, then inner steps with one."""

    burn_in: int
    length: int


@dataclass(frozen=True)
class Unroll:
    """Limits of the windows, in inner steps: `length` of the longest training, `window` of it differentiated.

    epoch_steps: outer steps per draw of random_each_epoch and adaptive. patience: outer steps without a new lowest loss
    until `growing` grows. spread: by how much the windows of adaptive may be shorter or longer.
    """

    length: int
    window: int
    min_burn_in: int = 0
    epoch_steps: int = 1
    patience: int = 1
    spread: int = 0

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


@dataclass(frozen=True)
class Stage:
    """State of the adaptive schedule: its stage (1 to 3), the epochs that it has stalled for, the accuracy on real data
    of the last epoch, the sum over this one, and the window.
    """

    number: int = 1
    stalled: int = 0
    accuracy: float = 0.0
    total: float = 0.0
    burn_in: int = 0
    length: int = 1

    @property
    def window(self) -> Window:
        return Window(int(self.burn_in), int(self.length))

    def after(self, accuracy: float, step: int, unroll: Unroll) -> Stage:
        """The state after outer step `step`, whose student got `accuracy` on its real batch."""
        total = self.total + accuracy
        if (step + 1) % unroll.epoch_steps:
            return replace(self, total=total)
        mean, (gain, share) = total / unroll.epoch_steps, STALLS.get(int(self.number), (0.0, math.inf))
        stalled = self.stalled + 1 if mean - self.accuracy < gain else 0
        if self.number < 3 and stalled >= share * unroll.length:
            return replace(self, number=self.number + 1, stalled=0, accuracy=mean, total=0.0)
        return replace(self, stalled=stalled, accuracy=mean, total=0.0)


def adapted(stage: Stage, unroll: Unroll, norms: Tensor, generator: torch.Generator) -> Window:
    """The next window of the adaptive schedule.

    norms: (T,) lengths of the inner gradients g_t of one whole training. Early, a start t is drawn with probability
    exp(g_t) / sum, and the window is the longer, the larger |g_t - g_{t-1}| ranks among all. In the middle the start is
    uniform and the window long. Late it is short, and its start is mirrored, so that it lies where gradients are small.
    """
    if stage.number == 2:
        length = unroll.window + unroll.spread
        return Window(_uniform(0, unroll.length - length, generator), length)
    start = int(torch.multinomial(norms.double().softmax(0), 1, generator=generator))
    if stage.number == 1:
        changes = torch.cat([norms.new_zeros(1), norms.diff().abs()])
        rank = int((changes < changes[start]).sum())
        length = unroll.window - unroll.spread + int(2 * unroll.spread * rank / unroll.length)
    else:
        length = unroll.window - unroll.spread
        start = unroll.length - start - length
    return Window(max(0, min(start, unroll.length - length)), length)


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
