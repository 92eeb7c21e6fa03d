"""Students: the function that builds one from its config. `engine.core.students` has the table of them."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from engine.core import machine
from engine.core.students import STUDENTS, StudentConfig
from engine.data.source import TaskSpec
from engine.nets.student import Student

__all__ = ["STUDENTS", "make_encoder", "make_student"]


def make_student(config: StudentConfig, spec: TaskSpec, device: torch.device | str = "cpu", key: str = "") -> Student:
    """The student of a config for one task. Raises ConfigError where the samples do not fit the architecture.

    key: what its scores are called, for a member of a pool.
    """
    module, _, function = STUDENTS[config.name].builder.partition(".")
    build = getattr(import_module(f"engine.nets.{module}"), function)
    is_quick = config.precision == "bfloat16" and machine.has_bfloat16(torch.device(device))
    quick_type = torch.bfloat16 if is_quick else None
    with _Undrawn():
        module = build(config, spec)
    return Student(module, key or config.name, config.init, device, quick_type)


def make_encoder(
    config: StudentConfig, spec: TaskSpec, num_dims: int, device: torch.device | str = "cpu", key: str = ""
) -> Student:
    """A student whose outputs are representations (N, num_dims). Raises ConfigError as `make_student` does."""
    return make_student(config, replace(spec, num_outputs=num_dims, class_names=()), device, key)


class _Undrawn(TorchFunctionMode):
    """Leaves weights as they lie in memory: those of a student's module are never read, and millions take 0.1 s."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return None if getattr(func, "__module__", "") == "torch.nn.init" else func(*args, **(kwargs or {}))
