"""Every kind of picture becomes the pixels that are seen, at the size that was asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from draining import drained
from picture_trees import classes, encoded, options, picture, uploaded
from PIL import Image

from engine.core.config import DataConfig
from engine.data.images.decode import decode
from engine.data.imported.limits import Limits


def pixels(content: bytes, image_size: int = 8, **values) -> np.ndarray:
    """(H, W, C) of a decoded file."""
    chosen = options(image_size=image_size, **values)
    into = np.zeros((1 if chosen.colour == "grey" else 3, image_size, image_size), np.uint8)
    decode(content, into, chosen, Limits())
    return into.transpose(1, 2, 0)


def quarters(mode: str = "RGB") -> Image.Image:
    """16 x 16: red, green, blue and white quarters."""
    image = Image.new("RGB", (16, 16), "white")
    for colour, corner in (("red", (0, 0)), ("lime", (8, 0)), ("blue", (0, 8))):
        image.paste(colour, (*corner, corner[0] + 8, corner[1] + 8))
    return image.convert(mode)


def corners(image: np.ndarray) -> list[list[int]]:
    size = image.shape[0]
    return [image[row, column].tolist() for row in (1, size - 2) for column in (1, size - 2)]


RGBW = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]


@pytest.mark.parametrize(
    ("mode", "kind", "saving"),
    [
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("P", "BMP", {}),
        ("RGB", "BMP", {}),
        ("RGB", "WEBP", {"lossless": True}),
        ("RGB", "JPEG", {"quality": 100, "subsampling": 0}),
        ("CMYK", "JPEG", {"quality": 100}),
    ],
)
def test_colours_survive_every_mode_and_format(mode, kind, saving):
    found = np.array(corners(pixels(encoded(quarters(mode), kind, **saving), 16)))
    assert np.abs(found - RGBW).max() <= 6


def test_grey_of_8_and_16_bits_and_black_and_white_agree():
    levels = np.array([[0, 64], [128, 255]], np.uint8).repeat(8, 0).repeat(8, 1)
    expected = np.broadcast_to(levels[:, :, None], (16, 16, 3))
    assert (pixels(encoded(Image.fromarray(levels)), 16) == expected).all()
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    assert deep.mode == "I;16" and (pixels(encoded(deep), 16) == expected).all()
    black_and_white = Image.fromarray((levels > 100).astype(np.uint8) * 255).convert("1")
    assert (np.unique(pixels(encoded(black_and_white), 16)) == [0, 255]).all()


def test_grey_with_alpha_and_palettes_with_transparency_lie_over_white():
    see_through = encoded(Image.new("LA", (16, 16), (0, 0)))
    assert (pixels(see_through) == 255).all()
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([255, 0, 0] * 256)
    assert (pixels(encoded(palette, transparency=0)) == 255).all()
    half = pixels(encoded(Image.new("RGBA", (16, 16), (255, 0, 0, 128))))
    assert np.abs(half[4, 4].astype(int) - [255, 127, 127]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photos_are_turned_upright(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = pixels(encoded(quarters(), kind, quality=100), 16)
    turned = pixels(encoded(quarters(), kind, quality=100, exif=exif), 16)
    expected = {
        1: [0, 1, 2, 3],
        2: [1, 0, 3, 2],
        3: [3, 2, 1, 0],
        4: [2, 3, 0, 1],
        5: [0, 2, 1, 3],
        6: [2, 0, 3, 1],
        7: [3, 1, 2, 0],
        8: [1, 3, 0, 2],
    }[orientation]
    before = corners(plain)
    assert corners(turned) == [before[place] for place in expected]


def test_the_size_of_a_turned_photo_is_told_upright(data_root):
    exif = Image.Exif()
    exif[0x0112] = 6
    tree = {
        f"{label}/{number}.jpg": picture(10 * ord(label) + number, (30, 20), "JPEG", exif=exif)
        for label in "ab"
        for number in range(3)
    }
    assert uploaded(tree, data_root).report.sizes == ((20, 30, 6),)


def test_a_broken_exif_block_does_not_cost_the_picture():
    content = encoded(quarters(), "JPEG", quality=100, exif=b"Exif\x00\x00XX*\x00nonsense")
    assert np.abs(np.array(corners(pixels(content, 16))) - RGBW).max() <= 20


def test_a_phone_photo_with_a_second_picture_inside_is_a_photo(data_root):
    pair = encoded(quarters(), "MPO", save_all=True, append_images=[quarters()], quality=100)
    assert Image.open(io.BytesIO(pair)).n_frames == 2
    assert np.abs(np.array(corners(pixels(pair, 16))) - RGBW).max() <= 20


def wide() -> Image.Image:
    """32 x 16: red left quarter, white middle, blue right quarter."""
    image = Image.new("RGB", (32, 16), "white")
    image.paste("red", (0, 0, 8, 16))
    image.paste("blue", (24, 0, 32, 16))
    return image


def test_crop_keeps_the_middle():
    assert (pixels(encoded(wide()), 16, fit="crop") == 255).all()


def test_pad_keeps_all_between_black_bars():
    image = pixels(encoded(wide()), 16, fit="pad")
    assert (image[:4] == 0).all() and (image[12:] == 0).all()
    assert (
        image[8, 1].tolist() == [255, 0, 0]
        and image[8, 8].tolist() == [255] * 3
        and image[8, 14].tolist() == [0, 0, 255]
    )


def test_stretch_keeps_all():
    image = pixels(encoded(wide()), 16, fit="stretch")
    assert (
        image[0, 1].tolist() == [255, 0, 0]
        and image[15, 8].tolist() == [255] * 3
        and image[8, 14].tolist() == [0, 0, 255]
    )


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(4, 4), (30_000, 5), (5, 3000), (7, 9)])
def test_every_shape_becomes_the_square_asked_for(fit, size):
    assert pixels(encoded(Image.new("RGB", size, "red")), 16, fit=fit).max() == 255


def test_a_large_jpeg_is_as_if_it_had_been_decoded_whole():
    smooth = Image.effect_noise((40, 30), 80).resize((1600, 1200), Image.Resampling.BICUBIC).convert("RGB")
    content = encoded(smooth, "JPEG", quality=95)
    whole = np.asarray(smooth.crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels(content, 32) - whole).mean() < 2


def test_one_channel_is_kept_where_every_image_is_grey(data_root):
    grey = {
        f"{label}/{number}.png": encoded(
            Image.new(("L", "RGB")[number % 2], (10, 10), "#808080" if number % 2 else 17 * number)
        )
        for label in "ab"
        for number in range(4)
    }
    assert uploaded(grey, data_root).sample_shape == (1, 8, 8)
    assert "All images are grey, so one channel is kept." in uploaded(grey, data_root, name="B").report.notes
    assert uploaded(grey, data_root, name="C", colour="rgb").sample_shape == (3, 8, 8)
    assert uploaded(grey | {"a/colour.png": picture(5)}, data_root, name="D").sample_shape == (3, 8, 8)


def test_grey_can_be_asked_for(data_root):
    source = uploaded(classes(), data_root, colour="grey")
    assert source.sample_shape == (1, 8, 8)
    splits = drained(source.load(DataConfig(), data_root))[1]
    assert splits.train.inputs.shape[1:] == (1, 8, 8)
    assert abs(int(pixels(encoded(Image.new("RGB", (9, 9), "lime")), colour="grey")[0, 0, 0]) - 150) <= 1


def test_the_pixels_that_are_loaded_are_the_pixels_that_were_brought(data_root):
    tree = {f"{label}/{number}.png": picture(10 * ord(label) + number, (8, 8)) for label in "ab" for number in range(5)}
    source = uploaded(tree, data_root, image_size=8)
    splits = drained(source.load(DataConfig(normalisation="unit"), data_root))[1]
    brought = {np.asarray(Image.open(io.BytesIO(content))).tobytes() for content in tree.values()}
    loaded = {
        image.permute(1, 2, 0).contiguous().numpy().tobytes()
        for part in (splits.train, splits.validation, splits.test)
        for image in part.inputs
    }
    assert loaded == brought
