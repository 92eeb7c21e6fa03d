"""Students have the published sizes, are functions of theta alone, and say clearly where they do not fit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from engine.core.config import StudentConfig, checked
from engine.core.errors import ConfigError
from engine.core.options import option_of
from engine.data.source import TaskSpec
from engine.nets import STUDENTS, make_student, resnet

OF_IMAGES = [name for name, card in STUDENTS.items() if "images" in card.takes]
DEEP = ("alexnet", "vgg11", "resnet18", "resnet18_ap")
SCHEMES = ("default", "xavier", "kaiming", "orthogonal")
GREY28 = TaskSpec("classification", (1, 28, 28), 10, tuple("0123456789"))
COLOUR32 = TaskSpec("classification", (3, 32, 32), 10, tuple("0123456789"))
FOLDERS = TaskSpec("classification", (3, 32, 32), 12, tuple("abcdefghijkl"))
WINDOWS = TaskSpec("close", (30, 5), 1, ("token",))
TINY8 = TaskSpec("classification", (1, 8, 8), 10, tuple("0123456789"))

PUBLISHED = (
    ("lenet", {}, GREY28, 61_706),
    ("lenet", {}, COLOUR32, 62_006),
    ("alexcifarnet", {}, COLOUR32, 1_756_426),
    ("mlp", {}, GREY28, 235_146),
    ("simpleconvnet", {}, GREY28, 421_642),
    ("convnetrgb", {}, FOLDERS, 2_474_636),
    ("alexnet", {}, COLOUR32, 1_872_202),
    ("vgg11", {}, COLOUR32, 9_231_114),
    ("resnet18", {}, COLOUR32, 11_173_962),
    ("resnet18_ap", {}, COLOUR32, 11_250_762),
    # the grey images' first convolution has two channels less; their features are those of 32 pixels but for the last,
    # which keeps 3 x 3 pixels in place of 4 x 4
    ("alexnet", {}, GREY28, 1_872_202 - 2 * 25 * 128),
    ("vgg11", {}, GREY28, 9_231_114 - 2 * 9 * 64),
    ("resnet18", {}, GREY28, 11_173_962 - 2 * 9 * 64),
    ("resnet18_ap", {}, GREY28, 11_250_762 - 2 * 9 * 64 - 7 * 512 * 10),
    # 320,010 as published; the 3 x 128 convolution biases before a normalisation are left out
    ("convnet", {"depth": 3, "width": 128}, COLOUR32, 320_010 - 3 * 128),
    ("convnet", {"depth": 3, "width": 128, "norm": "none"}, COLOUR32, 320_010 - 3 * 2 * 128),
)


@pytest.fixture
def narrow_resnets(monkeypatch):
    """For tests of their layers, not of their 11 million weights."""
    monkeypatch.setattr(resnet, "WIDTHS", (8, 16, 32, 64))


@pytest.mark.parametrize(("name", "options", "spec", "size"), PUBLISHED)
def test_number_of_weights_is_the_published_one(name, options, spec, size):
    assert make_student(StudentConfig(name=name, **options), spec).num_params == size


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.usefixtures("narrow_resnets")
def test_student_is_a_function_of_theta_alone(name):
    spec = COLOUR32
    student = make_student(StudentConfig(name=name, width=8), spec)
    theta = student.init(torch.Generator().manual_seed(0))
    other = student.init(torch.Generator().manual_seed(1))
    inputs = torch.randn(4, *spec.sample_shape, generator=torch.Generator().manual_seed(2))
    first = student(theta, inputs)
    student(other, inputs)
    assert first.shape == (4, 10)
    assert torch.equal(student(theta, inputs), first)
    assert not torch.equal(student(other, inputs), first)


@pytest.mark.parametrize(
    ("name", "init"), [(name, init) for name in OF_IMAGES for init in SCHEMES if name not in DEEP or init == "xavier"]
)
def test_initialisation_repeats_with_its_seed_and_keeps_signals_finite(name, init):
    student = make_student(StudentConfig(name=name, width=8, init=init), COLOUR32)
    theta = student.init(torch.Generator().manual_seed(5))
    assert torch.equal(theta, student.init(torch.Generator().manual_seed(5)))
    assert theta.shape == (student.num_params,)
    logits = student(theta, torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(logits).all() and logits.std() > 1e-4


def test_default_initialisation_is_pytorchs_own():
    """Same bound as nn.Linear's: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), filled to its edges."""
    student = make_student(StudentConfig(name="mlp", init="default"), GREY28)
    weight = student.unflatten(student.init(torch.Generator().manual_seed(0)))["1.weight"]
    bound = 28**-1
    assert weight.abs().max() <= bound and weight.abs().max() > 0.99 * bound


def test_norm_weights_start_at_one_and_biases_at_zero():
    student = make_student(StudentConfig(width=8), COLOUR32)
    views = student.unflatten(student.init(torch.Generator().manual_seed(0)))
    assert torch.equal(views["1.weight"], torch.ones(8)) and torch.equal(views["1.bias"], torch.zeros(8))


@pytest.mark.parametrize("norm", ["instance", "batch", "layer", "group", "none"])
@pytest.mark.parametrize("pooling", ["average", "max", "none"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "softplus"])
def test_every_convnet_variant_can_be_differentiated_twice(norm, pooling, activation):
    student = make_student(StudentConfig(depth=2, width=4, norm=norm, pooling=pooling, activation=activation), TINY8)
    theta = student.init(torch.Generator().manual_seed(0)).requires_grad_()
    inputs = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    (first,) = torch.autograd.grad(student(theta, inputs).square().sum(), theta, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), inputs)
    assert torch.isfinite(second).all() and second.abs().max() > 0


