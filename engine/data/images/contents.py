"""The type of a file by its first bytes; its extension is not trusted."""

from __future__ import annotations

import re
from typing import Literal

HEAD_BYTES = 512
LAYOUT_TEXTS = frozenset(
    ["val_annotations.txt", "words.txt", "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt"]
)

_IMAGES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|BM", re.DOTALL)
_ARCHIVES = re.compile(rb"PK[\x03\x05\x07]|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", re.DOTALL)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # protocols 2 to 5; older ones are text
_OTHERS = {
    rb"GIF8": "is a GIF",
    rb"II[*+]\x00|MM\x00[*+]": "is a TIFF",
    rb"....ftyp(heic|heix|hevc|mif1|msf1|avif|avis)": "is a HEIC or AVIF photo",
    rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51": "is a JPEG 2000",
    rb"8BPS": "is a Photoshop file",
    rb"%PDF|%!PS": "is a PDF or PostScript file",
    rb"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)?<svg": "is an SVG drawing",
}


def kind(head: bytes, name: str) -> tuple[Literal["image", "text", "other"], str]:
    """The type of the file called `name`, and for "other" why it is skipped.

    head: its first HEAD_BYTES. "text" is one of the lists that come with published layouts.
    """
    if not head:
        return "other", "is empty (0 bytes)"
    if _IMAGES.match(head):
        return "image", ""
    if _ARCHIVES.match(head):
        return "other", "is a nested archive; unpack it first"
    if name in LAYOUT_TEXTS:
        return "text", ""
    if _PICKLE.match(head):
        return "other", "is a Python pickle, which is never opened"
    for pattern, what in _OTHERS.items():
        if re.match(pattern, head, re.DOTALL):
            return "other", f"{what}; save it as JPEG or PNG"
    return "other", "is not an image (JPEG, PNG, WebP or BMP)"
