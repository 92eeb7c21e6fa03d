"""Views of images: each changed at random, so that what stays the same is what a teacher learns to see.

    views = Views(crop_scale=0.2, mirror=True, jitter=0.4, grey_share=0.2, blur_share=0.5)
    first, second = views(pixels, generator), views(pixels, generator)

In this order: a random part of the image enlarged to the whole, mirrored; brightness, contrast, saturation and hue; no colour;
blur. Each image has its own numbers, drawn on the CPU at once. Changes of colour are one linear map an image.

Sources: SimCLR: Chen et al. 2020, arXiv:2002.05709, appendix A. Barlow Twins: Zbontar et al. 2021, arXiv:2103.03230, section 2.
Here changes of colour come in a fixed order and are clipped once, at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

JITTERED = 0.8
"""Share of views whose colours change."""
MIRRORED = 0.5
ASPECTS = (3 / 4, 4 / 3)
"""Least and largest width of a crop over its height, in pixels."""
SIGMAS = (0.1, 2.0)
"""Least and largest deviation of the blur, in pixels."""
LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue give to the brightness of a pixel."""
YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
NUMBERS = (
    "area", "aspect", "row", "column", "mirror", "is_jittered", "brightness", "contrast", "saturation", "hue", "grey",
    "is_blurred", "sigma",
)  # fmt: skip
"""What is drawn for each view, in [0, 1)."""


@dataclass(frozen=True)
class Views:
    """A random view of each image.

    crop_scale: the smallest share of its area that a view shows, in (0, 1]. mirror: half of the views are mirrored.
    jitter: in [0, 1], how far the factors of brightness and contrast are from 1; half of it for saturation, a quarter of it, as
    a share of the whole turn, for hue. grey_share, blur_share: of views without colour, and blurred. What is said of colour
    leaves grey images alone.
    """

    crop_scale: float
    mirror: bool
    jitter: float
    grey_share: float
    blur_share: float

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Views (N, C, H, W) of pixels (N, C, H, W) in [0, 1], in the same range; the numbers come from a CPU generator."""
        # float64 whatever the pixels: a generator then gives every precision the same choices
        drawn = torch.rand(len(pixels), len(NUMBERS), generator=generator, dtype=torch.float64)
        of = dict(zip(NUMBERS, drawn.to(pixels.device).unbind(1), strict=True))
        views = self._warped(pixels, of)
        if self.jitter or self.grey_share:
            views = self._coloured(views, of)
        if self.blur_share:
            views = self._blurred(views, of)
        return views

    def _warped(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Cropped and mirrored, in one interpolation."""
        area = _between(of["area"], self.crop_scale, 1.0)
        aspect = _between(of["aspect"], *map(math.log, ASPECTS)).exp()
        height, width = pixels.shape[2:]
        # a crop that would be wider or higher than the image is cut to it
        across = (area * aspect * height / width).sqrt().clamp(max=1.0)
        down = (area / aspect * width / height).sqrt().clamp(max=1.0)
        x, y = _between(of["column"], -1.0, 1.0) * (1 - across), _between(of["row"], -1.0, 1.0) * (1 - down)
        turned = torch.where(of["mirror"] < MIRRORED, -across, across) if self.mirror else across
        zero = torch.zeros_like(x)
        matrices = torch.stack([turned, zero, x, zero, down, y], 1).reshape(-1, 2, 3)
        grid = F.affine_grid(matrices.to(pixels.dtype), list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _coloured(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Brightness, contrast, saturation, hue and grey as one map of an image's colours: x -> M x + offset."""
        is_jittered = of["is_jittered"] < JITTERED

        def factor(name: str, strength: float) -> Tensor:
            return torch.where(is_jittered, _between(of[name], 1 - strength, 1 + strength), 1.0).to(pixels.dtype)

        brightness, contrast = factor("brightness", self.jitter), factor("contrast", self.jitter)
        means = pixels.mean((2, 3))  # (N, C)
        if pixels.shape[1] == 3:
            luma = pixels.new_tensor(LUMA)
            is_grey = of["grey"] < self.grey_share
            saturation = torch.where(is_grey, 0.0, factor("saturation", self.jitter / 2))
            turn = (factor("hue", self.jitter / 4) - 1) * 2 * math.pi
            # grey is luma in every channel; its colours have nothing to turn
            to_grey = luma.expand(3, 3)
            mixed = to_grey + saturation[:, None, None] * (torch.eye(3).to(pixels) - to_grey)
            colours = _hue(turn) @ mixed * (brightness * contrast)[:, None, None]
            changed = torch.bmm(colours, pixels.flatten(2)).view_as(pixels)
            mean = means @ luma
        else:
            changed = pixels * (brightness * contrast)[:, None, None, None]
            mean = means.mean(1)
        # contrast moves pixels from the mean of the brightened image, and a grey offset is grey whatever follows
        offset = (1 - contrast) * brightness * mean
        return changed.add_(offset[:, None, None, None]).clamp_(0, 1)

    def _blurred(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Some of them with a gaussian kernel of 3 x 3 pixels, edges reflected."""
        chosen = (of["is_blurred"] < self.blur_share).nonzero().flatten()
        if not len(chosen) or min(pixels.shape[2:]) < 2:
            return pixels
        beside = (-0.5 / _between(of["sigma"][chosen], *SIGMAS).square()).exp()
        beside = (beside / (1 + 2 * beside)).to(pixels.dtype)[:, None, None, None]  # of the kernel (b, 1 - 2 b, b)
        padded = F.pad(pixels[chosen], (1, 1, 1, 1), mode="reflect")
        rows = padded[:, :, 1:-1] + beside * (padded[:, :, :-2] + padded[:, :, 2:] - 2 * padded[:, :, 1:-1])
        middle = rows[:, :, :, 1:-1]
        blurred = middle + beside * (rows[:, :, :, :-2] + rows[:, :, :, 2:] - 2 * middle)
        return pixels.index_copy(0, chosen, blurred)


def _between(numbers: Tensor, low: float, high: float) -> Tensor:
    """Numbers in [0, 1) spread over [low, high)."""
    return low + numbers * (high - low)


def _hue(turn: Tensor) -> Tensor:
    """Maps of colours (N, 3, 3) that turn the hue by (N,) radians: a rotation of I and Q in YIQ."""
    to_yiq = torch.tensor(YIQ, dtype=turn.dtype, device=turn.device)
    cos, sin, one, zero = turn.cos(), turn.sin(), torch.ones_like(turn), torch.zeros_like(turn)
    rotation = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).reshape(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ rotation @ to_yiq
