"""The layers of a ConvNet, with first and second derivatives as cheap as the layers themselves.

A meta-gradient differentiates each layer twice. Second derivatives composed by PyTorch are slow: a convolution with a
kernel as large as the image, a normalisation in a dozen passes, a pooling that writes zeros. Here each derivative is
its own function, whose derivative is again one of these:

    convolution is bilinear: with y = x * w,  dx = y' *T w  and  dw = y' (x) x, and each is bilinear in turn
    instance norm, ReLU and average pooling are fused: one pass over memory forward, backward, and backward again

Images are (N, H, W, C) in memory, PyTorch's channels_last. Layers keep the weights and printed form of PyTorch's.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_convolution_backward = torch.ops.aten.convolution_backward.default
_threshold_backward = torch.ops.aten.threshold_backward.default

PIECE_BYTES = 2**21
"""Images are processed in pieces of about this size, which stay in the CPU cache between passes."""


class ConvNetLayers(nn.Sequential):
    """Layers in order; an instance norm, ReLU and 2 x 2 average pooling in a row are computed as one."""

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self)
        while layers:
            if tuple(type(layer) for layer in layers[:3]) == (InstanceNorm, nn.ReLU, nn.AvgPool2d):
                norm = layers[0]
                x = _NormReluPool.apply(channels_last(x), norm.weight, norm.bias, norm.eps)
                del layers[:3]
            else:
                x = layers.pop(0)(x)
        return x


class Convolution(nn.Conv2d):
    """3 x 3 convolution with a border of one pixel, (N, C, H, W) -> (N, K, H, W).

    reads_samples: its inputs are the samples. Their gradient is then not made differentiable again: inner steps
    differentiate by the weights, and the meta-gradient by the samples comes last.
    """

    def __init__(self, channels: int, width: int, *, bias: bool, reads_samples: bool = False) -> None:
        super().__init__(channels, width, 3, padding=1, bias=bias)
        self.reads_samples = reads_samples

    def forward(self, x: Tensor) -> Tensor:
        y = _Convolve.apply(channels_last(x), channels_last(self.weight), self.reads_samples)
        return y if self.bias is None else y + self.bias[:, None, None]


class _Convolve(Function):
    """y = x * w, of x (N, C, H, W) and w (K, C, 3, 3)."""

    @staticmethod
    def forward(ctx, x, w, reads_samples):
        ctx.reads_samples = reads_samples
        ctx.save_for_backward(x, w)
        return F.conv2d(x, w, padding=1)

    @staticmethod
    def backward(ctx, y):
        x, w = ctx.saved_tensors
        wants_x, wants_w, _ = ctx.needs_input_grad
        wants_x = wants_x and not (ctx.reads_samples and torch.is_grad_enabled())
        return _ToInput.apply(y, w) if wants_x else None, _ToWeight.apply(y, x) if wants_w else None, None


class _ToInput(Function):
    """x = y *T w: the gradient at the inputs, for a gradient y (N, K, H, W) at the outputs."""

    @staticmethod
    def forward(ctx, y, w):
        ctx.save_for_backward(y, w)
        x = channels_last(y.new_empty((len(y), w.shape[1], *y.shape[2:])))  # its shape alone matters
        return _gradients(y, x, w, (True, False))[0]

    @staticmethod
    def backward(ctx, x):
        y, w = ctx.saved_tensors
        wants_y, wants_w = ctx.needs_input_grad
        return _Convolve.apply(x, w, False) if wants_y else None, _ToWeight.apply(y, x) if wants_w else None


class _ToWeight(Function):
    """w = y (x) x: the gradient at the weights, for a gradient y (N, K, H, W) at the outputs and inputs x."""

    @staticmethod
    def forward(ctx, y, x):
        ctx.save_for_backward(y, x)
        w = channels_last(y.new_empty((y.shape[1], x.shape[1], 3, 3)))
        return _gradients(y, x, w, (False, True))[1]

    @staticmethod
    def backward(ctx, w):
        y, x = ctx.saved_tensors
        wants_y, wants_x = ctx.needs_input_grad
        w = channels_last(w)
        return _Convolve.apply(x, w, False) if wants_y else None, _ToInput.apply(y, w) if wants_x else None


def _gradients(y: Tensor, x: Tensor, w: Tensor, wanted: tuple[bool, bool]) -> tuple[Tensor, Tensor, Tensor]:
    return _convolution_backward(y, x, w, None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1, (*wanted, False))


class InstanceNorm(nn.GroupNorm):
    """Each channel of each image normalised to mean 0 and variance 1, then one weight and bias per channel."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)


