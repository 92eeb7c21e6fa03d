"""Students of windows: their sizes, PyTorch's own layers, and derivatives twice over."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.core.config import StudentConfig
from engine.core.errors import ConfigError
from engine.data.source import TaskSpec
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.nets import make_student, recurrence
from engine.nets.sequence import QuickGRU, QuickLSTM
from engine.nets.sequence_layers import GRU, LSTM, EncoderLayer, Positions

NAMES = ("lstm", "gru", "transformer", "linear")
PUBLISHED = TaskSpec("close", (30, 5), 1, ("BTC", "ETH"))
SHORT = TaskSpec("both", (4, 3), 3, ("BTC",))
IMAGES = TaskSpec("classification", (1, 8, 8), 10, tuple("0123456789"))
LAYERS = {"lstm": (QuickLSTM, LSTM, nn.LSTM, 4), "gru": (QuickGRU, GRU, nn.GRU, 3)}


def student_of(name: str, spec: TaskSpec = SHORT, **options):
    """A student of few weights and one at random, float64. Options are not checked, so it may be very narrow."""
    config = StudentConfig(name=name, width=4, depth=2, heads=2)
    student = make_student(config.model_copy(update=options), spec)
    student.module.double()
    return student, student.init(torch.Generator().manual_seed(0)).double()


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_step(student, theta, inputs, targets, lr):
    """The weights after an inner step on windows, differentiable in all of these."""
    batches = [Batch(inputs, targets, lr)]
    (trained,) = inner_loop(student, theta, batches, update_rules.BY_NAME["sgd"](), F.mse_loss, memory="store")
    return trained


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # PyTorch keeps a second bias of each gate and layer, which does what the first does
        ("lstm", 51_521 - 2 * 4 * 64),
        ("gru", 3 * 64 * (5 + 64 + 1) + 3 * 64 * (64 + 64 + 1) + 65),
        # feed-forward layers 4 times as wide in place of 2,048, and a norm before the last layer
        ("transformer", 562_753 - 2 * (2 * 64 + 1) * (2048 - 256) + 2 * 64),
        ("linear", 30 * 5 + 1),
    ],
)
def test_numbers_of_weights_are_the_published_ones_but_for_what_is_left_out(name, size):
    assert make_student(StudentConfig(name=name, width=64, depth=2), PUBLISHED).num_params == size


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers_are_pytorchs_own_with_the_same_weights(name):
    quick, _, theirs, num_gates = LAYERS[name]
    ours, theirs = quick(3, 5).double(), theirs(3, 5, batch_first=True).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(2))
        read, bias, recall = (
            parameter.unflatten(0, (num_gates, 5)).clone()
            for parameter in (ours.read.weight, ours.read.bias, ours.recall.weight)
        )
        order = [1, 2, 0, 3] if name == "lstm" else [0, 1, 2]  # PyTorch's i, f, g, o; r, z, n as here
        if name == "lstm":
            bias[2] += 1  # the forget gate's own
        theirs.weight_ih_l0.copy_(read[order].flatten(0, 1))
        theirs.weight_hh_l0.copy_(recall[order].flatten(0, 1))
        theirs.bias_ih_l0.copy_(bias[order].flatten())
        theirs.bias_hh_l0.zero_()
    x = normal(2, 6, 3)
    assert torch.allclose(ours(x), theirs(x)[0], atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("num_samples", "num_bars"), [(3, 5), (1, 2), (2, 1)])
def test_recurrence_and_its_derivatives_are_those_of_the_plain_loop(name, num_samples, num_bars):
    quick, plain, _, _ = LAYERS[name]
    quick, plain = quick(3, 4).double(), plain(3, 4).double()
    plain.load_state_dict(quick.state_dict())
    found = []
    for layer in (quick, plain):
        x, weights = normal(num_samples, num_bars, 3).requires_grad_(), list(layer.parameters())
        value = layer(x)
        first = torch.autograd.grad(value.sin().sum(), [x, *weights], create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), [x, *weights])
        found.append([value, *first, *second])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_recurrence_passes_gradcheck_of_both_derivatives(name):
    num_gates, run = LAYERS[name][3], getattr(recurrence, name)
    inputs, weight = normal(3, 2, num_gates * 2).requires_grad_(), normal(num_gates * 2, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(run, (inputs, weight))
    assert torch.autograd.gradgradcheck(run, (inputs, weight))


@pytest.mark.parametrize("name", NAMES)
def test_an_inner_step_passes_gradcheck_at_windows_targets_rate_and_weights(name):
    """The meta-gradient is that of finite differences; for the Transformer away from the kinks of its ReLU."""
    student, theta = student_of(name, TaskSpec("close", (3, 2), 1, ("BTC",)), width=3, depth=1, heads=1)
    leaves = (theta, normal(2, 3, 2), normal(2, 1, seed=3), torch.tensor(0.1, dtype=torch.float64))
    assert torch.autograd.gradcheck(
        lambda *leaves: one_step(student, *leaves), tuple(leaf.requires_grad_() for leaf in leaves)
    )


@pytest.mark.parametrize("name", NAMES)
def test_meta_gradient_is_finite_and_not_zero_at_every_window(name):
    student, theta = student_of(name)
    windows = normal(2, 4, 3).requires_grad_()
    trained = one_step(student, theta, windows, normal(2, 3, seed=3), torch.tensor(0.1, dtype=torch.float64))
    loss = F.mse_loss(student(trained, normal(5, 4, 3, seed=4)), normal(5, 3, seed=5))
    (meta_gradient,) = torch.autograd.grad(loss, windows)
    assert torch.isfinite(meta_gradient).all() and (meta_gradient.abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_the_last_layer_of_the_features_and_depend_on_theta_alone(name):
    student, theta = student_of(name)
    windows = normal(5, 4, 3)
    views = student.unflatten(theta)
    weight, bias = (views[f"{len(student.module) - 1}.{part}"] for part in ("weight", "bias"))
    outputs = student(theta, windows)
    assert outputs.shape == (5, 3)
    assert torch.allclose(outputs, student.features(theta, windows) @ weight.T + bias, atol=1e-12)
    student(theta + 1, windows)
    assert torch.equal(student(theta, windows), outputs)
    assert torch.allclose(student(theta, windows[1:2]), outputs[1:2], atol=1e-12)  # no sample reads another


@pytest.mark.parametrize("init", ["default", "xavier", "kaiming", "orthogonal"])
@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_repeat_with_their_seed_and_forecast_about_the_mean(name, init):
    student = make_student(StudentConfig(name=name, width=8, depth=2, init=init), PUBLISHED)
    theta = student.init(torch.Generator().manual_seed(3))
    assert torch.equal(theta, student.init(torch.Generator().manual_seed(3)))
    assert not torch.equal(theta, student.init(torch.Generator().manual_seed(4)))
    outputs = student(theta, torch.randn(64, 30, 5, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(outputs).all() and 1e-3 < outputs.std() < 0.5 and outputs.mean().abs() < 0.2


def test_each_gate_is_drawn_as_a_layer_of_its_own():
    """Xavier's deviation is sqrt(2 / (inputs + outputs)) of one gate, and orthogonal gates are orthogonal one by
    one.
    """
    xavier = make_student(StudentConfig(name="lstm", width=200, depth=1), PUBLISHED)
    views = xavier.unflatten(xavier.init(torch.Generator().manual_seed(0)))
    assert views["0.recall.weight"].std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert not views["0.read.bias"].any()
    orthogonal = make_student(StudentConfig(name="gru", width=8, depth=1, init="orthogonal"), PUBLISHED)
    views = orthogonal.unflatten(orthogonal.init(torch.Generator().manual_seed(0)))
    for gate in views["0.recall.weight"].chunk(3):
        assert torch.allclose(gate @ gate.T, torch.eye(8), atol=1e-5)


def test_positions_are_sines_and_cosines_of_any_length():
    waves = Positions(200, 6)(torch.zeros(1, 200, 6))[0]
    for bar in (0, 7, 199):
        for pair in range(3):
            angle = bar / 10_000 ** (2 * pair / 6)
            expected = torch.tensor([math.sin(angle), math.cos(angle)])
            assert torch.allclose(waves[bar, 2 * pair : 2 * pair + 2], expected, atol=1e-4)
    assert Positions(3, 5)(torch.zeros(1, 3, 5)).shape == (1, 3, 5)


def test_attention_is_pytorchs_own():
    layer = EncoderLayer(6, 3, for_last=False).double()
    x = normal(2, 5, 6)
    mine = layer.mix(layer.attention(x, x))
    theirs = F.multi_head_attention_forward(
        *[x.transpose(0, 1)] * 3,
        embed_dim_to_check=6,
        num_heads=3,
        in_proj_weight=torch.cat([layer.ask.weight, layer.answer.weight]),
        in_proj_bias=torch.cat([layer.ask.bias, layer.answer.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=layer.mix.weight,
        out_proj_bias=layer.mix.bias,
        need_weights=False,
    )[0]
    assert torch.allclose(mine, theirs.transpose(0, 1), atol=1e-12)


def test_a_last_layer_that_asks_for_one_bar_gives_what_all_bars_would():
    whole, last = EncoderLayer(4, 2, for_last=False).double(), EncoderLayer(4, 2, for_last=True).double()
    last.load_state_dict(whole.state_dict())
    x = normal(3, 5, 4)
    assert torch.allclose(last(x), whole(x)[:, -1:], atol=1e-12)


def test_order_of_the_bars_matters_to_all():
    windows = normal(3, 4, 3)
    for name in NAMES:
        student, theta = student_of(name)
        assert not torch.allclose(student(theta, windows), student(theta, windows.flip(1)), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_images_are_refused_in_one_sentence(name):
    with pytest.raises(ConfigError, match=rf"'{name}' takes windows of price bars"):
        make_student(StudentConfig(name=name), IMAGES)


@pytest.mark.parametrize("name", ["convnet", "lenet", "resnet18"])
def test_students_of_images_refuse_windows(name):
    with pytest.raises(ConfigError, match="takes images"):
        make_student(StudentConfig(name=name), PUBLISHED)


def test_mlp_takes_windows_too():
    assert make_student(StudentConfig(name="mlp"), PUBLISHED).num_params == 256 * 151 + 128 * 257 + 129


def test_heads_that_cannot_share_the_width_are_refused():
    with pytest.raises(ConfigError, match="width .6. is not a multiple of its 4 heads"):
        make_student(StudentConfig(name="transformer", width=6, heads=4), PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_operations_of_a_forward_pass_are_counted(name):
    """At least two for each weight that is multiplied; the recurrence's U once a bar."""
    config = StudentConfig(name=name, width=8, depth=1, heads=2)
    student = make_student(config, PUBLISHED)
    least = {"lstm": 30 * 2 * 4 * 8 * (5 + 8), "gru": 30 * 2 * 3 * 8 * (5 + 8), "linear": 300}.get(
        name, 30 * 2 * 8 * 21
    )
    assert student.flops(PUBLISHED.sample_shape) >= least
