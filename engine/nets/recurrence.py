"""The recurrences of LSTM and GRU over all bars, with first and second derivatives as cheap as the recurrence itself.

A meta-gradient differentiates each step of the recurrence twice. Derivatives composed by PyTorch take about 200 small
operations per bar, and cuDNN has no second derivative. Here the whole recurrence is one function, its gradient another,
and the derivative of that is written out. What does not depend on the previous bar is computed for all bars at once.

Notation: a' is the gradient of the final value at a; a. is the derivative of a along the direction (inputs., weight.).
The gradient's derivative is found that way round (Pearlmutter 1994): with v the gradient at what `backward` gives,
    <v, backward(y')> = <y', y.> along v,  so it is y. at y', and (backward)., y' held fixed, at all else.

Arrays are ordered by bar: inputs (T, N, gates * H), hidden states (T, N, H), weight U (gates * H, H). Both recurrences
start from zeros. There is no third derivative.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def lstm(inputs: Tensor, weight: Tensor) -> Tensor:
    """h (T, N, H) of inputs (T, N, 4 H) and U (4 H, H), gates in the order g, i, f, o.

    With a_t = inputs_t + U h_{t-1}: g = tanh, i, f, o = sigmoid of a_t; c_t = f c_{t-1} + i g, h_t = o tanh(c_t).
    """
    return _Lstm.apply(inputs.contiguous(), weight)


def gru(inputs: Tensor, weight: Tensor) -> Tensor:
    """h (T, N, H) of inputs (T, N, 3 H) and U (3 H, H), gates in the order r, z, n.

    With b = U h_{t-1}: r, z = sigmoid(inputs_t + b), n = tanh(inputs_t + r b), h_t = n + z (h_{t-1} - n).
    """
    return _Gru.apply(inputs.contiguous(), weight)


def _bars(*arrays: Tensor) -> list[tuple[Tensor, ...]]:
    """Each bar's parts of arrays (T, ...); indexing them one by one would take longer than the arithmetic."""
    return list(zip(*(array.unbind(0) for array in arrays), strict=True))


