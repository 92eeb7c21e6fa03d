"""What the programs that go with distilled sets have in common: they open distilled.npz, and read images of a folder."""

from __future__ import annotations

from string import Template

from engine.data.source import TaskSpec
from engine.data.transforms import zca
from engine.data.transforms.preparation import Preparation

FITS = {
    "crop": "ImageOps.fit(image, ($width, $height), Image.Resampling.BILINEAR)  # its middle is cut out",
    "pad": "ImageOps.pad(image, ($width, $height), Image.Resampling.BILINEAR)  # between black bars",
    "stretch": "image.resize(($width, $height), Image.Resampling.BILINEAR)",
}
SHIFTED = (
    'mean, std = (torch.from_numpy(data[name])[:, None, None] for name in ("mean", "std"))',
    "(pixels - mean) / std",
)
WHITENED = (
    'mean, whitening = (torch.from_numpy(data[name]) for name in ("zca_mean", "zca_forward"))',
    "((pixels.flatten() - mean) @ whitening).view_as(pixels)",
)
WHITENED_EACH = (
    'whitening = torch.from_numpy(data["zca_forward"])',
    f"(nn.functional.normalize(pixels.flatten() - pixels.mean(), dim=0, eps={zca.FAINTEST:g}) @ whitening).view_as(pixels)",
)
PREPARED = {type(None): SHIFTED, zca.Zca: WHITENED, zca.PerImageZca: WHITENED_EACH}

OPENING = """\
import math
import sys
import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

data = dict(np.load(Path(__file__).with_name("distilled.npz")))"""
READING = Template('''\
KINDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
$fitted


def read(path):
    """One image as the network sees it."""
    try:
        image = ImageOps.exif_transpose(Image.open(path))
        if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off at 255
            image = Image.fromarray((np.array(image) / 257).round().astype("uint8"))
    except (OSError, ValueError):
        sys.exit(f"{path} cannot be read as an image. Take it out of the folder, or save it again.")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("$mode")
    image = $fit
    pixels = torch.from_numpy(np.array(image)).view($height, $width, $channels).permute(2, 0, 1) / 255
    return $prepared''')


def reading(spec: TaskSpec, preparation: Preparation, fit: str) -> str:
    """The lines that define KINDS, endings of image files, and read(path), an image as the network sees it.

    spec: shape (C, H, W) of the samples. fit: how an image is brought to size, one of FITS.
    """
    channels, height, width = spec.sample_shape
    fitted, prepared = PREPARED[type(preparation.whitening)]
    return READING.substitute(
        channels=channels,
        height=height,
        width=width,
        mode="L" if channels == 1 else "RGB",
        fit=Template(FITS[fit]).substitute(height=height, width=width),
        fitted=fitted,
        prepared=prepared,
    )
