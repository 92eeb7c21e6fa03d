"""The layers of a ConvNet, with first and second derivatives that are as cheap as the layers themselves.

A meta-gradient differentiates every layer twice, and there the derivatives that PyTorch composes cost more than the
arithmetic: a convolution with a kernel as large as the picture, a normalisation in a dozen passes, a pooling that fills
zeros. Here each derivative is a function of its own, whose derivative is again one of these:

    convolution is bilinear: with y = x * w,  dx = y' *T w  and  dw = y' (x) x, and each is bilinear in turn
    pooling and spreading are linear and each other's transpose, up to the factor 1/4
    instance norm: written out below, with its second derivative in two reductions and five passes

All of them want images in memory as (N, H, W, C), PyTorch's channels_last. Each is exact: tests hold them to finite
differences and to PyTorch's own layers. Layers keep the names, weights and printed form of those they replace.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_convolution_backward = torch.ops.aten.convolution_backward.default


class Convolution(nn.Conv2d):
    """3 x 3 convolution with a border of one pixel, (N, C, H, W) -> (N, K, H, W)."""

    def __init__(self, channels: int, width: int, *, bias: bool) -> None:
        super().__init__(channels, width, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = _Convolve.apply(channels_last(x), channels_last(self.weight))
        return y if self.bias is None else y + self.bias[:, None, None]


class _Differentiable(Function):
    """A function of tensors alone that saves what it was given."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))


class _Convolve(_Differentiable):
    """y = x * w, of x (N, C, H, W) and w (K, C, 3, 3)."""

    @staticmethod
    def forward(x, w):
        return F.conv2d(x, w, padding=1)

    @staticmethod
    def backward(ctx, y):
        x, w = ctx.saved_tensors
        wants_x, wants_w = ctx.needs_input_grad
        return _ToInput.apply(y, w) if wants_x else None, _ToWeight.apply(y, x) if wants_w else None


class _ToInput(_Differentiable):
    """x = y *T w: what a gradient y (N, K, H, W) of the outputs is at the inputs."""

    @staticmethod
    def forward(y, w):
        x = channels_last(y.new_empty((len(y), w.shape[1], *y.shape[2:])))  # its shape alone matters
        return _gradients(y, x, w, (True, False))[0]

    @staticmethod
    def backward(ctx, x):
        y, w = ctx.saved_tensors
        wants_y, wants_w = ctx.needs_input_grad
        return _Convolve.apply(x, w) if wants_y else None, _ToWeight.apply(y, x) if wants_w else None


class _ToWeight(_Differentiable):
    """w = y (x) x: what a gradient y (N, K, H, W) of the outputs is at the weights, for inputs x."""

    @staticmethod
    def forward(y, x):
        w = channels_last(y.new_empty((y.shape[1], x.shape[1], 3, 3)))
        return _gradients(y, x, w, (False, True))[1]

    @staticmethod
    def backward(ctx, w):
        y, x = ctx.saved_tensors
        wants_y, wants_x = ctx.needs_input_grad
        w = channels_last(w)
        return _Convolve.apply(x, w) if wants_y else None, _ToInput.apply(y, w) if wants_x else None


def _gradients(y: Tensor, x: Tensor, w: Tensor, wanted: tuple[bool, bool]) -> tuple[Tensor, Tensor, Tensor]:
    return _convolution_backward(y, x, w, None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1, (*wanted, False))


class AveragePool(nn.AvgPool2d):
    """2 x 2 average pooling of even sides; an odd last row or column is dropped."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: Tensor) -> Tensor:
        return _Pool.apply(x)

    def extra_repr(self) -> str:
        return "2"


class _Pool(Function):
    """(N, C, H, W) -> (N, C, H // 2, W // 2)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return F.avg_pool2d(x, 2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.size = inputs[0].shape[2:]

    @staticmethod
    def backward(ctx, y):
        return _Spread.apply(y, ctx.size)


class _Spread(Function):
    """A quarter of each pixel to each of the four it was pooled from, zeros to a dropped row or column."""

    generate_vmap_rule = True

    @staticmethod
    def forward(y, size):
        x = F.interpolate(channels_last(y) * 0.25, scale_factor=2.0, mode="nearest")
        if x.shape[2:] == size:
            return x
        return F.pad(x, (0, size[1] - x.shape[3], 0, size[0] - x.shape[2]))

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, x):
        return _Pool.apply(x), None


