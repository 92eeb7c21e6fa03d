"""One outer iteration of trajectory matching against one as published code writes it: wall time and peak memory, in
turns.

make bench        prints the table; README.md of the method trajectory holds a recorded one

ConvNet-D3 of width 128, 10 synthetic 32 x 32 images a step, 20, 50 and 80 student steps. The published way:
PyTorch's own
layers, flat weights, the graph of every step kept, the distances of all steps taken before the nearest is
differentiated.
Two targets: one that the student passes at a quarter of its way, and one that lies at its end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from test_inner_loop import plain_network
from torch import Tensor

from engine import machine
from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.data.transforms.augment import dsa
from engine.meta.inner import Batch
from engine.meta.path import GRAPH_BYTES, KEPT_BYTES, Path
from engine.methods.trajectory.objectives import matched, normalised_distance
from engine.nets import make_student
from engine.nets.student import Student

STEPS = (20, 50, 80)
ROUNDS = 3
NUM_IMAGES, WIDTH, LR = 10, 128, 0.02
SPEC = TaskSpec("classification", (3, 32, 32), 10, tuple("0123456789"))
MOST_TIME = {"early": 0.9, "last": 1.05}
MOST_MEMORY = GRAPH_BYTES + KEPT_BYTES + 2**28  # what a path may keep, and one step

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


def augmented(images: Tensor, step: int) -> Tensor:
    return dsa().alike()(images, torch.Generator().manual_seed(step))


def published(student: Student, images: Tensor, lr: Tensor, start: Tensor, target: Tensor, num_steps: int) -> int:
    """An iteration with the graphs of all steps; leaves gradients at images and rate. Gives the step compared."""
    labels = torch.arange(NUM_IMAGES, device=images.device)
    path = [start.clone().requires_grad_()]
    for step in range(num_steps):
        loss = F.cross_entropy(student(path[-1], augmented(images, step)), labels)
        (gradient,) = torch.autograd.grad(loss, path[-1], create_graph=True)
        path.append(path[-1] - lr * gradient)
    distances = [torch.nn.functional.l1_loss(theta, target, reduction="sum").item() for theta in path[1:]]
    nearest = max(step for step, distance in enumerate(distances, 1) if distance == min(distances))
    loss = F.mse_loss(path[nearest], target, reduction="sum") / F.mse_loss(start, target, reduction="sum")
    loss.backward()
    return nearest


def ours(student: Student, images: Tensor, lr: Tensor, start: Tensor, target: Tensor, num_steps: int) -> int:
    """The same by the engine."""
    labels = torch.arange(NUM_IMAGES, device=images.device)
    path = Path(student, start, lambda step: Batch(augmented(images, step), labels, lr), num_steps, F.cross_entropy)
    for found in matched(path.forward(), target, "att", "l1"):
        nearest = found
    _, direction = normalised_distance(nearest.theta, start, target)
    for _ in path.backward(nearest.step, direction, [images, lr]):
        pass
    return nearest.step


def measured(iteration: Callable[[], int], images: Tensor) -> tuple[float, int, int]:
    """Seconds, bytes, and the step compared."""
    images.grad = None
    with machine.PeakMemory(images.device) as peak:
        began = time.perf_counter()
        step = iteration()
        if images.device.type == "cuda":
            torch.cuda.synchronize(images.device)
        seconds, held = time.perf_counter() - began, peak.bytes
    assert images.grad.abs().max() > 0
    return seconds, held, step


def test_memory_is_flat_in_the_steps_and_time_that_of_the_steps_that_count():
    device = machine.pick_device()
    torch.set_num_threads(os.cpu_count() or 1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(NUM_IMAGES, *SPEC.sample_shape, generator=generator).to(device).requires_grad_()
    lr = torch.tensor(LR, device=device, requires_grad=True)
    student = make_student(StudentConfig(width=WIDTH), SPEC, device)
    plain = Student(plain_network(), "convnet", "xavier", device)
    labels = torch.arange(NUM_IMAGES, device=device)

    def target_of(network: Student, start: Tensor, steps: int) -> Tensor:
        """Weights just beside those after so many steps."""
        path = Path(network, start, lambda step: Batch(augmented(images, step), labels, lr), steps, F.cross_entropy)
        *_, end = path.forward()
        return end + 1e-4 * torch.randn(end.shape, generator=torch.Generator().manual_seed(2)).to(device)

    seconds: dict[tuple[str, str, int], float] = {}
    peaks: dict[tuple[str, str, int], int] = {}
    arms = {"published": (published, plain), "ours": (ours, student)}
    for num_steps in (2, *STEPS * ROUNDS):
        for where, at in (("early", max(1, num_steps // 4)), ("last", num_steps)):
            for name, (iteration, network) in arms.items():
                start = network.init(torch.Generator().manual_seed(1))
                target = target_of(network, start, at)
                took, held, step = measured(
                    lambda it=iteration, n=network, s=start, t=target, k=num_steps: it(n, images, lr, s, t, k), images
                )
                assert step == at
                if num_steps in STEPS:  # the shortest only warms up
                    key = (name, where, num_steps)
                    seconds[key] = min(took, seconds.get(key, float("inf")))
                    peaks[key] = max(held, peaks.get(key, 0))
    print(f"\n{machine.describe()['gpu'] or machine.describe()['processor']}, best of {ROUNDS}")
    print("| steps | compared | published | ours | ratio | published | ours |\n|---|---|---|---|---|---|---|")
    for where in MOST_TIME:
        for num_steps in STEPS:
            times = [seconds[name, where, num_steps] for name in arms]
            held = [f"{peaks[name, where, num_steps] / 1e6:,.0f} MB" for name in arms]
            compared = num_steps if where == "last" else num_steps // 4
            ratio = times[1] / times[0]
            took = f"{times[0]:.2f} s | {times[1]:.2f} s | {ratio:.2f} x"
            print(f"| {num_steps} | {compared} | {took} | {' | '.join(held)} |")
    for where, most in MOST_TIME.items():
        for num_steps in STEPS:
            ratio = seconds["ours", where, num_steps] / seconds["published", where, num_steps]
            assert ratio <= most, f"{where}, {num_steps} steps"
    assert max(held for (name, _, _), held in peaks.items() if name == "ours") <= MOST_MEMORY
