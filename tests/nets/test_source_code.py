"""The text written for a student is plain PyTorch and builds the same network."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.nets import STUDENTS, make_student, resnet, source_code

OF_WINDOWS = [name for name, card in STUDENTS.items() if "images" not in card.takes]
OF_IMAGES = [name for name in STUDENTS if name not in OF_WINDOWS]
DEEP = ("alexnet", "vgg11", "resnet18", "resnet18_ap")
SCHEMES = ("default", "xavier", "kaiming", "orthogonal")
COLOUR32 = TaskSpec("classification", (3, 32, 32), 12, tuple("abcdefghijkl"))
GREY28 = TaskSpec("classification", (1, 28, 28), 10, tuple("0123456789"))
WINDOWS = TaskSpec("both", (9, 7), 3, ("BTC", "ETH"))
ODD = TaskSpec("classification", (3, 37, 35), 5, tuple("abcde"))


@pytest.fixture(autouse=True)
def narrow_resnets(monkeypatch):
    """All their layers, and 45 thousand weights in place of 11 million."""
    monkeypatch.setattr(resnet, "WIDTHS", (4, 8, 16, 32))


@torch.no_grad()
def assert_same_network(config: StudentConfig, spec: TaskSpec) -> None:
    student = make_student(config, spec)
    text = source_code.network(config, spec)
    program = {"nn": nn, "torch": torch}
    exec(source_code.definitions(text), program)
    net = eval(text, program)
    assert sum(weight.numel() for weight in net.parameters()) == student.num_params
    theta = student.init(torch.Generator().manual_seed(0))
    torch.nn.utils.vector_to_parameters(theta, net.parameters())
    inputs = torch.randn(4, *spec.sample_shape, generator=torch.Generator().manual_seed(1))
    outputs = net(inputs)
    assert outputs.shape == (4, spec.num_outputs)
    assert torch.allclose(outputs, student(theta, inputs), atol=1e-4)


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("spec", [COLOUR32, GREY28, ODD], ids=["colour", "grey", "odd sides"])
def test_written_network_gives_the_same_logits_with_the_same_weights(name, spec):
    assert_same_network(StudentConfig(name=name, width=8), spec)


@pytest.mark.parametrize("name", [*OF_WINDOWS, "mlp"])
@pytest.mark.parametrize("depth", [1, 3])
def test_written_network_gives_the_same_forecasts_with_the_same_weights(name, depth):
    assert_same_network(StudentConfig(name=name, width=8, depth=depth, heads=2), WINDOWS)


def test_a_network_of_windows_brings_the_classes_it_names_and_no_others():
    text = source_code.network(StudentConfig(name="lstm", width=8, depth=2), WINDOWS)
    assert text == (
        "nn.Sequential(\n    LSTM(7, 8),\n    LSTM(8, 8),\n    LastBar(),\n    Head(in_features=8, out_features=3),\n)"
    )
    classes = re.findall(r"^class (\w+)", source_code.definitions(text), re.MULTILINE)
    assert classes == ["Gates", "Recurrent", "LSTM", "Head", "LastBar"]
    text = source_code.definitions(source_code.network(StudentConfig(name="linear"), WINDOWS))
    assert re.findall(r"^class (\w+)", text, re.MULTILINE) == ["Head"]


@pytest.mark.parametrize("norm", ["instance", "batch", "layer", "group", "none"])
@pytest.mark.parametrize("pooling", ["average", "max", "none"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "softplus"])
def test_every_convnet_variant_is_written_out(norm, pooling, activation):
    assert_same_network(StudentConfig(depth=2, width=4, norm=norm, pooling=pooling, activation=activation), ODD)


@pytest.mark.parametrize(("name", "norm"), [("vgg11", "none"), ("resnet18", "batch"), ("resnet18_ap", "none")])
def test_other_norms_are_written_out_within_blocks_too(name, norm):
    assert_same_network(StudentConfig(name=name, norm=norm), COLOUR32)


def test_shortcuts_are_written_as_a_class_and_only_where_there_are_any():
    assert source_code.definitions(source_code.network(StudentConfig(name="vgg11"), COLOUR32)) == ""
    text = source_code.network(StudentConfig(name="resnet18"), COLOUR32)
    assert text.count("Residual(\n") == 8 and text.count("nn.Conv2d(") == 20
    assert source_code.definitions(text).count("class Residual(nn.Module):") == 1


def test_a_line_a_layer_without_the_defaults():
    text = source_code.network(StudentConfig(depth=1, width=8), GREY28)
    assert text == (
        "nn.Sequential(\n"
        "    nn.Conv2d(1, 8, kernel_size=(3, 3), padding=(1, 1), bias=False),\n"
        "    nn.GroupNorm(8, 8),\n"
        "    nn.ReLU(),\n"
        "    nn.AvgPool2d(kernel_size=2, stride=2, padding=0),\n"
        "    nn.Flatten(),\n"
        "    nn.Linear(in_features=1568, out_features=10),\n"
        ")"
    )


@pytest.mark.parametrize(
    ("name", "init"),
    [(name, init) for name in STUDENTS for init in SCHEMES if name not in DEEP or init in ("default", "xavier")],
)
def test_written_weights_are_those_the_student_starts_from(name, init):
    config, spec = StudentConfig(name=name, width=8, init=init), WINDOWS if name in OF_WINDOWS else COLOUR32
    program = {"nn": nn, "torch": torch}
    exec(source_code.drawn_network(config, spec, seed=7), program)
    theta = make_student(config, spec).init(torch.Generator().manual_seed(7))
    assert torch.equal(torch.nn.utils.parameters_to_vector(program["net"].parameters()), theta)