class InstanceNorm(nn.GroupNorm):
    """Each channel of each image with mean 0 and deviation 1, then a weight and a bias a channel.

    z = w u + b with u = (a - mean a) r and r = (var a + eps)^-1/2, means over the pixels of (N, C, H, W).
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width)

    def forward(self, a: Tensor) -> Tensor:
        return _Normalise.apply(a, self.weight, self.bias, self.eps)[0]


class _Normalise(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a, w, b, eps):
        centre = _mean(a)
        deviations = a - centre
        r = torch.rsqrt(_mean(deviations.mul_(deviations)) + eps)
        scale = r * w[:, None, None]
        return torch.addcmul(b[:, None, None] - centre * scale, a, scale), centre, r

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, w, _, _ = inputs
        _, centre, r = output
        ctx.mark_non_differentiable(centre, r)
        ctx.save_for_backward(a, w, centre, r)

    @staticmethod
    def backward(ctx, g, *_):
        da, dw, db, *_ = _NormaliseBackward.apply(g, *ctx.saved_tensors)
        return da, dw, db, None


class _NormaliseBackward(Function):
    """From the gradient g at z those at a, w and b:

    da = r w (g - <g> - u <g u>),  dw = sum g u,  db = sum g,   <.> the mean over the pixels of an image's channel.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(g, a, w, centre, r):
        u = _units(a, centre, r)
        mean_g, mean_gu = _mean(g), _mean(g * u)
        scale, pixels = r * w[:, None, None], g[0, 0].numel()
        da = torch.addcmul(-scale * mean_g, g, scale).addcmul_(u, -scale * mean_gu)
        return da, mean_gu.sum((0, 2, 3)) * pixels, mean_g.sum((0, 2, 3)) * pixels, mean_g, mean_gu

    @staticmethod
    def setup_context(ctx, inputs, output):
        mean_g, mean_gu = output[3:]
        ctx.mark_non_differentiable(mean_g, mean_gu)
        ctx.save_for_backward(*inputs, mean_g, mean_gu)

    @staticmethod
    @once_differentiable
    def backward(ctx, v, vw, vb, *_):
        """Gradients at g, a and w of <v, da> + <vw, dw> + <vb, db>.

        At u the gradient is p v + q g with p, q below; it goes on to a as any gradient at u does, and r has a term of
        its own, w r k.
        """
        g, a, w, centre, r, mean_g, mean_gu = ctx.saved_tensors
        w, vw, vb = (value[:, None, None] for value in (w, vw, vb))
        u = _units(a, centre, r)
        mean_v, mean_vu, mean_vg = _mean(v), _mean(v * u), _mean(v * g)
        scale = r * w
        at_g = torch.addcmul(vb - scale * mean_v, v, scale).addcmul_(u, vw - scale * mean_vu)
        k = mean_vg - mean_v * mean_g - mean_vu * mean_gu
        p, q = -scale * mean_gu, vw - scale * mean_vu
        at_a = torch.addcmul(-r * (p * mean_v + q * mean_g), v, r * p).addcmul_(g, r * q)
        at_a.addcmul_(u, -r * (p * mean_vu + q * mean_gu + scale * k))
        return at_g, at_a, (r * k).sum((0, 2, 3)) * g[0, 0].numel(), None, None


def channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) in memory as (N, H, W, C); the same tensor where it is so already."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # unlike memory_format, this works under vmap


def _mean(values: Tensor) -> Tensor:
    """Over the pixels: (N, C, H, W) -> (N, C, 1, 1)."""
    return values.mean((2, 3), keepdim=True)


def _units(a: Tensor, centre: Tensor, r: Tensor) -> Tensor:
    return torch.addcmul(-centre * r, a, r)
