"""What to change where a request does not fit this machine: said before a start, and by a run that ran out of memory."""

from __future__ import annotations

import math
from typing import Any

import torch

from engine.core import machine
from engine.core.config import Action, RunRequest
from engine.core.context import data_root
from engine.core.errors import UserError
from engine.data import sources
from engine.data.source import TaskSpec, task_of
from engine.figures import formats
from engine.meta.inner import STORED_SHARE
from engine.methods import METHODS
from engine.nets import make_student
from engine.pretrained.teachers.config import TRAINED
from engine.results import titles
from engine.run import resolve
from engine.runs.estimate import Estimate

NAMED = 3
"""Settings that are named at most, the one that saves most memory first."""
WORTH_NAMING = 0.02
"""Of what the first one saves."""
GRAPH_FACTOR = 3
"""Bytes that one differentiable step keeps, in units of its activations: forward, gradient, and the gradient's own graph."""

SMALLER = {
    "experts": ("experts of fewer epochs, or fewer of them", "runs and experts"),
    "teacher": ("a narrower teacher", "runs and teachers"),
}
"""What takes less of the disk where most of it is for networks that are trained beforehand, and what else could go."""


def verdict(estimate: Estimate, request: RunRequest) -> str | None:
    """The sentence that refuses a start which cannot fit; None where it can."""
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
            f"This will keep about {formats.num_bytes(estimate.disk_bytes)} on a disk with {formats.num_bytes(estimate.available_disk)} free. "
            f"Start with {fewer}, or delete old {old}."
        )
    return None


def advice(request: RunRequest) -> str:
    """The settings that would save memory, as what comes after "start with": the one that saves most comes first."""
    try:
        savings = _savings(request)
    except UserError:  # a request that cannot be read any more, of a data set that was deleted
        savings = []
    most = max((saved for saved, _ in savings), default=0)
    worth = [text for saved, text in sorted(savings, key=lambda pair: -pair[0]) if saved > WORTH_NAMING * most]
    if not worth:
        return "a smaller student or fewer training images"
    *first, last = worth[:NAMED]
    return f"{', '.join(first)} or {last}" if first else last


def _savings(request: RunRequest) -> list[tuple[float, str]]:
    """(bytes saved, setting) of every setting that can still be lowered, each as if halved or switched off.

    Rough: activations of a sample times the samples in memory. A method's option counts if its config has it by that name.
    """
    _, config = resolve(request)
    source = sources(data_root())[request.source]
    num_values = math.prod(source.sample_shape)
    spec = task_of(source, request.data)
    activations = _activation_bytes(config.student, spec)

    num_train = request.data.train_limit or source.num_train
    found = []
    if not spec.is_forecast:
        train = num_train * num_values * (4 if request.data.zca else 1)
        found.append((train / 2, f"a limit on the training images (now {num_train:,})"))
    if METHODS[request.method].result == "representations":
        graphs, of_batches = _of_representations(config, request.action, activations, spec)
        found += of_batches
    elif request.action == "evaluate":
        size = request.evaluation.batch_size
        graphs = GRAPH_FACTOR * activations * size
        found.append((graphs / 2, f"a smaller batch in the evaluation (now {size:,})"))
    elif request.action == "record":
        size = config.experts.batch_size
        graphs = GRAPH_FACTOR * activations * size
        found.append((graphs / 2, f"a smaller batch of the experts (now {size:,})"))
    else:
        option: dict[str, Any] = dict(config)
        size = config.size(spec)
        batch = size.num_samples // option.get("num_batches", 1)
        batch = min(batch, option.get("batch_size") or batch)  # 0: all of them
        step = GRAPH_FACTOR * activations * batch
        judged = GRAPH_FACTOR * activations * option.get("real_batch", 0)
        length = option.get("window", option.get("num_batches", 1) * option.get("passes", 1))
        stored = step * (option["unroll_length"] if option.get("window_schedule") == "full" else length)
        if option.get("memory") == "auto":
            stored = min(stored, STORED_SHARE * machine.total_memory(torch.device("cpu")))
        elif option.get("memory") != "store":
            stored = 0.0
        graphs = step + judged + stored
        found.append((stored, "memory set to 'recompute'"))
        found.append((judged / 2, f"a smaller real batch (now {option.get('real_batch', 0):,})"))
        if "batch_size" in option and batch > 1:
            found.append(((step + stored) / 2, f"a smaller synthetic batch (now {batch:,})"))
        elif size.per_class(spec) > 1:
            found.append(((step + stored) / 2, f"fewer images per class (now {size.per_class(spec):,g})"))
    if request.data.zca:
        whitened = 3 * num_train * num_values + 4 * 8 * num_values**2  # floats for bytes, and matrices in float64
        found.append((whitened, f"ZCA whitening off (its matrix is {num_values:,} x {num_values:,})"))
    if spec.is_forecast:
        found.append((graphs / 2, f"a shorter window (now {request.data.windows.window_length:,} bars)"))
    if config.student.name == "convnet" and config.student.width > 4:
        # last of what is alike: a narrower student is another student
        found.append((graphs / 8, f"a narrower student (now {config.student.width:,} channels)"))
    return [(saved, text) for saved, text in found if saved > 0]


def _of_representations(
    config: Any, action: Action, activations: int, spec: TaskSpec
) -> tuple[float, list[tuple[float, str]]]:
    """Bytes of the student's graphs in a run without labels, and what smaller batches of it and of its teacher save."""
    teacher, probing = config.teacher, config.probing
    pairs = config.num_images * (1 + config.num_augmentations)
    inner = min(config.inner_batch or pairs, pairs)
    sizes = {
        "evaluate": {f"a smaller batch of the pre-training (now {probing.pretrain_batch:,})": probing.pretrain_batch},
        "record": {},
        "distill": {
            f"fewer distilled images (now {config.num_images:,})": config.num_images,
            f"a smaller inner batch (now {inner:,})": inner,
            f"a smaller batch of the pre-training (now {probing.pretrain_batch:,})": probing.pretrain_batch,
        },
    }[action]
    graphs = GRAPH_FACTOR * activations * max(sizes.values(), default=0)
    found = [(GRAPH_FACTOR * activations * size / 2, text) for text, size in sizes.items()]
    if teacher.kind in TRAINED:
        views = 2 * teacher.batch_size
        found.append((GRAPH_FACTOR * _activation_bytes(teacher.student(), spec) * views / 2, f"a smaller batch of the teacher (now {teacher.batch_size:,})"))  # fmt: skip
    return graphs, found


def _activation_bytes(student: Any, spec: TaskSpec) -> int:
    """Bytes of everything that a student's layers put out for one sample."""
    sizes: list[int] = []
    with torch.device("meta"), torch.no_grad():
        module = make_student(student, spec, "meta").module
        for layer in module.modules():
            if not list(layer.children()):
                layer.register_forward_hook(lambda layer, inputs, output: sizes.append(4 * output.numel()))
        module(torch.zeros(1, *spec.sample_shape))
    return sum(sizes)
