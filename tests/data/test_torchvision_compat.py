"""torchvision imports in a fresh process, whether its operators load or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.data import torchvision_compat

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def answers() -> list[str]:
    """What a fresh process says of the modules loaded after distilling the digits, then of torchvision's parts."""
    code = """
import sys
import engine
request = engine.request_from_preset("digits", "bilevel", "quick", config={"outer_steps": 1, "num_validations": 0})
method, config = engine.resolve(request)
context = engine.Context(0)
splits = engine.drained(engine.SOURCES["digits"].load(request.data, context.data_root))
engine.drained(method.distill(splits, config, context))
from engine.nets import make_student
make_student(config.student, splits.spec).flops(splits.spec.sample_shape)
print(*(name in sys.modules for name in ("torchvision", "sklearn", "scipy.stats", "torch._dynamo")))

import torch
from engine.data.torchvision_compat import datasets, models
from torchvision.transforms import v2
assert v2.functional.horizontal_flip(torch.arange(3).reshape(1, 1, 3)).flatten().tolist() == [2, 1, 0]
print(datasets.MNIST.__name__, models.resnet18(num_classes=3)(torch.zeros(2, 3, 32, 32)).shape[1])
"""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
def test_distilling_the_digits_waits_neither_for_torchvision_scikit_learn_nor_the_compiler(answers):
    """Each takes seconds to import; scikit-learn is for k-means and for maps, the compiler for nothing here."""
    assert answers[0].split() == ["False"] * 4


@pytest.mark.slow
def test_datasets_and_transforms_work_in_a_fresh_process(answers):
    assert answers[1].split() == ["MNIST", "3"]


def test_nothing_is_declared_where_the_operators_load(monkeypatch):
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)  # as if it had found its CUDA libraries
    assert torchvision_compat.operators_load()
    assert torchvision_compat.declare_missing_operators() is None
    assert loaded and all(path.name.startswith("_C.") for path in loaded)


def test_operators_without_their_libraries_are_no_operators(monkeypatch):
    def refuse(path):
        raise OSError("libcudart.so: cannot open shared object file")

    monkeypatch.setattr(torch.ops, "load_library", refuse)
    assert not torchvision_compat.operators_load()


def test_a_missing_torchvision_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(torchvision_compat, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install -r requirements.txt"):
        torchvision_compat.operators_load()
