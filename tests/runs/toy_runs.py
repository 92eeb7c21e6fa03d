"""A run that takes microseconds: the runner that the tests of the store and the worker hand to `execute`.

Its state is one vector; outer step k adds draws that depend on the seed and on k alone, as the engine's methods do, so
that a resumed run can be compared bit by bit with one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

from engine.core.checkpoint import write_atomically
from engine.core.config import RunRequest
from engine.core.context import Context
from engine.core.events import Checkpoint, Finished, Measured, Preview, Progress, Scored, Started, Warned


class ToySet:
    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def save(self, path: Path) -> None:
        write_atomically(path, save({"values": self.values}))


def toy_runner(
    steps: int = 10,
    *,
    pause: float = 0.0,
    before: Callable[[int], None] = lambda step: None,
    num_students: int = 2,
    student_pause: float = 0.0,
):
    """A runner of `steps` outer steps of `pause` seconds. `before(step)` is called ahead of each, and may raise."""

    def run(request: RunRequest, context: Context):
        yield Progress("prepare", 0, 1)
        yield Started(steps, {"device": str(context.device)})
        values, first = torch.zeros(4, dtype=torch.float64), 0
        if context.resume_from is not None:
            values, first = context.resume_from["values"].clone(), context.resume_from["step"]
        if first == 0:
            yield _preview(0)
        for step in range(first, steps):
            before(step)
            time.sleep(pause)
            values += torch.randn(4, generator=context.stream("toy", step), dtype=torch.float64)
            done = step + 1
            yield Measured(done, {"loss": values.abs().sum().item()} | ({"accuracy": 0.5} if done % 5 == 0 else {}))
            if done % 2 == 0:
                yield _preview(done)
            yield Checkpoint(done, lambda done=done, values=values: {"values": values, "step": done}, ToySet(values))
        for seed in range(num_students):
            yield Progress("train students", seed, num_students)
            time.sleep(student_pause)
            yield Scored("distilled", "ordinary", "mlp", seed, "accuracy", 0.5 + seed / 10, 0.1)
        yield Warned("That was a toy.")
        yield Finished({"num_bytes": 32})
        return ToySet(values)

    return run


def result_values(store, run_id: str) -> torch.Tensor:
    return load_file(store.result(run_id))["values"]


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Poll until the condition holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def _preview(step: int) -> Preview:
    return Preview(step, np.full((2, 3, 3, 1), step % 256, np.uint8), ("null", "eins"))
