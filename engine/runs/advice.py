"""What to change if a request does not fit this machine, before a start or when a run is out of memory."""

import math

import torch

from engine.core import machine
from engine.core.config import RunRequest, StudentConfig
from engine.core.context import data_root
from engine.core.errors import UserError
from engine.data import sources
from engine.data.source import TaskSpec, task_of
from engine.figures import formats
from engine.meta.inner import STORED_SHARE
from engine.nets import make_student
from engine.results import titles
from engine.run import resolve
from engine.runs.estimate import Estimate

NAMED = 3
"""Most settings to name."""
WORTH_NAMING = 0.02
"""Smallest saving to name, as a share of the largest."""
GRAPH_FACTOR = 3
"""Bytes kept by one differentiable step per byte of its activations: forward, gradient, and its own graph."""

SMALLER = {
    "experts": ("experts of fewer epochs, or fewer of them", "runs and experts"),
    "teacher": ("a narrower teacher", "runs and teachers"),
}
"""What needs less disk space if pretrained networks take most of it, and what could be deleted."""


def verdict(estimate: Estimate, request: RunRequest) -> str | None:
    """Why a request does not fit this machine, and what to change; None if it fits."""
    free = estimate.available_memory - machine.reserve(torch.device(estimate.device))
    if estimate.is_out_of_memory or estimate.memory_bytes > free:
        need = formats.num_bytes(estimate.memory_bytes)
        if estimate.is_out_of_memory:
            said = f"This needs more than {need} of memory, all that can be used now."
        else:
            about = "at least" if estimate.lower_bound else "about"
            said = f"This needs {about} {need} of memory; {formats.num_bytes(max(0, free))} can be used."
        wait = " Or wait until the running run has ended." if estimate.beside else ""
        return f"{said} Start with {advice(request)}.{wait}"
    if estimate.disk_bytes > estimate.available_disk:
        fewer, old = "fewer pictures kept along the way", "runs"
        if estimate.expert_bytes > estimate.disk_bytes / 2:
            fewer, old = SMALLER[titles.recorded(request.method)]
        return (
            f"This will keep about {formats.num_bytes(estimate.disk_bytes)} on a disk with "
            f"{formats.num_bytes(estimate.available_disk)} free. Start with {fewer}, or delete old {old}."
        )
    return None


def time_parts(found: Estimate, request: RunRequest) -> str:
    """What the estimated time is made of: "10 outer steps of 2 s, 5 s to compare"."""
    parts = []
    if found.seconds_recording:
        parts.append(f"{formats.duration(found.seconds_recording)} to train the {titles.recorded(request.method)}")
    if found.seconds_per_step:
        parts.append(f"{formats.counted(found.num_steps, 'outer step')} of {formats.duration(found.seconds_per_step)}")
    if found.seconds_preparing >= 1:
        parts.append(f"{formats.duration(found.seconds_preparing)} to prepare")
    if found.seconds_evaluating:
        parts.append(f"{formats.duration(found.seconds_evaluating)} to compare")
    return ", ".join(parts)


def origin(found: Estimate) -> str:
    """How an estimate was made, as a sentence."""
    if found.is_out_of_memory:
        text = "The trial on this machine ran out of memory"
    elif found.lower_bound:
        text = "The trial on this machine was stopped after a minute"
    else:
        steps = f"{formats.counted(found.num_timed, 'outer step')} and " if found.num_timed else ""
        text = f"Measured on this machine with {steps}a few students"
    return f"{text} while another run was working." if found.beside else f"{text}."


def advice(request: RunRequest) -> str:
    """The settings that save most memory, to follow "Start with"."""
    try:
        savings = _savings(request)
    except UserError:  # for instance, the data set was deleted
        savings = []
    most = max((saved for saved, _ in savings), default=0)
    worth = [text for saved, text in sorted(savings, key=lambda pair: -pair[0]) if saved > WORTH_NAMING * most]
    if not worth:
        return "a smaller student or fewer training images"
    *first, last = worth[:NAMED]
    return f"{', '.join(first)} or {last}" if first else last


def _savings(request: RunRequest) -> list[tuple[float, str]]:
    """(bytes saved, setting) of each setting that can be halved or switched off, roughly, by bytes of activations."""
    _, config = resolve(request)
    source = sources(data_root())[request.source]
    spec, num_values = task_of(source, request.data), math.prod(source.sample_shape)
    num_train = request.data.train_limit or source.num_train

    def graph_bytes(student: StudentConfig) -> int:
        return GRAPH_FACTOR * _activation_bytes(student, spec)

    stored = STORED_SHARE * machine.total_memory(torch.device("cpu")) / graph_bytes(config.student)
    loads = config.loads(spec, request.action, request.evaluation.batch_size, stored)
    graphs = sum(load.held * graph_bytes(load.student) for load in loads)
    found = [(load.saved * graph_bytes(load.student), load.setting) for load in loads]
    if source.kind == "images":
        train = num_train * num_values * (4 if request.data.zca else 1)
        found.append((train / 2, f"a limit on the training images (now {num_train:,})"))
        if request.data.zca:
            whitened = 3 * num_train * num_values + 4 * 8 * num_values**2  # floats for bytes, and float64 matrices
            found.append((whitened, f"ZCA whitening off (its matrix is {num_values:,} x {num_values:,})"))
    else:
        found.append((graphs / 2, f"a shorter window (now {request.data.windows.window_length:,} bars)"))
    if config.student.name == "convnet" and config.student.width > 4:
        # weighted down to be suggested last: a narrower student is another student
        found.append((graphs / 8, f"a narrower student (now {config.student.width:,} channels)"))
    return [(saved, text) for saved, text in found if saved > 0]


def _activation_bytes(student: StudentConfig, spec: TaskSpec) -> int:
    """Bytes of the outputs of all layers of a student for one sample."""
    sizes: list[int] = []
    with torch.device("meta"), torch.no_grad():
        module = make_student(student, spec, "meta").module
        for layer in module.modules():
            if not list(layer.children()):
                layer.register_forward_hook(lambda layer, inputs, output: sizes.append(4 * output.numel()))
        module(torch.zeros(1, *spec.sample_shape))
    return sum(sizes)
