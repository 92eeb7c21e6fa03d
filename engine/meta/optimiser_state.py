"""A torch optimiser's state as named tensors, so that a checkpoint can hold it."""

from __future__ import annotations

import torch
from torch import Tensor


def export_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """{"<parameter number>.<quantity>": tensor} of every per-parameter quantity."""
    return {
        f"{number}.{name}": value.detach().clone()
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def import_state(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `export_state` gave; learning rates and other group options stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value.clone()
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
