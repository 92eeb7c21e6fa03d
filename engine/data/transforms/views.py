"""Random views of images, on which teachers are trained: two views of an image should have the same representation.

In this order: crop and resize, horizontal flip; brightness, contrast, saturation and hue; greyscale; blur. Each image
has its own numbers, all drawn on the CPU at once. Colour changes are one linear map per image.

Sources: SimCLR: Chen et al. 2020, arXiv:2002.05709, appendix A. Barlow Twins: Zbontar et al. 2021, arXiv:2103.03230,
section 2. Here colour changes come in a fixed order, and values are clipped once, at the end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.errors import ConfigError

JITTERED = 0.8  # share of views with changed colours
MIRRORED = 0.5
ASPECTS = (3 / 4, 4 / 3)  # range of a crop's width over its height, in pixels
SIGMAS = (0.1, 2.0)  # range of the blur's standard deviation, in pixels
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in the brightness of a pixel
YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
_COLOUR_NUMBERS = ("is_jittered", "brightness", "contrast", "saturation", "hue", "grey")
NUMBERS = ("area", "aspect", "row", "column", "mirror", *_COLOUR_NUMBERS, "is_blurred", "sigma")
"""Drawn for each view, in [0, 1)."""
STRENGTHS = ("crop_scale", "jitter", "hue", "blur_kernel")
"""Drawn for each view too, where there are several of one."""


@dataclass(frozen=True)
class Views:
    """A random view of each image. Colour options do not change grey images.

    Of several strengths each view draws one. crop_scale: smallest share of the area in a view, in (0, 1]. mirror: flip
    half of the views. jitter: how far the factors of brightness and contrast are from 1, in [0, 1]; half as far for
    saturation. hue: largest turns as shares of the full circle; a quarter of the jitter if empty. grey_share,
    blur_share: of views in greyscale, and blurred. blur_kernel: odd sides of the blur's kernel, in pixels.
    """

    crop_scale: Sequence[float]
    mirror: bool
    jitter: Sequence[float]
    grey_share: float
    blur_share: float
    hue: Sequence[float] = ()
    blur_kernel: Sequence[int] = (3,)

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Views (N, C, H, W) of pixels (N, C, H, W), both in [0, 1], by a CPU generator."""
        # always float64: pixels of any precision get the same choices from a generator
        drawn = torch.rand(len(pixels), len(NUMBERS), generator=generator, dtype=torch.float64)
        of = dict(zip(NUMBERS, drawn.to(pixels.device).unbind(1), strict=True))
        if any(len(each) > 1 for each in (self.crop_scale, self.jitter, self.hue, self.blur_kernel)):
            chosen = torch.rand(len(pixels), len(STRENGTHS), generator=generator, dtype=torch.float64)
            of |= dict(zip(STRENGTHS, chosen.to(pixels.device).unbind(1), strict=True))
        views = self._warped(pixels, of)
        if any((*self.jitter, *self.hue)) or self.grey_share:
            views = self._coloured(views, of)
        if self.blur_share:
            views = self._blurred(views, of)
        return views

    def _warped(self, pixels: Tensor, of: dict[str, Tensor]) -> Tensor:
        """Cropped and flipped, in one interpolation."""
        area = _between(of["area"], _drawn(self.crop_scale, of, "crop_scale"), 1.0)
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

        jitter = _drawn(self.jitter, of, "jitter")

        def factor(name: str, strength: Tensor | float) -> Tensor:
            return torch.where(is_jittered, _between(of[name], 1 - strength, 1 + strength), 1.0).to(pixels.dtype)

        brightness, contrast = factor("brightness", jitter), factor("contrast", jitter)
        means = pixels.mean((2, 3))  # (N, C)
        if pixels.shape[1] == 3:
            luma = pixels.new_tensor(LUMA)
            is_grey = of["grey"] < self.grey_share
            saturation = torch.where(is_grey, 0.0, factor("saturation", jitter / 2))
            turns = _drawn(self.hue, of, "hue") if self.hue else jitter / 4
            turn = (factor("hue", turns) - 1) * 2 * math.pi
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
        """Some of them blurred by a Gaussian kernel, with reflected edges. Raises ConfigError if it is too wide."""
        is_blurred, kernels = of["is_blurred"] < self.blur_share, _drawn(self.blur_kernel, of, "blur_kernel")
        for side in sorted(set(self.blur_kernel)):
            chosen = (is_blurred & (kernels == side)).nonzero().flatten()
            if len(chosen) and min(pixels.shape[2:]) > 1:
                sigma = _between(of["sigma"][chosen], *SIGMAS)
                pixels = pixels.index_copy(0, chosen, _smoothed(pixels[chosen], sigma, side // 2))
        return pixels


def _smoothed(pixels: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Pixels (n, C, H, W) blurred along rows and columns, each image by a kernel of its deviation (n,)."""
    if reach >= min(pixels.shape[2:]):
        sides = " x ".join(map(str, pixels.shape[2:]))
        problem = f"A blur kernel of {2 * reach + 1} pixels needs larger images than {sides}"
        raise ConfigError(f"{problem}. Lower the teacher's blur_kernel.")
    found = [(-0.5 * place**2 / sigma.square()).exp() for place in range(1, reach + 1)]
    whole = 1 + 2 * torch.stack(found).sum(0)
    beside = [(each / whole).to(pixels.dtype)[:, None, None, None] for each in found]
    for axis in (3, 2):
        padding = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
        padded, length, middle = F.pad(pixels, padding, mode="reflect"), pixels.shape[axis], pixels
        for place, weight in enumerate(beside, 1):
            before, after = (padded.narrow(axis, reach + step, length) for step in (-place, place))
            pixels = pixels + weight * (before + after - 2 * middle)
    return pixels


def _drawn(strengths: Sequence[float], of: dict[str, Tensor], name: str) -> Tensor:
    """The strength of each view: (n,) of several, or (1,) of a single one."""
    known = torch.tensor(strengths, dtype=torch.float64, device=of["area"].device)
    return known if len(strengths) == 1 else known[(of[name] * len(strengths)).long()]


def _between(numbers: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Numbers in [0, 1) mapped to [low, high)."""
    return low + numbers * (high - low)


def _hue(turn: Tensor) -> Tensor:
    """Colour maps (N, 3, 3) that turn the hue by (N,) radians: rotations of I and Q in YIQ."""
    to_yiq = torch.tensor(YIQ, dtype=turn.dtype, device=turn.device)
    cos, sin, one, zero = turn.cos(), turn.sin(), torch.ones_like(turn), torch.zeros_like(turn)
    rotation = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).reshape(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ rotation @ to_yiq
