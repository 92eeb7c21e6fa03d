"""What an import found: layout, counts, sizes, duplicates, and every file that was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from engine.core.config import Config
from engine.data.images.decoded import SPLITS, DecodedSet
from engine.data.images.intake import Found
from engine.data.images.layouts import Layout
from engine.data.images.options import ImportOptions
from engine.data.images.published import suggested_size


class Report(Config):
    """What an import found.

    layout: how the folders were read, as "class folders" or "Tiny ImageNet". notes: sentences. counts: images of each
    class in "train", "validation" (empty shares but where the folders bring one) and "test". skipped: (file, reason).
    duplicates: (training or validation image, test image) that are equal in their bytes or in their decoded pixels.
    sizes: (width, height, images) as in the files, most frequent first. num_files: all that were looked at.
    total_bytes: of the files that were kept.
    """

    layout: str
    notes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    skipped: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[int, int, int], ...]
    num_files: int
    total_bytes: int


def report_of(found: Found, layout: Layout, decoded: DecodedSet, options: ImportOptions) -> Report:
    """The report of an import whose images are decoded."""
    entries = [entry for entry, _, _ in layout.members]
    sizes = Counter((int(width), int(height)) for width, height in decoded.sizes[decoded.is_good].tolist())
    unreadable = [(entries[number].name, reason) for number, reason in decoded.reasons.items()]
    return Report(
        layout=layout.title,
        notes=(*layout.notes, *_notes(found, layout, decoded, options)),
        counts=decoded.counts(len(layout.class_names)),
        skipped=tuple(sorted([*layout.skipped, *unreadable])),
        duplicates=_duplicates([entries[number] for number in np.flatnonzero(decoded.is_good)], decoded),
        sizes=tuple((*size, times) for size, times in sorted(sizes.items(), key=lambda found: (-found[1], found[0]))),
        num_files=len(found.images) + len(found.texts) + len(found.skipped) + found.num_hidden,
        total_bytes=found.num_bytes,
    )


def _notes(found: Found, layout: Layout, decoded: DecodedSet, options: ImportOptions) -> list[str]:
    notes = []
    if options.colour == "auto" and decoded.num_channels == 1:
        notes.append("All images are grey, so one channel is kept.")
    size = suggested_size(layout.title)
    if size is not None and size != options.image_size:
        notes.append(
            f"Papers use {layout.title} at {size} x {size} pixels; here it is {options.image_size} x {options.image_size}."
        )
    if found.num_hidden:
        notes.append(f"Hidden and system files, such as .DS_Store, are left out: {found.num_hidden:,}.")
    return notes


def _duplicates(entries: Sequence, decoded: DecodedSet) -> tuple[tuple[str, str], ...]:
    """For each test image the first training image that is equal to it. entries: those that could be decoded, in order."""
    is_test = decoded.splits == SPLITS.index("test")
    pixels = [digest.tobytes() for digest in decoded.digests[decoded.is_good]]
    seen: dict[bytes | str, str] = {}
    for number in np.flatnonzero(~is_test):
        for mark in (entries[number].digest, pixels[number]):
            seen.setdefault(mark, entries[number].name)
    pairs = []
    for number in np.flatnonzero(is_test):
        same = seen.get(entries[number].digest) or seen.get(pixels[number])
        if same is not None:
            pairs.append((same, entries[number].name))
    return tuple(pairs)
