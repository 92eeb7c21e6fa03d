"""What a request sets on the machine."""

from __future__ import annotations

import pytest
import torch
from draining import drained

from engine import SOURCES, Context, DataConfig, EvaluationConfig, StudentConfig
from engine.evaluation.bench import make_bench


@pytest.fixture
def flags():
    """The switches as they were, put back after the test."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_a_bench_sets_how_cards_multiply(flags, precision):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "float32"
    splits = drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]
    make_bench(splits, StudentConfig(name="mlp", precision=precision), EvaluationConfig(), Context())
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")


def test_exact_is_the_default():
    assert StudentConfig().precision == "float32"
