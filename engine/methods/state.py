"""What a run must remember between two outer steps, as named tensors and numbers; the same for several methods."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.meta import optimiser_state
from engine.synthetic.base import SyntheticSet


class Best:
    """The set that did best on validation data so far."""

    def __init__(self) -> None:
        self.merit, self.step, self.state = -1.0, 0, {}

    def offer(self, found: float, step: int, synthetic: SyntheticSet) -> None:
        if found >= self.merit or not self.state:  # ties go to the later set
            self.merit, self.step = found, step
            self.state = {name: value.detach().clone() for name, value in synthetic.state_dict().items()}

    def put_back(self, synthetic: SyntheticSet) -> bool:
        """Make a set what did best again; whether any was tried."""
        if self.state:
            synthetic.load_state_dict(self.state)
            synthetic.step = self.step
        return bool(self.state)


def snapshot(step: int, synthetic: SyntheticSet, outer: torch.optim.Optimizer, best: Best) -> dict[str, Any]:
    """Copies of everything that step `step` + 1 needs: {name: tensor or number}."""
    state: dict[str, Any] = {"step": step, "best.accuracy": best.merit, "best.step": best.step}
    state |= {f"synthetic.{name}": value.detach().clone() for name, value in synthetic.state_dict().items()}
    state |= {f"outer.{name}": value for name, value in optimiser_state.export_state(outer).items()}
    state |= {f"best.state.{name}": value for name, value in best.state.items()}
    return state


def restore(state: dict[str, Any] | None, synthetic: SyntheticSet, outer: torch.optim.Optimizer, best: Best) -> int:
    """Put a snapshot back; the number of outer steps already done."""
    if state is None:
        return 0

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    synthetic.load_state_dict(part("synthetic."))
    optimiser_state.import_state(outer, part("outer."))
    best.merit, best.step, best.state = state["best.accuracy"], state["best.step"], part("best.state.")
    return state["step"]