def _backwards(now: Sequence[Tensor], after: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """From the second to last bar to the first: its parts of `now`, and the next bar's parts of `after`."""
    return [(*bar, *following) for bar, following in zip(_bars(*now)[-2::-1], _bars(*after)[:0:-1], strict=True)]


def _before(states: Tensor) -> Tensor:
    """The states (T, N, H) one bar earlier, zeros first."""
    return torch.cat([torch.zeros_like(states[:1]), states[:-1]])


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The sum over bars and samples of left_k right_j, (T, N, K) and (T, N, J) -> (K, J)."""
    return left.flatten(0, 1).T @ right.flatten(0, 1)


class _Lstm(Function):
    @staticmethod
    def forward(ctx, inputs, weight):
        gates = torch.empty_like(inputs)
        parts = gates.unflatten(2, (4, -1))
        c, k, h = (inputs.new_empty(*inputs.shape[:2], weight.shape[1]) for _ in range(3))  # k = tanh(c)
        recall = weight.T.contiguous()
        c_t = h_t = torch.zeros_like(h[0])
        bars = _bars(inputs, gates, parts[:, :, 1:], *parts.unbind(2), c, k, h)
        for a_t, gates_t, sigmoids, g, i, f, o, next_c, k_t, next_h in bars:
            torch.addmm(a_t, h_t, recall, out=gates_t)
            g.tanh_()
            sigmoids.sigmoid_()
            c_t = torch.mul(f, c_t, out=next_c).addcmul_(i, g)
            h_t = torch.mul(o, torch.tanh(c_t, out=k_t), out=next_h)
        ctx.save_for_backward(inputs, weight, gates, c, k, h)
        return h

    @staticmethod
    def backward(ctx, y):
        inputs, weight, gates, c, k, h = ctx.saved_tensors
        return _LstmGradient.apply(y, inputs, weight, gates, c, k, h.detach())


class _LstmGradient(Function):
    """(inputs', weight') of y = h'.

    h'_t = y_t + U^T a'_{t+1},  c'_t = A h'_t + f_{t+1} c'_{t+1},  a' = (B_g c', B_i c', B_f c', B_o h')
    with A = dh/dc and B = d(c, c, c, h)/da at one bar.
    """

    @staticmethod
    def forward(ctx, y, inputs, weight, gates, c, k, h):
        parts, c_before = gates.unflatten(2, (4, -1)), _before(c)
        g, i, f, o = parts.unbind(2)
        a = (o * (1 - k * k)).unsqueeze(2)
        b = torch.empty_like(parts)
        torch.mul(1 - g * g, i, out=b[:, :, 0])
        torch.sub(parts[:, :, 1:], parts[:, :, 1:].square(), out=b[:, :, 1:])
        for factor, other in zip(b.unbind(2)[1:], (g, c_before, k), strict=True):
            factor.mul_(other)

        at_inputs, at_h, at_c = torch.zeros_like(gates), y.clone().unsqueeze(2), torch.zeros_like(a)
        _lstm_backwards(at_h, at_c, at_inputs.view_as(parts), a, b, f, weight)
        ctx.save_for_backward(weight, gates, c, k, h, a, b, at_inputs, at_c, at_h)
        return at_inputs, _product(at_inputs, _before(h))

    @staticmethod
    @once_differentiable
    def backward(ctx, inputs_dot, weight_dot):
        weight, gates, c, k, h, a, b, at_inputs, at_c, at_h = ctx.saved_tensors
        parts, c_before, h_before = gates.unflatten(2, (4, -1)), _before(c), _before(h)
        g, i, f, o = parts.unbind(2)

        # forwards: c._t = f c._{t-1} + B_g a._g + B_i a._i + B_f a._f,  h._t = A c._t + B_o a._o
        gates_dot = inputs_dot + h_before @ weight_dot.T  # of a_t
        parts_dot = gates_dot.view_as(parts)
        c_dot, h_dot, moved = torch.empty_like(h), torch.empty_like(h), torch.empty_like(parts[0])
        moved_g, moved_i, moved_f, moved_o = moved.unbind(1)
        recall = weight.T.contiguous()
        c_t = h_t = torch.zeros_like(h[0])
        for flat, dot, b_t, f_t, a_t, next_c, next_h in _bars(gates_dot, parts_dot, b, f, a.squeeze(2), c_dot, h_dot):
            flat.addmm_(h_t, recall)
            torch.mul(dot, b_t, out=moved)
            c_t = torch.addcmul(moved_g, f_t, c_t, out=next_c).add_(moved_i).add_(moved_f)
            h_t = torch.addcmul(moved_o, a_t, c_t, out=next_h)

        # what the derivatives of the factors add to h', c' and a', for all bars at once
        slopes = parts - parts.square()
        slopes[:, :, 0] = 1 - g * g
        parts_dot *= slopes  # of the gates themselves, from here on
        g_dot, i_dot, f_dot, o_dot = parts_dot.unbind(2)
        k_dot = (1 - k * k) * c_dot
        a_dot = o_dot * (1 - k * k) - 2 * o * k * k_dot
        more = slopes  # B.
        torch.addcmul(slopes[:, :, 0] * i_dot, g * g_dot, i, value=-2, out=more[:, :, 0])
        torch.addcmul(slopes[:, :, 1] * g_dot, (1 - 2 * i) * i_dot, g, out=more[:, :, 1])
        torch.addcmul(slopes[:, :, 2] * _before(c_dot), (1 - 2 * f) * f_dot, c_before, out=more[:, :, 2])
        torch.addcmul(slopes[:, :, 3] * k_dot, (1 - 2 * o) * o_dot, k, out=more[:, :, 3])
        more[:, :, :3] *= at_c
        more[:, :, 3:] *= at_h
        c_more = at_h * a_dot.unsqueeze(2)
        c_more[:-1].addcmul_(f_dot[1:].unsqueeze(2), at_c[1:])
        h_more = torch.zeros_like(h)
        torch.matmul(at_inputs[1:], weight_dot, out=h_more[:-1])

        _lstm_backwards(h_more.unsqueeze(2), c_more, more, a, b, f, weight)
        inputs_more = more.view_as(gates)
        weight_more = _product(inputs_more, h_before) + _product(at_inputs, _before(h_dot))
        return h_dot, inputs_more, weight_more, None, None, None, None


def _lstm_backwards(h: Tensor, c: Tensor, parts: Tensor, a: Tensor, b: Tensor, f: Tensor, weight: Tensor) -> None:
    """Add to h', c' (T, N, 1, H) and a' (T, N, 4, H) of each bar what reaches it from later ones, in place."""
    last_c, last_h = parts[-1].split([3, 1], 1)
    c[-1].addcmul_(h[-1], a[-1])
    last_c.addcmul_(b[-1, :, :3], c[-1])
    last_h.addcmul_(b[-1, :, 3:], h[-1])
    now = (h.squeeze(2), h, c, a, b[:, :, :3], b[:, :, 3:], parts[:, :, :3], parts[:, :, 3:])
    after = parts.flatten(2), c, f.unsqueeze(2)
    for flat, h_t, c_t, a_t, b_c, b_h, to_c, to_h, next_a, next_c, next_f in _backwards(now, after):
        flat.addmm_(next_a, weight)
        c_t.addcmul_(next_c, next_f).addcmul_(h_t, a_t)
        to_c.addcmul_(b_c, c_t)
        to_h.addcmul_(b_h, h_t)


class _Gru(Function):
    @staticmethod
    def forward(ctx, inputs, weight):
        width = weight.shape[1]
        gates, recalled = torch.empty_like(inputs), torch.empty_like(inputs)  # recalled: b
        h = inputs.new_empty(*inputs.shape[:2], width)
        recall = weight.T.contiguous()
        h_t = torch.zeros_like(h[0])
        halves = (array.split([2 * width, width], 2) for array in (inputs, recalled, gates))
        r, z, _ = gates.chunk(3, 2)
        for b_t, a_rz, a_n, b_rz, b_n, rz, n, r_t, z_t, next_h in _bars(recalled, *sum(halves, ()), r, z, h):
            torch.mm(h_t, recall, out=b_t)
            torch.add(a_rz, b_rz, out=rz).sigmoid_()
            torch.addcmul(a_n, r_t, b_n, out=n).tanh_()
            h_t = torch.lerp(n, h_t, z_t, out=next_h)
        ctx.save_for_backward(inputs, weight, gates, recalled, h)
        return h

    @staticmethod
    def backward(ctx, y):
        inputs, weight, gates, recalled, h = ctx.saved_tensors
        return _GruGradient.apply(y, inputs, weight, gates, recalled, h.detach())


class _GruGradient(Function):
    """(inputs', weight') of y = h'.

    h'_t = y_t + z_{t+1} h'_{t+1} + U^T b'_{t+1},  b' = (D_r h', D_z h', D_n h'),  inputs' = b' but for the last, E h'
    with D = dh/db, E = dh/da_n at one bar.
    """

    @staticmethod
    def forward(ctx, y, inputs, weight, gates, recalled, h):
        parts, h_before = gates.unflatten(2, (3, -1)), _before(h)
        r, z, n = parts.unbind(2)
        e = (1 - z) * (1 - n * n)
        d = torch.empty_like(parts)
        torch.mul(e, r, out=d[:, :, 2])
        torch.mul(d[:, :, 2] * (1 - r), recalled.view_as(parts)[:, :, 2], out=d[:, :, 0])
        torch.mul(z - z * z, h_before - n, out=d[:, :, 1])

        at_recalled, at_h = torch.zeros_like(gates), y.clone()
        at_parts = at_recalled.view_as(parts)
        _gru_backwards(at_h, at_parts, d, z, weight)
        at_inputs = at_parts.clone()
        torch.mul(e, at_h, out=at_inputs[:, :, 2])
        ctx.save_for_backward(weight, gates, recalled, h, d, e, at_recalled, at_h)
        return at_inputs.view_as(gates), _product(at_recalled, h_before)

    @staticmethod
    @once_differentiable
    def backward(ctx, inputs_dot, weight_dot):
        weight, gates, recalled, h, d, e, at_recalled, at_h = ctx.saved_tensors
        parts, h_before = gates.unflatten(2, (3, -1)), _before(h)
        r, z, n = parts.unbind(2)
        m = recalled.view_as(parts)[:, :, 2]

        # forwards: h._t = z h._{t-1} + D_r (a._r + b._r) + D_z (a._z + b._z) + D_n b._n + E a._n
        a_dot, b_dot = inputs_dot.unflatten(2, (3, -1)), h_before @ weight_dot.T
        b_parts = b_dot.view_as(parts)
        h_dot = e * a_dot[:, :, 2] + (d[:, :, :2] * a_dot[:, :, :2]).sum(2)
        moved = torch.empty_like(parts[0])
        moved_r, moved_z, moved_n = moved.unbind(1)
        recall = weight.T.contiguous()
        h_t = torch.zeros_like(h[0])
        for flat, dot, d_t, z_t, next_h in _bars(b_dot, b_parts, d, z, h_dot):
            flat.addmm_(h_t, recall)
            torch.mul(dot, d_t, out=moved)
            h_t = next_h.addcmul_(z_t, h_t).add_(moved_r).add_(moved_z).add_(moved_n)

        # what the derivatives of the factors add to h' and b', for all bars at once
        m_dot, h_before_dot = b_parts[:, :, 2], _before(h_dot)
        r_dot, z_dot = (parts - parts.square())[:, :, :2].mul(a_dot[:, :, :2] + b_parts[:, :, :2]).unbind(2)
        n_dot = (1 - n * n) * (a_dot[:, :, 2] + r * m_dot + r_dot * m)
        e_dot = -z_dot * (1 - n * n) - 2 * (1 - z) * n * n_dot
        more = torch.empty_like(parts)  # D.
        d_n, d_n_dot = d[:, :, 2], torch.add(e_dot * r, e * r_dot, out=more[:, :, 2])
        torch.sub((d_n_dot * m + d_n * m_dot) * (1 - r), d_n * m * r_dot, out=more[:, :, 0])
        torch.add((1 - 2 * z) * z_dot * (h_before - n), (z - z * z) * (h_before_dot - n_dot), out=more[:, :, 1])
        more *= at_h.unsqueeze(2)
        h_more = torch.zeros_like(h)
        torch.addcmul(at_recalled[1:] @ weight_dot, z_dot[1:], at_h[1:], out=h_more[:-1])

        _gru_backwards(h_more, more, d, z, weight)
        recalled_more = more.view_as(gates)
        weight_more = _product(recalled_more, h_before) + _product(at_recalled, h_before_dot)
        inputs_more = more.clone()
        torch.add(e_dot * at_h, e * h_more, out=inputs_more[:, :, 2])
        return h_dot, inputs_more.view_as(gates), weight_more, None, None, None


def _gru_backwards(h: Tensor, parts: Tensor, d: Tensor, z: Tensor, weight: Tensor) -> None:
    """Add to h' (T, N, H) and b' (T, N, 3, H) of each bar what reaches it from later ones, in place."""
    parts[-1].addcmul_(d[-1], h[-1].unsqueeze(1))
    now, after = (h, h.unsqueeze(2), d, parts), (parts.flatten(2), h, z)
    for h_t, column, d_t, to_parts, next_b, next_h, next_z in _backwards(now, after):
        h_t.addmm_(next_b, weight).addcmul_(next_h, next_z)
        to_parts.addcmul_(d_t, column)