class _NormReluPool(Function):
    """p = pool(relu(z)) with z = w u + b, u = (a - <a>) r, r = (var a + eps)^-1/2, <.> the mean over an image's pixels.

    a is (N, C, H, W), w and b (C,), p (N, C, H // 2, W // 2).
    """

    @staticmethod
    def forward(ctx, a, w, b, eps):
        centre, r = a.new_empty(2, *a.shape[:2], 1, 1)
        p = _like(a, a.shape[2] // 2, a.shape[3] // 2)
        for rows in _pieces(a):
            centre[rows] = _mean(a[rows])
            x = a[rows] - centre[rows]
            r[rows] = torch.rsqrt(_mean(x * x) + eps)
            p[rows] = F.avg_pool2d(_affine(x, r[rows], w, b).relu_(), 2)
        ctx.save_for_backward(a, w, b, centre, r)
        return p

    @staticmethod
    def backward(ctx, g):
        da, dw, db = _NormReluPoolBackward.apply(g, *ctx.saved_tensors)
        return da, dw, db, None


class _NormReluPoolBackward(Function):
    """The gradients at a, w and b from that at p. With g the gradient at z, spread from p where z > 0:

    da = r w (g - <g> - u <g u>),  dw = sum g u,  db = sum g.

    With x = a - <a> and u = x r, each is a sum of g, x and one constant per channel: u itself is never computed.
    """

    @staticmethod
    def forward(ctx, at_p, a, w, b, centre, r):
        mean_g, mean_gu = a.new_empty(2, *a.shape[:2], 1, 1)
        da = torch.empty_like(a)
        for rows in _pieces(a):
            x, s = a[rows] - centre[rows], r[rows]
            g = _spread(at_p[rows], _affine(x, s, w, b))
            mean_g[rows] = m = _mean(g)
            mean_gu[rows] = mu = s * _mean(g * x)
            scale = s * w[:, None, None]
            torch.addcmul(-scale * m, g, scale, out=da[rows]).addcmul_(x, -scale * mu * s)
        ctx.save_for_backward(at_p, a, w, b, centre, r, mean_g, mean_gu)
        pixels = a[0, 0].numel()
        return da, mean_gu.sum((0, 2, 3)) * pixels, mean_g.sum((0, 2, 3)) * pixels

    @staticmethod
    @once_differentiable
    def backward(ctx, v, vw, vb):
        """Gradients at at_p, a and w of <v, da> + <vw, dw> + <vb, db>.

        The gradient at u is p v + q g, with p and q below. It continues to a like any gradient at u; r adds the term
        w r k.
        """
        at_p, a, w, b, centre, r, mean_g, mean_gu = ctx.saved_tensors
        of_p, of_a, of_w = torch.empty_like(at_p), torch.empty_like(a), torch.empty_like(r)
        vw, vb = vw[:, None, None], vb[:, None, None]
        for rows in _pieces(a):
            x, s, m, mu, y = a[rows] - centre[rows], r[rows], mean_g[rows], mean_gu[rows], v[rows]
            z = _affine(x, s, w, b)
            g = _spread(at_p[rows], z)
            mean_v = _mean(y)
            mean_vu = s * _mean(y * x)
            k = _mean(y * g) - mean_v * m - mean_vu * mu
            scale = s * w[:, None, None]
            p, q = -scale * mu, vw - scale * mean_vu
            of_g = torch.addcmul(vb - scale * mean_v, y, scale).addcmul_(x, q * s)
            of_p[rows] = F.avg_pool2d(_threshold_backward(of_g, z, 0), 2)
            of_u = -s * (p * mean_vu + q * mu + scale * k)
            at_a = torch.addcmul(-s * (p * mean_v + q * m), y, s * p, out=of_a[rows])
            at_a.addcmul_(g, s * q).addcmul_(x, of_u * s)
            of_w[rows] = s * k
        return of_p, of_a, of_w.sum((0, 2, 3)) * a[0, 0].numel(), None, None, None


def _pieces(a: Tensor) -> Iterator[slice]:
    """Slices of images (N, C, H, W), a few at a time on a CPU and all at once on a GPU."""
    size = len(a) if a.is_cuda else max(1, PIECE_BYTES // (a[0].numel() * a.element_size()))
    return (slice(first, first + size) for first in range(0, len(a), size))


def _affine(x: Tensor, r: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """z of a few images, from x = a - <a>."""
    return torch.addcmul(b[:, None, None], x, r * w[:, None, None])


def _spread(at_p: Tensor, z: Tensor) -> Tensor:
    """The gradient at z: a quarter of the pooled pixel's where z > 0, and 0 in rows or columns dropped by pooling."""
    g = F.interpolate(at_p * 0.25, scale_factor=2.0, mode="nearest")
    if g.shape != z.shape:
        g = F.pad(g, (0, z.shape[3] - g.shape[3], 0, z.shape[2] - g.shape[2]))
    return _threshold_backward(g, z, 0)


def _mean(values: Tensor) -> Tensor:
    """Over the pixels: (N, C, H, W) -> (N, C, 1, 1)."""
    return values.mean((2, 3), keepdim=True)


def _like(a: Tensor, height: int, width: int) -> Tensor:
    """An uninitialised (N, C, height, width), channels last."""
    return a.new_empty(len(a), height, width, a.shape[1]).permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """The same values with memory order (N, H, W, C); the same tensor if it has that order already."""
    return x.contiguous(memory_format=torch.channels_last)
