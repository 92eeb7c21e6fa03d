"""Does everything work here? Each check says ok or failed, and what to do."""

from __future__ import annotations

import importlib.metadata
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from engine import machine
from engine.config import EvaluationConfig, RunRequest, StudentConfig
from engine.context import Context, data_root, runs_root
from engine.data import sources
from engine.data.source import TaskSpec
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.methods import METHODS
from engine.nets import make_student
from engine.run import request_from_preset, run

PACKAGES = ("torch", "torchvision", "streamlit", "plotly", "pydantic", "safetensors", "numpy", "pillow")
LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True)
class Check:
    """One line of the report; `remedy` is empty where the check passed."""

    name: str
    ok: bool
    finding: str
    remedy: str = ""


def diagnose() -> Iterator[Check]:
    """Versions, device, double backward, data folder, memory, disk, and a one-step run of every method."""
    yield Check("versions", True, ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    device = machine.pick_device()
    facts = machine.describe()
    yield Check(
        "device",
        True,
        f"{facts['gpu'] or facts['processor']}, used as '{device}', {facts['cores']} cores, {torch.get_num_threads()} threads",
    )
    yield _attempt("double backward", lambda: _double_backward(device), "Reinstall PyTorch at the pinned version.")
    total = machine.total_memory(device)
    yield Check(
        "memory",
        total > 2e9,
        f"{total / 1e9:.1f} GB",
        "" if total > 2e9 else "Under 2 GB only the digits will fit; choose memory 'recompute'.",
    )
    for name, folder, variable in (
        ("data folder", data_root(), "DISTILLERY_DATA"),
        ("runs folder", runs_root(), "DISTILLERY_RUNS"),
    ):
        yield _attempt(
            name, lambda folder=folder: _space(folder), f"Free some space there, or set {variable} to another folder."
        )
    for key, source in sources(data_root()).items():
        available = source.availability(data_root())
        yield Check(f"source {key}", True, f"{available.state}: {available.message}")
    for key in METHODS:
        yield _attempt(f"method {key}", lambda key=key: _one_step(key, device), "Please report this with the message.")


def _attempt(name: str, check: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:  # a health check reports whatever happens; nothing is hidden
        return Check(name, False, f"{type(error).__name__}: {error}", remedy)


def _double_backward(device: torch.device) -> str:
    """The meta-gradient of three steps, against finite differences in float64 with a smooth student."""
    spec = TaskSpec("classification", (1, 8, 8), 3, ("a", "b", "c"))
    student = make_student(StudentConfig(width=4, depth=2, activation="softplus"), spec, device)
    generator = torch.Generator().manual_seed(0)
    theta = student.init(generator).double()
    images = torch.randn(3, 1, 8, 8, generator=generator, dtype=torch.float64).to(device)
    real = torch.randn(5, 1, 8, 8, generator=generator, dtype=torch.float64).to(device)
    targets = torch.tensor([0, 1, 2], device=device)

    def outer(x: torch.Tensor) -> torch.Tensor:
        batches = [Batch(x, targets, torch.tensor(0.1, dtype=torch.float64, device=device))] * 3
        *_, end = inner_loop(student, theta, batches, update_rules.sgd(), F.cross_entropy, memory="recompute")
        return F.cross_entropy(student(end, real), torch.tensor([0, 1, 2, 0, 1], device=device))

    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(outer(x), x)
    direction = torch.randn(images.shape, generator=generator, dtype=torch.float64).to(device)
    step = 1e-5
    numeric = (outer(images + step * direction) - outer(images - step * direction)) / (2 * step)
    exact = (gradient * direction).sum()
    difference = ((numeric - exact).abs() / exact.abs()).item()
    if difference > 1e-5:
        raise ArithmeticError(f"the meta-gradient differs from finite differences by {difference:.1e}")
    return f"equals finite differences to {difference:.0e}"


def _space(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.write_text("")
    probe.unlink()
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise OSError(f"only {free / 1e6:.0f} MB are free in {folder}")
    return f"{folder}, {free / 1e9:.1f} GB free"


def _one_step(method: str, device: torch.device) -> str:
    preset = request_from_preset("digits", method, "quick")
    config = preset.config | {"outer_steps": 1}
    evaluation = EvaluationConfig(num_students=1, ordinary_steps=1, inner_steps=10, full_epochs=1)
    request = RunRequest(source="digits", method=method, config=config, data=preset.data, evaluation=evaluation)
    began = time.perf_counter()
    for _ in run(request, Context(device=device, cache_root=runs_root() / "cache" / "doctor")):
        pass
    return f"one step on the digits in {time.perf_counter() - began:.1f} s"
