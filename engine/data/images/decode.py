"""Decode an image file to pixels of the chosen size, or say why it cannot be used."""

import contextlib
import hashlib
import io
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from engine.core.errors import DataError
from engine.data.images.options import ImportOptions
from engine.data.imported.limits import Limits, variable
from engine.data.imported.names import Skipped

_READERS = (JpegImageFile, PngImageFile, WebPImageFile, BmpImageFile)
FORMATS = tuple(reader.format for reader in _READERS if reader.format)  # no other reader of Pillow sees a file
PHOTO_PAIR = "MPO"  # Pillow's name for a JPEG with a preview or a second view, as phones make them
_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
UPRIGHT = {orientation: Image.Transpose[turn] for orientation, turn in enumerate(_TURNS.split(), 2)}
"""What makes an image of this EXIF orientation upright."""
SIDEWAYS = (5, 6, 7, 8)
DIGEST_BYTES = 16
LARGE_PIXELS = 8_000_000

# our own limit on pixels is lower than the one at which Pillow warns
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_one_large_image = threading.Lock()


@dataclass(frozen=True)
class Decoded:
    """A decoded image. width, height: of the file, upright. digest: of the scaled pixels."""

    width: int
    height: int
    digest: bytes
    is_grey: bool


def decode(content: bytes, into: np.ndarray, options: ImportOptions, caps: Limits) -> Decoded:
    """Decode a file to `options.image_size`, upright, transparency on white, 16 bits scaled to 8.

    into: (C, S, S) uint8, written; C is 1 for grey, otherwise 3. Raises Skipped if the image cannot be used.
    """
    too_many = f"more than the {caps.max_pixels:,} pixels allowed ({variable('max_pixels')})"
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > caps.max_pixels:
                raise Skipped(f"is {width:,} x {height:,} pixels large: {too_many}")
            if min(width, height) < caps.min_side:
                raise Skipped(f"is {width:,} x {height:,} pixels; both sides need {caps.min_side} or more")
            if getattr(image, "n_frames", 1) > 1 and image.format != PHOTO_PAIR:
                raise Skipped("is animated; save one frame of it")
            # a large image may take hundreds of megabytes at full size: one at a time
            with _one_large_image if width * height > LARGE_PIXELS else contextlib.nullcontext():
                return _decode(image, into, options)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Skipped(f"has {too_many}") from None
    except Skipped:
        raise
    except MemoryError:
        lower = f"set {variable('max_pixels')} below {caps.max_pixels:,}"
        raise DataError(f"There is not enough memory to decode an image; free some, or {lower}.") from None
    except Exception as error:  # Pillow's readers raise many kinds of errors for damaged files
        text = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        why = "its content is truncated or unreadable" if "<_io" in text else text
        raise Skipped(f"is damaged ({why})") from None


def _decode(image: Image.Image, into: np.ndarray, options: ImportOptions) -> Decoded:
    width, height = image.size
    # a JPEG decodes faster at 1/2, 1/4 or 1/8 of its size; twice the wanted size keeps the quality
    image.draft(image.mode, (2 * options.image_size, 2 * options.image_size))
    image.load()
    orientation = 1
    with contextlib.suppress(Exception):  # damaged camera data must not cost the picture
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    small = _scaled(_plain(image), options.image_size, options.fit)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    if options.fit == "pad":
        square = Image.new("RGB", (options.image_size, options.image_size))
        left, top = ((options.image_size - side) // 2 for side in small.size)
        square.paste(small.convert("RGB"), (left, top))
        small = square
    if orientation in UPRIGHT:
        small = small.transpose(UPRIGHT[orientation])
    pixels = np.atleast_3d(np.asarray(small.convert("L" if options.colour == "grey" else "RGB")))
    into[:] = pixels.transpose(2, 0, 1)
    if orientation in SIDEWAYS:
        width, height = height, width
    digest = hashlib.blake2b(into.tobytes(), digest_size=DIGEST_BYTES).digest()
    return Decoded(width, height, digest, bool((pixels == pixels[:, :, :1]).all()))


def _plain(image: Image.Image) -> Image.Image:
    """The same image as L, RGB or RGBA, 8 bits per channel."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65_535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def _scaled(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Scaled with antialiasing: to `size` x `size`, or inside it for "pad"."""
    width, height = image.size
    if fit == "pad":
        inner = (max(1, round(width * size / max(width, height))), max(1, round(height * size / max(width, height))))
        return image.resize(inner, Image.Resampling.BILINEAR)
    left, top = ((side - min(image.size)) / 2 if fit == "crop" else 0 for side in image.size)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, width - left, height - top))
