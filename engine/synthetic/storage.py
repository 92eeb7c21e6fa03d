"""How the tensors of a set are stored: float32, float16, or codes of 8 bits and fewer with a scale and an offset.

    x ~ offset_c + scale_c * q,   q in 0 .. 2^b - 1,   for every channel c

Scale and offset come from a few rounds of least squares, so that the squared error is small: at few bits, values at the
ends are cut to make the many in the middle finer. Codes are packed without gaps: n codes take ceil(n b / 8) bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from engine.core.errors import DataError

WIDTHS = (32, 16, 8, 4, 3, 2)
"""Bits per value: float32, float16, or codes."""
CODED = 8
"""Widths from here down are codes."""
CHANNEL_BYTES = 8
"""Of a scale and an offset."""
ROUNDS, CUTS = 6, (0.8, 0.65, 0.5, 0.4)
"""Of least squares; and the shares of the range of values that they may begin with."""
MOST_HALF = torch.finfo(torch.float16).max
Role = Literal["values", "fine", "exact", "index"]


@dataclass(frozen=True)
class Part:
    """What a tensor of a set is.

    role: "values" are stored in as many bits as asked for; "fine" ones (labels, means, networks) in float16 at least;
    "exact" ones (rates) in float32; an "index" (of a class) in a byte, two above 256 classes. axis: of the channels.
    is_counted: False if it follows from the description of the set or from its preparation.
    """

    role: Role = "values"
    axis: int = 0
    is_counted: bool = True

    def width(self, bits: int) -> int:
        """Bits per value in a set of `bits` bits."""
        return {"values": bits, "fine": max(bits, 16), "exact": 32, "index": 8}[self.role]


@dataclass(frozen=True)
class Affine:
    """What codes stand for, in the header of a file; `read` checks it. axis: of the channels in `shape`."""

    bits: Annotated[int, Field(ge=1, le=8)]
    shape: tuple[Annotated[int, Field(ge=1, le=10**9)], ...]
    axis: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Stored:
    """A tensor as it is stored: as it is, or packed codes (P,) uint8 with scale (C,) and offset (C,) float32."""

    values: Tensor
    affine: Affine | None = None
    scale: Tensor | None = None
    offset: Tensor | None = None

    def tensors(self, name: str) -> dict[str, Tensor]:
        """What a file holds, on the CPU."""
        parts = {name: self.values, f"{name}.scale": self.scale, f"{name}.offset": self.offset}
        return {key: value.detach().cpu().contiguous() for key, value in parts.items() if value is not None}

    def num_bytes(self) -> int:
        return sum(value.nbytes for value in (self.values, self.scale, self.offset) if value is not None)

    def decoded(self) -> Tensor:
        """The values: float32, or int64 classes."""
        if self.affine is None or self.scale is None or self.offset is None:
            values = self.values
            return values.float() if values.is_floating_point() else values.long()
        shape, axis = self.affine.shape, self.affine.axis
        codes = unpacked(self.values, self.affine.bits, math.prod(shape)).view(shape[axis], -1)
        rows = (self.offset.double()[:, None] + self.scale.double()[:, None] * codes).float()
        return rows.view(shape[axis], *shape[:axis], *shape[axis + 1 :]).movedim(0, axis).contiguous()


def encode(value: Tensor, part: Part, bits: int, name: str) -> Stored:
    """A tensor as a set of `bits` bits stores it; values beyond float16 stay float32. name: for the message.

    Raises DataError for values that are not finite.
    """
    value, width = value.detach(), part.width(bits)
    if part.role == "index":
        return Stored(value.to(torch.uint8 if not value.numel() or int(value.max()) < 256 else torch.int16))
    if width == 32:
        return Stored(value.clone())
    if not bool(torch.isfinite(value).all()):
        problem = f"'{name}' of the distilled set holds values that are infinite or not numbers"
        raise DataError(f"{problem}, so it cannot be stored in {bits} bits. Start again with lower learning rates.")
    if width > CODED:
        is_beyond = value.numel() and float(value.abs().max()) > MOST_HALF
        return Stored(value if is_beyond else value.half())
    rows = value.movedim(part.axis, 0).flatten(1)
    scale, offset = _fitted(rows.double(), 2**width - 1)
    codes = _codes(rows.double(), scale[:, None].double(), offset[:, None].double(), 2**width - 1)
    affine = Affine(width, tuple(value.shape), part.axis)
    return Stored(packed(codes.flatten().to(torch.uint8), width), affine, scale, offset)


def read(tensors: Mapping[str, Tensor], coded: Any) -> dict[str, Stored]:
    """The tensors of a file. coded: the `Affine` of each that is, by name.

    Raises ValueError, KeyError or pydantic's ValidationError for what `Stored.tensors` never writes.
    """
    left, found = dict(tensors), {}
    for name, affine in TypeAdapter(dict[str, Affine]).validate_python(coded).items():
        values, scale, offset = left.pop(name), left.pop(f"{name}.scale"), left.pop(f"{name}.offset")
        size = -(-math.prod(affine.shape) * affine.bits // 8)
        if values.dtype != torch.uint8 or values.shape != (size,) or affine.axis >= len(affine.shape):
            raise ValueError(f"{tuple(values.shape)} codes of {affine.bits} bits for a shape of {affine.shape}")
        for part in (scale, offset):
            is_sound = part.dtype == torch.float32 and part.shape == (affine.shape[affine.axis],)
            if not is_sound or not bool(torch.isfinite(part).all()):
                raise ValueError(f"a scale or offset of '{name}' that is not one number per channel")
        found[name] = Stored(values, affine, scale, offset)
    return {name: Stored(value) for name, value in left.items()} | found


def headers(parts: Mapping[str, Stored]) -> dict[str, Any]:
    """What the header of a file says of its codes, for `read`."""
    return {name: asdict(each.affine) for name, each in parts.items() if each.affine is not None}


def packed(codes: Tensor, bits: int) -> Tensor:
    """Codes (n,) uint8, all below 2^bits, as (ceil(n bits / 8),) uint8: bit by bit, the highest first."""
    if bits == 8:
        return codes
    rows = np.unpackbits(codes.cpu().numpy()[:, None], axis=1)[:, 8 - bits :]
    return torch.from_numpy(np.packbits(rows)).to(codes.device)


def unpacked(values: Tensor, bits: int, count: int) -> Tensor:
    """The `count` codes (n,) uint8 that were packed."""
    if bits == 8:
        return values
    rows = np.unpackbits(values.cpu().numpy(), count=count * bits).reshape(count, bits)
    codes = np.packbits(rows, axis=1) >> (8 - bits)  # each filled up to 8 bits at its end
    return torch.from_numpy(codes[:, 0]).to(values.device)


def _fitted(rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Scale (C,) and offset (C,), float32, of channels (C, n) float64 in codes up to `most`; see the file's head."""
    low, high = rows.aminmax(dim=1, keepdim=True)
    fits = [_rounded(rows, (high - low) / most, low, most)]
    for share in CUTS:
        cut = (1 - share) / 2 * (high - low)
        fits.append(_rounded(rows, share * (high - low) / most, low + cut, most))
    best = _best(fits)
    for _ in range(ROUNDS):
        codes = _codes(rows, best.scale, best.offset, most)
        mean, centre = codes.mean(1, keepdim=True), rows.mean(1, keepdim=True)
        spread = (codes - mean).square().sum(1, keepdim=True)
        scale = ((codes - mean) * (rows - centre)).sum(1, keepdim=True) / torch.where(spread > 0, spread, torch.inf)
        best = _best([best, _rounded(rows, scale, centre - scale * mean, most)])
    return best.scale[:, 0].float(), best.offset[:, 0].float()


class _Fit(NamedTuple):
    """Scale and offset (C, 1) float64 that are float32 numbers, and their squared errors (C, 1)."""

    scale: Tensor
    offset: Tensor
    errors: Tensor


def _rounded(rows: Tensor, scale: Tensor, offset: Tensor, most: int) -> _Fit:
    scale, offset = scale.float().double(), offset.float().double()
    errors = offset + scale * _codes(rows, scale, offset, most) - rows
    return _Fit(scale, offset, errors.square().sum(1, keepdim=True))


def _best(fits: list[_Fit]) -> _Fit:
    """The fit with the smallest error for each channel, the first of equals."""
    best = fits[0]
    for fit in fits[1:]:
        is_better = fit.errors < best.errors
        best = _Fit(*(torch.where(is_better, new, old) for new, old in zip(fit, best, strict=True)))
    return best


def _codes(rows: Tensor, scale: Tensor, offset: Tensor, most: int) -> Tensor:
    """The nearest codes (C, n) of channels (C, n); all zero where the scale is."""
    return ((rows - offset) / torch.where(scale > 0, scale, torch.inf)).round().clamp(0, most)
