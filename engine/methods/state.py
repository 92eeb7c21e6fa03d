"""What a run carries from one outer step to the next, as named tensors and numbers."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from engine.meta.outer import Outer
from engine.synthetic.base import SyntheticSet


class Best:
    """The set with the best validation result so far."""

    def __init__(self) -> None:
        self.merit, self.step = -1.0, 0
        self.state: dict[str, Tensor] = {}

    def offer(self, found: float, step: int, synthetic: SyntheticSet) -> None:
        if found >= self.merit or not self.state:  # ties go to the later set
            self.merit, self.step = found, step
            self.state = {name: value.detach().clone() for name, value in synthetic.state_dict().items()}

    def put_back(self, synthetic: SyntheticSet) -> bool:
        """Restore the best set; returns whether there is one."""
        if self.state:
            synthetic.load_state_dict(self.state)
            synthetic.step = self.step
        return bool(self.state)


def snapshot(
    step: int, synthetic: SyntheticSet, outer: Outer, best: Best, further: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Copies of everything that step `step` + 1 needs, and `further`: {name: tensor or number}."""
    state: dict[str, Any] = {"step": step, "best.accuracy": best.merit, "best.step": best.step}
    state |= {f"synthetic.{name}": value.detach().clone() for name, value in synthetic.state_dict().items()}
    for number, moments in enumerate(outer.moments):
        state |= {f"outer.{number}.{name}": value.detach().clone() for name, value in moments.items()}
    state |= {f"best.state.{name}": value for name, value in best.state.items()}
    return state | synthetic.to_resume() | dict(further or {})


def restore(state: dict[str, Any] | None, synthetic: SyntheticSet, outer: Outer, best: Best) -> int:
    """Restore a snapshot; returns the number of outer steps done."""
    if state is None:
        return 0

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    synthetic.load_state_dict(part("synthetic."))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in part("outer.").items():
        number, name = key.split(".", 1)
        moments.setdefault(int(number), {})[name] = value.clone()
    outer.resume(moments)
    best.merit, best.step, best.state = state["best.accuracy"], state["best.step"], part("best.state.")
    return state["step"]
