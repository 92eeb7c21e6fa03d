"""Random views of images, on which teachers are trained: two views of an image should have the same representation.

In this order: crop and resize, horizontal flip; brightness, contrast, saturation and hue; greyscale; blur. Each image
has its own numbers, all drawn on the CPU at once. Colour changes are one linear map per image.

Sources: SimCLR: Chen et al. 2020, arXiv:2002.05709, appendix A. Barlow Twins: Zbontar et al. 2021, arXiv:2103.03230,
section 2. Here colour changes come in a fixed order, and values are clipped once, at the end.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

JITTERED = 0.8  # share of views with changed colours
MIRRORED = 0.5
ASPECTS = (3 / 4, 4 / 3)  # range of a crop's width over its height, in pixels
SIGMAS = (0.1, 2.0)  # range of the blur's standard deviation, in pixels
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in the brightness of a pixel
YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
_COLOUR_NUMBERS = ("is_jittered", "brightness", "contrast", "saturation", "hue", "grey")
NUMBERS = ("area", "aspect", "row", "column", "mirror", *_COLOUR_NUMBERS, "is_blurred", "sigma")
"""Drawn for each view, in [0, 1)."""


@dataclass(frozen=True)
class Views:
    """A random view of each image. Colour options do not change grey images.

    crop_scale: smallest share of the area in a view, in (0, 1]. mirror: flip half of the views. jitter: how far the
    factors of brightness and contrast are from 1, in [0, 1]; half as far for saturation, a quarter of it, as a share of
    the full circle, for hue. grey_share, blur_share: of views in greyscale, and blurred.
    """

    crop_scale: float
    mirror: bool
    jitter: float
    grey_share: float
    blur_share: float

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Views (N, C, H, W) of pixels (N, C, H, W), both in [0, 1], by a CPU generator."""
        # always float64: pixels of any precision get the same choices from a generator
        drawn = torch.rand(len(pixels), len(NUMBERS), generator=generator, dtype=torch.float64)
        of = dict(zip(NUMBERS, drawn.to(pixels.device).unbind(1), strict=True))
        views = self._warped(pixels, of)
        if self.jitter or self.grey_share:
            views = self._coloured(views, of)
        if self.blur_share:
            views = self._blurred(views, of)
        return views

    def _warped(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Cropped and flipped, in one interpolation."""
        area = _between(of["area"], self.crop_scale, 1.0)
        aspect = _between(of["aspect"], *map(math.log, ASPECTS)).exp()
        height, width = pixels.shape[2:]
        # a crop is no larger than the image
        across = (area * aspect * height / width).sqrt().clamp(max=1.0)
        down = (area / aspect * width / height).sqrt().clamp(max=1.0)
        x, y = _between(of["column"], -1.0, 1.0) * (1 - across), _between(of["row"], -1.0, 1.0) * (1 - down)
        turned = torch.where(of["mirror"] < MIRRORED, -across, across) if self.mirror else across
        zero = torch.zeros_like(x)
        matrices = torch.stack([turned, zero, x, zero, down, y], 1).reshape(-1, 2, 3)
        grid = F.affine_grid(matrices.to(pixels.dtype), list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _coloured(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Brightness, contrast, saturation, hue and greyscale as one map of an image's colours: x -> M x + offset."""
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
            # greyscale is luma in every channel; hue does not change it
            to_grey = luma.expand(3, 3)
            mixed = to_grey + saturation[:, None, None] * (torch.eye(3).to(pixels) - to_grey)
            colours = _hue(turn) @ mixed * (brightness * contrast)[:, None, None]
            changed = torch.bmm(colours, pixels.flatten(2)).view_as(pixels)
            mean = means @ luma
        else:
            changed = pixels * (brightness * contrast)[:, None, None, None]
            mean = means.mean(1)
        # contrast scales around the mean of the brightened image; later colour changes keep a grey offset
        offset = (1 - contrast) * brightness * mean
        return changed.add_(offset[:, None, None, None]).clamp_(0, 1)

    def _blurred(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Some of them blurred by a Gaussian kernel of 3 x 3 pixels, with reflected edges."""
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
    """Numbers in [0, 1) mapped to [low, high)."""
    return low + numbers * (high - low)


def _hue(turn: Tensor) -> Tensor:
    """Colour maps (N, 3, 3) that turn the hue by (N,) radians: rotations of I and Q in YIQ."""
    to_yiq = torch.tensor(YIQ, dtype=turn.dtype, device=turn.device)
    cos, sin, one, zero = turn.cos(), turn.sin(), torch.ones_like(turn), torch.zeros_like(turn)
    rotation = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).reshape(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ rotation @ to_yiq
