"""The inner loop against a plain unroll as published code writes it: wall time and peak memory, in turns in one run.

make bench        prints the table; README.md of the method rat_bptt holds a recorded one

ConvNet-D3 of width 128, 50 of 100 synthetic 32 x 32 images a step, Adam, the whole window differentiated. The plain
way:
PyTorch's own layers on (N, C, H, W), a list of weights, create_graph, every step kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import machine
from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.nets import make_student

WINDOWS = (10, 20, 40, 60)
ROUNDS = 2
NUM_IMAGES, BATCH, WIDTH = 100, 50, 128
LR = 1e-3
SPEC = TaskSpec("classification", (3, 32, 32), 10, tuple("0123456789"))
MOST_MEMORY = 0.1  # of the plain unroll's, at the longest window
MOST_TIME = {"recompute": 1.0, "store": 0.75}
MEMORY_SLACK = 64 * 2**20

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


def plain_network() -> nn.Module:
    """The student as published code builds it; its convolutions have the bias that a normalisation cancels."""
    layers: list[nn.Module] = []
    for channels in (3, WIDTH, WIDTH):
        layers += [nn.Conv2d(channels, WIDTH, 3, padding=1), nn.GroupNorm(WIDTH, WIDTH), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTH * 16, 10))


def plain(images: Tensor, labels: Tensor, order: list[Tensor], real: tuple[Tensor, Tensor]) -> Tensor:
    """The outer loss through Adam steps, every step's graph kept."""
    torch.manual_seed(0)
    network = plain_network().to(images.device)
    names = [name for name, _ in network.named_parameters()]
    weights = [value.detach().clone().requires_grad_() for value in network.parameters()]
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step, indices in enumerate(order, start=1):
        outputs = torch.func.functional_call(network, dict(zip(names, weights, strict=True)), (images[indices],))
        gradients = torch.autograd.grad(F.cross_entropy(outputs, labels[indices]), weights, create_graph=True)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        weights = [
            weight - LR * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step) + 1e-8).sqrt() + 1e-8)
            for weight, m, v in zip(weights, first, second, strict=True)
        ]
    outputs = torch.func.functional_call(network, dict(zip(names, weights, strict=True)), (real[0],))
    return F.cross_entropy(outputs, real[1])


def ours(
    images: Tensor, labels: Tensor, order: list[Tensor], real: tuple[Tensor, Tensor], memory: str, student
) -> Tensor:
    """The same loss by the engine."""
    theta = student.init(torch.Generator().manual_seed(0))
    lr = torch.tensor(LR, device=images.device)
    batches = (Batch(images[indices], labels[indices], lr) for indices in order)
    for trained in inner_loop(student, theta, batches, update_rules.adam(), F.cross_entropy, memory=memory):
        theta = trained
    return F.cross_entropy(student(theta, real[0]), real[1])


def measured(loss: Callable[[], Tensor], images: Tensor) -> tuple[float, int]:
    """Seconds and bytes of a loss and its gradient at the images."""
    images.grad = None
    with machine.PeakMemory(images.device) as peak:
        began = time.perf_counter()
        loss().backward()
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
        seconds, held = time.perf_counter() - began, peak.bytes
    assert images.grad.abs().max() > 0
    return seconds, held


def arms(device: torch.device) -> Iterator[tuple[str, int, float, int]]:
    """(arm, window, seconds, bytes), arm by arm in turns, on all cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(NUM_IMAGES, *SPEC.sample_shape, generator=generator).to(device).requires_grad_()
    labels = (torch.arange(NUM_IMAGES) % 10).to(device)
    real = torch.randn(100, *SPEC.sample_shape, generator=generator).to(device), labels
    student = make_student(StudentConfig(width=WIDTH), SPEC, device)
    losses = {
        "plain": plain,
        "recompute": lambda *given: ours(*given, "recompute", student),
        "store": lambda *given: ours(*given, "store", student),
    }
    for window in (2, *WINDOWS * ROUNDS):
        order = [torch.randperm(NUM_IMAGES, generator=generator)[:BATCH].to(device) for _ in range(window)]
        for name, loss in losses.items():
            found = measured(lambda loss=loss, order=order: loss(images, labels, order, real), images)
            if window in WINDOWS:  # the shortest only warms up
                yield name, window, *found


def test_memory_is_flat_in_the_window_and_time_no_more_than_the_plain_unroll_takes():
    device = machine.pick_device()
    seconds: dict[tuple[str, int], float] = {}
    peaks: dict[tuple[str, int], int] = {}
    for name, window, took, held in arms(device):
        seconds[name, window] = min(took, seconds.get((name, window), float("inf")))
        peaks[name, window] = max(held, peaks.get((name, window), 0))
    print(f"\n{machine.describe()['gpu'] or machine.describe()['processor']}, best of {ROUNDS}; time against plain")
    print("| window | plain | recompute | store | plain | recompute | store |\n|---|---|---|---|---|---|---|")
    for window in WINDOWS:
        times = " | ".join(f"{seconds[name, window]:.1f} s" for name in ("plain", "recompute", "store"))
        memory = " | ".join(f"{peaks[name, window] / 1e6:,.0f} MB" for name in ("plain", "recompute", "store"))
        ratios = ", ".join(f"{name} {seconds[name, window] / seconds['plain', window]:.2f} x" for name in MOST_TIME)
        print(f"| {window} | {times} | {memory} |   {ratios}")
    first, last = WINDOWS[0], WINDOWS[-1]
    student = make_student(StudentConfig(width=WIDTH), SPEC)
    kept = 4 * student.num_params * 3 * (last - first)  # weights and two moments a step
    assert peaks["recompute", last] - peaks["recompute", first] <= kept + MEMORY_SLACK
    assert peaks["recompute", last] <= MOST_MEMORY * peaks["plain", last]
    for name, most in MOST_TIME.items():
        ratio = sum(seconds[name, window] for window in WINDOWS) / sum(seconds["plain", window] for window in WINDOWS)
        print(f"{name}: {ratio:.2f} x the plain unroll's time")
        assert ratio <= most
