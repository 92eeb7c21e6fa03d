# [if template]
"""How the exported programs read images."""

import sys
import unicodedata
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

data: dict[str, np.ndarray] = {}
HEIGHT, WIDTH, CHANNELS, MODE, FAINTEST = 8, 8, 1, "L", 1e-8
# [end]
KINDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# [if shifted]
mean, std = (torch.from_numpy(data[name])[:, None, None] for name in ("mean", "std"))
# [end]
# [if whitened]
mean, whitening = (torch.from_numpy(data[name]) for name in ("zca_mean", "zca_forward"))
# [end]
# [if whitened_each]
whitening = torch.from_numpy(data["zca_forward"])
# [end]


def read(path):
    """One image as the network sees it."""
    try:
        image = ImageOps.exif_transpose(Image.open(path))
        if image.mode.startswith("I"):  # 16 bits per pixel, which Pillow would clip at 255
            image = Image.fromarray((np.array(image) / 257).round().astype("uint8"))
    except (OSError, ValueError):
        sys.exit(f"{path} cannot be read as an image. Remove it from the folder, or save it again.")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert(MODE)
    # [if crop]
    image = ImageOps.fit(image, (WIDTH, HEIGHT), Image.Resampling.BILINEAR)  # crop the centre
    # [end]
    # [if pad]
    image = ImageOps.pad(image, (WIDTH, HEIGHT), Image.Resampling.BILINEAR)  # pad with black
    # [end]
    # [if stretch]
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    # [end]
    pixels = torch.from_numpy(np.array(image)).view(HEIGHT, WIDTH, CHANNELS).permute(2, 0, 1) / 255
    # [if shifted]
    return (pixels - mean) / std
    # [end]
    # [if whitened]
    return ((pixels.flatten() - mean) @ whitening).view_as(pixels)
    # [end]
    # [if whitened_each]
    unit = F.normalize(pixels.flatten() - pixels.mean(), dim=0, eps=FAINTEST)
    return (unit @ whitening).view_as(pixels)
    # [end]


def listed(folder):
    """(path, class) of each image in the sub-folders of a folder."""
    paths = sorted(path for path in Path(folder).glob("*/*") if path.suffix.lower() in KINDS and path.name[0] != ".")
    if not paths:
        sys.exit(f"There are no images in the sub-folders of {folder}. Put them in one sub-folder per class.")
    return [(path, unicodedata.normalize("NFC", path.parent.name)) for path in paths]  # macOS separates accents
