"""Pictures of many small images: one composed grid, named by class, on a transparent ground."""

import base64
import io
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.figures.palette import Theme

MAX_IMAGES = 200  # images in one grid; more could not be told apart
ROUND = 6000  # length of an animation in milliseconds
_TEXT = {"light": (80, 86, 94), "dark": (190, 195, 202), "page": (128, 133, 140)}
_GROUND = {"light": (255, 255, 255), "dark": (21, 24, 28), "page": (255, 255, 255)}


def grid_png(
    images: np.ndarray, labels: Sequence[str] = (), *, columns: int = 0, theme: Theme = "light", width: int = 1000
) -> bytes:
    """A PNG of `images` in rows, enlarged by a whole factor without smoothing, class names beside them.

    Args:
        images: (N, H, W, C) uint8 with 1 or 3 channels; the first MAX_IMAGES are shown.
        labels: a class name per image, or none. Where each class has several images, each class gets a column.
        columns: images a row; chosen from the number of images and classes if 0.
        width: about how wide the picture becomes, pixels.
    """
    return encoded(grid_image(images, labels, columns=columns, theme=theme, width=width))


def grid_image(
    images: np.ndarray, labels: Sequence[str] = (), *, columns: int = 0, theme: Theme = "light", width: int = 1000
) -> Image.Image:
    """The same as an RGBA picture."""
    images, labels = images[:MAX_IMAGES], list(labels[:MAX_IMAGES]) if any(labels) else []
    order, columns, is_by_class = _layout(len(images), labels, columns)
    height_in, width_in = images.shape[1:3]
    gap = max(4, width // 160)
    cell = max(1, (width - gap * (columns - 1)) // columns)
    factor = max(1, cell // width_in)
    tile_w, tile_h = width_in * factor, height_in * factor
    size = max(12, min(26, tile_w // 4))
    named = {"above" if is_by_class else "below": size + 8 if labels else 0}
    canvas = tiled(images[order], columns, factor, gap, **named)
    draw = ImageDraw.Draw(canvas)
    for place, index in enumerate(order[:columns] if is_by_class else order if labels else ()):
        row, column = divmod(place, columns)
        top = 0 if is_by_class else row * (tile_h + gap + size + 8) + tile_h + 2
        _write(draw, labels[index], column * (tile_w + gap) + tile_w / 2, top, tile_w + gap - 2, size, theme)
    return canvas


def rows_png(rows: Sequence[tuple[str, np.ndarray]], *, theme: Theme = "light", width: int = 1000) -> bytes:
    """A PNG of several rows of images, one below the other, so that what belongs together stands in one column.

    rows: a name, written above its row, and (N, H, W, C) uint8 images, of the same N, H and W in each.
    """
    num, _, width_in, _ = rows[0][1].shape
    gap, size = max(4, width // 160), max(12, width // 40)
    factor = max(1, (width - gap * (num - 1)) // num // width_in)
    strips = [tiled(images, num, factor, gap, above=size + 6) for _, images in rows]
    wide, tall = strips[0].width, strips[0].height + 2 * gap
    canvas = Image.new("RGBA", (wide, len(rows) * tall - 2 * gap), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, ((name, _), strip) in enumerate(zip(rows, strips, strict=True)):
        canvas.paste(strip, (0, row * tall))
        draw.text((0, row * tall), name, font=text_font(size), fill=(*_TEXT[theme], 255))
    return encoded(canvas)


def timelapse(
    frames: Sequence[np.ndarray], labels: Sequence[str], kind: Literal["gif", "webp"], theme: Theme = "light"
) -> bytes:
    """An endless animation of the same grid over the run; frames: each (N, H, W, C) uint8, in order."""
    pictures = []
    for images in frames:
        grid = grid_image(images, labels, theme=theme, width=600)
        opaque = Image.new("RGB", grid.size, _GROUND[theme])
        opaque.paste(grid, mask=grid.getchannel("A"))
        pictures.append(opaque)
    return animated(pictures, kind)


def animated(pictures: Sequence[Image.Image], kind: Literal["gif", "webp"]) -> bytes:
    """Pictures of one size as an endless GIF, or WebP, which keeps every colour; the last one is shown longer."""
    each = max(40, ROUND // max(1, len(pictures)))
    durations = [each] * (len(pictures) - 1) + [1500]
    exact = {"lossless": True, "quality": 50, "method": 2} if kind == "webp" else {}
    buffer, later = io.BytesIO(), pictures[1:]
    pictures[0].save(buffer, kind.upper(), save_all=True, append_images=later, duration=durations, loop=0, **exact)
    return buffer.getvalue()


def tiled(images: np.ndarray, columns: int, factor: int, gap: int, *, above: int = 0, below: int = 0) -> Image.Image:
    """Images (N, H, W, C) uint8 row by row on a transparent ground, each pixel a square of `factor` pixels.

    gap, above, below: pixels between images, above the first row, and under each row.
    """
    num, height, width, _ = images.shape
    across, down = width * factor + gap, height * factor + gap + below
    size = (columns * across - gap, above + math.ceil(num / columns) * down - gap)
    canvas = Image.new("RGBA", (max(1, size[0]), max(1, size[1])), (0, 0, 0, 0))
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        canvas.paste(enlarged(image, factor), (column * across, above + row * down))
    return canvas


def enlarged(image: np.ndarray, factor: int) -> Image.Image:
    """One (H, W, C) uint8 image as RGB, each pixel a square of `factor` pixels."""
    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return Image.fromarray(np.ascontiguousarray(pixels).repeat(factor, 0).repeat(factor, 1), "RGB")


def _layout(num: int, labels: Sequence[str], columns: int) -> tuple[list[int], int, bool]:
    """Order of the images, images a row, and whether each column is a class.

    Ten classes with one image each become two rows of five; several images a class become columns of a class each.
    """
    classes = list(dict.fromkeys(labels))
    places = [[place for place, label in enumerate(labels) if label == name] for name in classes]
    if not columns and 1 <= len(classes) <= 20 and {len(each) for each in places} == {num // len(classes)} != {1}:
        return [place for row in zip(*places, strict=True) for place in row], len(classes), True
    across = columns or (num if num <= 5 else 5 if num <= 10 else min(20, _across(num)))
    return list(range(num)), across, False


def _across(num: int) -> int:
    """Images a row of a grid that is a little wider than high; one that fills every row if there is one near."""
    wanted = math.ceil(math.sqrt(num * 1.2))
    return next((count for count in (wanted, wanted - 1, wanted + 1) if num % count == 0), wanted)


def _write(
    draw: ImageDraw.ImageDraw, text: str, middle: float, top: float, room: float, size: int, theme: Theme
) -> None:
    """Write a name centred at `middle`: smaller, then shortened, until it fits."""
    while size > 9 and draw.textlength(text, font=text_font(size)) > room:
        size -= 1
    font = text_font(size)
    while len(text) > 2 and draw.textlength(text, font=font) > room:
        text = text[:-2] + "…"
    draw.text((middle, top), text, font=font, fill=(*_TEXT[theme], 255), anchor="ma")


@lru_cache(maxsize=32)
def text_font(size: int) -> ImageFont.FreeTypeFont:
    """The font of all pictures. size: in pixels."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType, which all pictures are written with")
    return font


def encoded(picture: Image.Image) -> bytes:
    """A picture as a PNG, packed quickly."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def data_url(picture: bytes) -> str:
    """A PNG or GIF as an address that holds the picture itself."""
    kind = "gif" if picture.startswith(b"GIF") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
