"""The ConvNet's layers: what they compute, and both of their derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from engine.nets import layers
from engine.nets.layers import ConvNetLayers, Convolution, InstanceNorm, channels_last

SIZES = [(4, 4), (3, 4), (5, 3)]  # pooling drops a row, a column, or nothing


def block(norm: type, pool: type) -> list[nn.Module]:
    return [norm(), nn.ReLU(), pool()]


LAYERS = {
    "convolution": (lambda: Convolution(2, 3, bias=False), lambda: nn.Conv2d(2, 3, 3, padding=1, bias=False)),
    "convolution with bias": (lambda: Convolution(2, 3, bias=True), lambda: nn.Conv2d(2, 3, 3, padding=1)),
    "norm, ReLU and pooling": (
        lambda: ConvNetLayers(InstanceNorm(2), nn.ReLU(), nn.AvgPool2d(2)),
        lambda: nn.Sequential(nn.GroupNorm(2, 2), nn.ReLU(), nn.AvgPool2d(2)),
    ),
    "norm and another activation": (
        lambda: ConvNetLayers(InstanceNorm(2), nn.Softplus(), nn.AvgPool2d(2)),
        lambda: nn.Sequential(nn.GroupNorm(2, 2), nn.Softplus(), nn.AvgPool2d(2)),
    ),
}

of_all = pytest.mark.parametrize("name", LAYERS)
of_all_sizes = pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in LAYERS for size in (SIZES if "norm" in name else SIZES[1:2])]
)


@pytest.fixture(autouse=True, params=[1, 2**21], ids=["image by image", "at once"])
def piece_bytes(request, monkeypatch):
    monkeypatch.setattr(layers, "PIECE_BYTES", request.param)


def pair(name: str):
    """Our layers and PyTorch's with the same weights, drawn away from 0 and 1, float64."""
    torch.manual_seed(0)
    ours, theirs = (make().double() for make in LAYERS[name])
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def samples(size: tuple[int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(2, 2, *size, generator=generator, dtype=torch.float64) * 2 + 0.5).requires_grad_()


def function_of(module: nn.Module):
    """The layers as a function of their inputs and weights."""
    names = [name for name, _ in module.named_parameters()]
    return lambda x, *weights: functional_call(module, dict(zip(names, weights, strict=True)), (x,))


@of_all_sizes
def test_layers_compute_what_pytorchs_do(name, size):
    ours, theirs = pair(name)
    torch.testing.assert_close(ours(samples(size)), theirs(samples(size)), rtol=1e-12, atol=1e-12)


@of_all_sizes
def test_first_and_second_derivatives_pass_finite_differences(name, size):
    ours, _ = pair(name)
    leaves = (samples(size), *ours.parameters())
    assert torch.autograd.gradcheck(function_of(ours), leaves)
    assert torch.autograd.gradgradcheck(function_of(ours), leaves)


@of_all
def test_second_derivative_equals_pytorchs(name):
    def twice(module: nn.Module) -> list[torch.Tensor]:
        x = samples((6, 4))
        leaves = [x, *module.parameters()]
        # cubed, so that the gradient depends on the outputs
        first = torch.autograd.grad(module(x).pow(3).mean(), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves)

    for got, expected in zip(*(twice(module) for module in pair(name)), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)


@of_all
def test_images_stay_in_the_order_of_memory_that_is_fast(name):
    ours, _ = pair(name)
    out = ours(channels_last(samples((6, 4)).detach()))
    assert out.is_contiguous(memory_format=torch.channels_last)