def test_convnet_too_deep_for_the_image_is_refused_with_the_depth_that_fits():
    with pytest.raises(ConfigError, match="8 x 8 pixels allow 3"):
        make_student(StudentConfig(depth=4), TINY8)


@pytest.mark.parametrize(("name", "changes"), [*((name, {}) for name in DEEP), ("resnet18", {"norm": "batch"})])
def test_deep_students_can_be_differentiated_twice_at_samples_and_weights(name, changes):
    student = make_student(StudentConfig(name=name, **changes), COLOUR32)
    theta = student.init(torch.Generator().manual_seed(0)).requires_grad_()
    inputs = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    (first,) = torch.autograd.grad(student(theta, inputs).square().sum(), theta, create_graph=True)
    for second in torch.autograd.grad(first.square().sum(), [theta, inputs]):
        assert torch.isfinite(second).all() and second.abs().max() > 0


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 40)])
@pytest.mark.usefixtures("narrow_resnets")
def test_deep_students_take_pictures_of_other_sizes(name, shape):
    student = make_student(StudentConfig(name=name), TaskSpec("classification", shape, 3, ("a", "b", "c")))
    logits = student(student.init(torch.Generator().manual_seed(0)), torch.randn(2, *shape))
    assert logits.shape == (2, 3) and torch.isfinite(logits).all()


@pytest.mark.parametrize(("block", "is_halved"), [(3, False), (5, True)])
@pytest.mark.usefixtures("narrow_resnets")
def test_a_residual_block_is_the_published_one(block, is_halved):
    """Both branches from the formula, with averages in place of strides as in the published code: convolution, then
    pooling.
    """
    student = make_student(StudentConfig(name="resnet18_ap"), COLOUR32)
    views = student.unflatten(student.init(torch.Generator().manual_seed(0)))
    own = {name.removeprefix(f"{block}."): view for name, view in views.items() if name.startswith(f"{block}.")}
    x = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(1))

    def halved(x):
        return F.avg_pool2d(x, 2) if is_halved else x

    def normed(x):
        return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()

    second = 4 if is_halved else 3
    inside = halved(normed(F.conv2d(x, own["inside.0.weight"], padding=1)).relu())
    inside = normed(F.conv2d(inside, own[f"inside.{second}.weight"], padding=1))
    across = normed(halved(F.conv2d(x, own["shortcut.1.weight"]))) if is_halved else x
    expected = (inside + across).relu()
    torch.testing.assert_close(functional_call(student.module[block], own, (x,)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lenet", "alexcifarnet", "vgg11", "resnet18", "resnet18_ap"])
def test_students_for_larger_images_say_so(name):
    with pytest.raises(ConfigError, match="needs images of at least"):
        make_student(StudentConfig(name=name), TINY8)


def test_image_student_refuses_windows():
    with pytest.raises(ConfigError, match="takes images"):
        make_student(StudentConfig(), TaskSpec("classification", (30, 5), 2, ("down", "up")))


def test_operations_of_a_sample_are_counted_by_hand():
    """LeNet: two convolutions on 28 x 28 and 10 x 10 positions, three matrix products; two operations a
    multiplication.
    """
    products = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert make_student(StudentConfig(name="lenet"), GREY28).flops((1, 28, 28)) == 2 * products


def test_all_that_names_students_is_made_from_the_table():
    """The allowed names, the form's schema and the conditions of options; each card's builder exists."""
    schema = StudentConfig.model_json_schema()["properties"]
    assert schema["name"]["enum"] == list(STUDENTS)
    for name, info in StudentConfig.model_fields.items():
        readers = [key for key, card in STUDENTS.items() if name in card.options]
        for condition in option_of(info).when:
            assert condition.path == "name" and list(condition.values) == readers
    assert all(set(card.options) <= schema.keys() for card in STUDENTS.values())
    assert StudentConfig(name="gru").name == "gru"
    with pytest.raises(ConfigError, match="name: input should be 'convnet', 'lenet'.*not 'unheard'"):
        checked(StudentConfig, {"name": "unheard"}, "student")


def test_a_student_is_called_as_papers_call_it():
    assert STUDENTS["convnet"].named(StudentConfig(depth=4)) == "ConvNet-D4"
    assert STUDENTS["vgg11"].named(StudentConfig(name="vgg11")) == "VGG11"


@pytest.mark.parametrize("name", STUDENTS)
def test_options_that_a_student_does_not_read_change_nothing(name):
    """Only those that its card names change the network's size, or a layer of it."""
    spec = COLOUR32 if "images" in STUDENTS[name].takes else WINDOWS
    other = {
        "depth": 2,
        "width": 12,
        "heads": 2,
        "growth": 2,
        "norm": "batch",
        "activation": "softplus",
        "pooling": "max",
    }
    plain = {"depth": 1, "width": 8}
    before = repr(make_student(StudentConfig(name=name, **plain), spec).module)
    for option, value in other.items():
        after = repr(make_student(StudentConfig(name=name, **plain | {option: value}), spec).module)
        assert option in STUDENTS[name].options or after == before, option
