"""One image file to pixels of the size that was asked for, or the reason why not."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import BmpImagePlugin, ExifTags, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from engine.core.errors import DataError
from engine.data.images.options import ImportOptions
from engine.data.imported.limits import Limits, variable

# asked for by name, these four decide by a file's content whether it is theirs; no other reader ever sees it
FORMATS = tuple(plugin.format for plugin in (
    JpegImagePlugin.JpegImageFile, PngImagePlugin.PngImageFile, WebPImagePlugin.WebPImageFile, BmpImagePlugin.BmpImageFile
))  # fmt: skip
PHOTO_PAIR = "MPO"  # what Pillow calls a JPEG that carries a preview or a second view, as phones make them
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's orientations, and what mends them
SIDEWAYS = (5, 6, 7, 8)
DIGEST_BYTES = 16
LARGE_PIXELS = 8_000_000

# our own bound on pixels is lower than the one at which Pillow warns, and says more
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_one_large_image = threading.Lock()


class Undecodable(Exception):
    """An image that is left out; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """What is known of an image. width and height: upright, as in its file. digest: of the pixels that were kept."""

    width: int
    height: int
    digest: bytes
    is_grey: bool


def decode(content: bytes, into: np.ndarray, options: ImportOptions, caps: Limits) -> Decoded:
    """Decode a file to pixels of `options.image_size`, upright, transparency over white, 16 bits scaled to 8.

    Args:
        content: the whole file.
        into: (C, S, S) uint8, written; one channel for grey, three otherwise.

    Raises:
        Undecodable: it is damaged, animated, too large or too small.
        DataError: there is no memory for it now.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image, caps)
            # at full size an image may take hundreds of megabytes: large ones one at a time
            with _one_large_image if image.width * image.height > LARGE_PIXELS else contextlib.nullcontext():
                return _decode(image, into, options)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Undecodable(_too_many(caps)) from None
    except Undecodable:
        raise
    except MemoryError:
        raise DataError(
            f"There is not enough memory to decode an image; free some, or set {variable('max_pixels')} below "
            f"{caps.max_pixels:,}."
        ) from None
    except Exception as error:  # a broken file makes Pillow's readers raise whatever their parsing ran into
        raise Undecodable(f"is damaged ({_said(error)})") from None


def _said(error: Exception) -> str:
    text = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return "its content is cut short or unreadable" if "<_io" in text else text


def _check(image: Image.Image, caps: Limits) -> None:
    width, height = image.size
    if width * height > caps.max_pixels:
        raise Undecodable(f"is {width:,} x {height:,} pixels large: " + _too_many(caps).removeprefix("has "))
    if min(width, height) < caps.min_side:
        raise Undecodable(f"is {width:,} x {height:,} pixels; both sides need {caps.min_side} or more")
    if getattr(image, "n_frames", 1) > 1 and image.format != PHOTO_PAIR:
        raise Undecodable("is animated; save one frame of it")


def _too_many(caps: Limits) -> str:
    return f"has more than the {caps.max_pixels:,} pixels allowed ({variable('max_pixels')})"


def _decode(image: Image.Image, into: np.ndarray, options: ImportOptions) -> Decoded:
    width, height = image.size
    # a JPEG can be decoded at a half, a quarter or an eighth of its size; twice the wanted one keeps its quality
    image.draft(image.mode, (2 * options.image_size, 2 * options.image_size))
    image.load()
    orientation = _orientation(image)
    small = _over_white(_fitted(_plain(image), options.image_size, options.fit))
    if options.fit == "pad":
        small = _padded(small, options.image_size)
    if orientation in UPRIGHT:
        small = small.transpose(UPRIGHT[orientation])
    if options.colour == "grey":
        pixels = np.asarray(small.convert("L"))[:, :, None]
    else:
        pixels = np.asarray(small.convert("RGB"))
    into[:] = pixels.transpose(2, 0, 1)
    return Decoded(
        *((height, width) if orientation in SIDEWAYS else (width, height)),
        hashlib.blake2b(into.tobytes(), digest_size=DIGEST_BYTES).digest(),
        bool((pixels == pixels[:, :, :1]).all()),
    )


def _orientation(image: Image.Image) -> int:
    """EXIF's number for how the camera was held, 1 for upright."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken block of camera data, read by many parsers, must not cost the picture
        return 1


def _plain(image: Image.Image) -> Image.Image:
    """The same image as L, RGB or RGBA, 8 bits a channel."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65_535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _fitted(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Scaled with antialiasing: to `size` x `size`, or inside it for "pad"."""
    width, height = image.size
    if fit == "pad":
        longer = max(width, height)
        shape = tuple(max(1, round(side * size / longer)) for side in (width, height))
        return image.resize(shape, Image.Resampling.BILINEAR)
    box = None
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _padded(image: Image.Image, size: int) -> Image.Image:
    """In the middle of a black square."""
    square = Image.new("RGB", (size, size))
    square.paste(image.convert("RGB"), ((size - image.width) // 2, (size - image.height) // 2))
    return square
