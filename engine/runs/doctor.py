"""Health checks of this installation. Each passes, or fails and says what to do."""

import importlib.metadata
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from engine.core import machine
from engine.core.config import EvaluationConfig, RunRequest, StudentConfig
from engine.core.context import Context, data_root, runs_root
from engine.core.errors import UserError
from engine.data import SOURCES, sources
from engine.data.source import TaskSpec
from engine.figures import formats
from engine.meta import ridge, update_rules
from engine.meta.inner import Batch, inner_loop
from engine.methods import METHODS
from engine.nets import make_student
from engine.run import request_from_preset, resolve, run

PACKAGES = ("torch", "torchvision", "streamlit", "plotly", "pydantic", "safetensors", "numpy", "pillow")
LEAST_FREE_BYTES = 500_000_000  # of a disk
LEAST_FREE_MEMORY = 1_000_000_000
LARGEST_DIFFERENCE = 1e-5
"""Relative, in float64: of a gradient to finite differences, of a prediction to a dense solve."""
ONES = ("outer_steps", "num_validations", "validation_students", "previews", "steps_per_epoch", "probe_epochs")
TWOS = ("validation_steps", "pretrain_steps", "pool_size", "pool_steps")
SHORTENED = dict.fromkeys(ONES, 1) | dict.fromkeys(TWOS, 2) | {"fine_tune_steps": 0, "approximation_steps": 5}
"""Option values for a short run, by name."""
TIGHT = "Close other programs; until then choose the digits and small sets."
BRIEF = EvaluationConfig(num_students=1, ordinary_steps=1, inner_steps=10, full_epochs=1)


@dataclass(frozen=True)
class Check:
    """One line of the report; `remedy` is empty where the check passed."""

    name: str
    ok: bool
    finding: str
    remedy: str = ""


def diagnose() -> Iterator[Check]:
    """Check versions, device, gradients, memory, disk and data sets, and run a step of every method; under a minute."""
    device = machine.pick_device()
    yield _attempt("versions", _versions, "Install what requirements.txt lists: pip install -r requirements.txt")
    yield _attempt("device", lambda: _device(device), "Update the driver of the card, or choose the device 'cpu'.")
    reinstall = "Reinstall PyTorch at the version that requirements.txt names."
    yield _attempt("double backward", lambda: _double_backward(device), reinstall)
    yield _attempt("ridge regression", lambda: _ridge(device), reinstall)
    yield _attempt("memory", lambda: _memory(torch.device("cpu")), TIGHT)
    if device.type != "cpu":
        yield _attempt("memory of the card", lambda: _memory(device), TIGHT)
    folders = {"data": data_root(), "runs": runs_root(), "cache": runs_root() / "cache"}
    for name, folder in folders.items():
        variable = "DISTILLERY_DATA" if name == "data" else "DISTILLERY_RUNS"
        remedy = f"Free some space there, or set {variable} to another folder."
        yield _attempt(f"{name} folder", partial(_space, folder), remedy)
    for key, source in sources(data_root()).items():
        available = source.availability(data_root())
        yield Check(f"source {key}", True, f"{available.state}: {available.message}")
    for key in METHODS:
        yield _attempt(f"method {key}", partial(_one_step, key, device), "Please report this with the message.")


