"""From pixels to a student's inputs, and back: normalisation or whitening, fitted on training images alone."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from engine.core.errors import DataError
from engine.data.transforms import zca

WHITENINGS = {"standard": None, "unit": None, "zca": zca.Zca, "zca_podd": zca.PerImageZca}
"""The kinds of preparation, and the class of the fitted whitening."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """From pixels to a student's inputs, and back. Results store it, to be shown and used later.

    normalisation: a name in WHITENINGS. mean, std: (C,) float32, of the training pixels in [0, 1], also if not used.
    whitening: the fitted ZCA of "zca" and "zca_podd".
    """

    normalisation: str
    mean: Tensor
    std: Tensor
    whitening: zca.Zca | zca.PerImageZca | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 to prepared inputs, float32."""
        return self.of_pixels(images.float() / 255)

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1] to prepared inputs, float32."""
        if self.whitening is not None:
            return self.whitening.whiten(pixels)
        shift, scale = (value.to(pixels.device) for value in self._shift_and_scale())
        return (pixels - shift) / scale

    def inverse(self, inputs: Tensor) -> Tensor:
        """Prepared inputs (N, C, H, W) to pixels: in [0, 1] for real images, possibly outside for synthetic ones."""
        if self.whitening is not None:
            return self.whitening.colour(inputs)
        shift, scale = (value.to(inputs.device) for value in self._shift_and_scale())
        return inputs * scale + shift

    def to_display(self, inputs: Tensor) -> np.ndarray:
        """Prepared inputs (N, C, H, W) to pictures (N, H, W, C) uint8, rounded and clipped."""
        pixels = self.inverse(inputs.detach().float().cpu()) * 255
        # NaN shows as black: a preview of a diverged run must not fail
        pixels = pixels.nan_to_num(nan=0.0).round().clamp(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().numpy()

    def display_range(self) -> tuple[Tensor, Tensor] | None:
        """Prepared values (C, 1, 1) of black and of white; None for ZCA, where they depend on the position."""
        if self.whitening is not None:
            return None
        shift, scale = self._shift_and_scale()
        return (0 - shift) / scale, (1 - shift) / scale

    def is_like(self, other: Preparation) -> bool:
        """Whether both prepare pixels the same way, up to rounding."""
        mine, theirs = self.state(), other.state()
        return mine.keys() == theirs.keys() and all(
            torch.allclose(mine[name], theirs[name], rtol=1e-4, atol=1e-5) for name in mine
        )

    def state(self) -> dict[str, Tensor]:
        tensors = {f"{self.normalisation}.mean": self.mean, f"{self.normalisation}.std": self.std}
        if self.whitening is not None:
            tensors |= {f"whitening.{each.name}": getattr(self.whitening, each.name) for each in fields(self.whitening)}
        return tensors

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> Preparation:
        """The preparation that `state` described. Raises DataError for anything else."""
        kinds = [kind for kind in WHITENINGS if f"{kind}.mean" in tensors and f"{kind}.std" in tensors]
        record = WHITENINGS[kinds[0]] if len(kinds) == 1 else None
        whitening = [f"whitening.{each.name}" for each in fields(record)] if record else []
        if len(kinds) != 1 or not all(name in tensors for name in whitening):
            raise DataError("This result does not say how its images were normalised; another program wrote it.")
        fitted = record(*(tensors[name] for name in whitening)) if record else None
        return cls(kinds[0], tensors[f"{kinds[0]}.mean"], tensors[f"{kinds[0]}.std"], fitted)

    def _shift_and_scale(self) -> tuple[Tensor, Tensor]:
        """(C, 1, 1) each."""
        if self.normalisation == "unit":
            return torch.zeros_like(self.mean)[:, None, None], torch.ones_like(self.std)[:, None, None]
        # a constant channel is only shifted, to zero
        return self.mean[:, None, None], torch.where(self.std > 0, self.std, 1.0)[:, None, None]
