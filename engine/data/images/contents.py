"""What a file is, by its first bytes: its ending may say anything."""

from __future__ import annotations

import re
from typing import Literal

HEAD_BYTES = 512
LAYOUT_TEXTS = frozenset(
    {"val_annotations.txt", "words.txt", "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt"}
)  # fmt: skip

_IMAGES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|BM", re.DOTALL)
_ARCHIVES = re.compile(rb"PK[\x03\x05\x07]|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", re.DOTALL)
_OTHERS = (
    (re.compile(rb"GIF8"), "is a GIF"),
    (re.compile(rb"II[*+]\x00|MM\x00[*+]"), "is a TIFF"),
    (re.compile(rb"....ftyp(heic|heix|hevc|mif1|msf1|avif|avis)", re.DOTALL), "is a HEIC or AVIF photo"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "is a JPEG 2000"),
    (re.compile(rb"8BPS"), "is a Photoshop file"),
    (re.compile(rb"%PDF|%!PS"), "is a PDF or PostScript file"),
    (re.compile(rb"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)?<svg", re.DOTALL), "is an SVG drawing"),
)


def kind(head: bytes, name: str) -> tuple[Literal["image", "text", "other"], str]:
    """What the file called `name` holds, and for "other" why it is skipped.

    head: its first HEAD_BYTES. "text" is one of the lists that published layouts come with.
    """
    if not head:
        return "other", "is empty (0 bytes)"
    if _IMAGES.match(head):
        return "image", ""
    if _ARCHIVES.match(head):
        return "other", "is an archive inside; unpack it first"
    if name in LAYOUT_TEXTS:
        return "text", ""
    # protocols 2 to 5 begin with their number; older ones are text
    if re.match(rb"\x80[\x02-\x05]", head):
        return "other", "is a Python pickle, which is never opened"
    for pattern, what in _OTHERS:
        if pattern.match(head):
            return "other", f"{what}; save it as JPEG or PNG"
    return "other", "is not an image (JPEG, PNG, WebP or BMP)"