def _attempt(name: str, check: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:  # a health check reports whatever happens; nothing is hidden
        finding = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return Check(name, False, finding, remedy)


def _versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def _device(device: torch.device) -> str:
    """The device, after a product of two matrices on it."""
    ones = torch.ones(8, 8, device=device)
    if (ones @ ones).sum().item() != 512:
        raise ArithmeticError(f"a product of two matrices is wrong on '{device}'")
    facts = machine.describe()
    name = facts["gpu"] or facts["processor"]
    return f"{name}, used as '{device}', {facts['cores']} cores, {torch.get_num_threads()} threads"


def _memory(device: torch.device) -> str:
    free, total = machine.available_memory(device), machine.total_memory(device)
    said = f"{formats.num_bytes(free)} of {formats.num_bytes(total)} free"
    if free < LEAST_FREE_MEMORY:
        raise MemoryError(f"only {said}")
    return said


def _double_backward(device: torch.device) -> str:
    """Compare the meta-gradient of three steps with finite differences, in float64 with a smooth student."""
    spec = TaskSpec("classification", (1, 8, 8), 3, ("a", "b", "c"))
    student = make_student(StudentConfig(width=4, depth=2, activation="softplus"), spec, device)
    generator = torch.Generator().manual_seed(0)
    theta = student.init(generator).double()
    images, real = (_drawn((count, 1, 8, 8), generator, device) for count in (3, 5))
    targets = torch.tensor([0, 1, 2], device=device)

    def outer(x: Tensor) -> Tensor:
        batches = [Batch(x, targets, torch.tensor(0.1, dtype=torch.float64, device=device))] * 3
        *_, end = inner_loop(student, theta, batches, update_rules.sgd(), F.cross_entropy, memory="recompute")
        return F.cross_entropy(student(end, real), torch.tensor([0, 1, 2, 0, 1], device=device))

    _check_gradient(outer, images)
    return "equals finite differences"


def _ridge(device: torch.device) -> str:
    """Compare the closed-form regression with a dense solve, and its gradient with finite differences, in float64."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((6, 4), (6, 3), (5, 4))
    features, targets, queries = (_drawn(size, generator, device) for size in sizes)
    phi, psi = (torch.cat([rows, torch.ones_like(rows[:, :1])], 1) for rows in (features, queries))
    strength = 1e-3 * (phi * phi).sum()
    identity = torch.eye(5, dtype=torch.float64, device=device)
    dense = psi @ torch.linalg.solve(phi.T @ phi + strength * identity, phi.T @ targets)
    difference = ((ridge.predict(features, targets, queries, 1e-3) - dense).norm() / dense.norm()).item()
    if difference > LARGEST_DIFFERENCE:
        raise ArithmeticError(f"the prediction differs from a dense solve by {difference:.1e}")
    _check_gradient(lambda x: ridge.predict(x, targets, queries, 1e-3), features)
    return f"equals a dense solve to {difference:.0e}, its gradient finite differences"


def _drawn(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64).to(device)


def _check_gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    """Raise ArithmeticError if a gradient differs from finite differences along a random line."""
    x = at.clone().requires_grad_()
    is_equal = gradcheck(function, x, atol=1e-8, rtol=LARGEST_DIFFERENCE, fast_mode=True, raise_exception=False)
    if not is_equal:
        raise ArithmeticError("the gradient differs from finite differences")


def _space(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.write_text("")
    probe.unlink()
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise OSError(f"only {formats.num_bytes(free)} are free in {folder}")
    return f"{folder}, {formats.num_bytes(free)} free"


def _one_step(method: str, device: torch.device) -> str:
    """A run of one outer step with its comparison, on data that come with the program and briefly recorded networks."""
    source = "simulated_prices" if METHODS[method].result == "forecasts" else "digits"
    preset = request_from_preset(source, method, "quick")
    _, config = resolve(preset)
    options = _shortened(config.for_trial().model_dump(mode="json"))
    request = RunRequest(source=source, method=method, config=options, data=preset.data, evaluation=BRIEF)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:  # a new cache, because a full one could hide a fault
        for _ in run(request, Context(device=device, cache_root=Path(folder))):
            pass
    return f"one step on the {SOURCES[source].title.lower()} in {time.perf_counter() - began:.1f} s"


def _shortened(options: dict[str, Any]) -> dict[str, Any]:
    parts = {name: _shortened(value) for name, value in options.items() if isinstance(value, dict)}
    return {name: SHORTENED.get(name, value) for name, value in options.items()} | parts
