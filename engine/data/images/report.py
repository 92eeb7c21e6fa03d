"""What an image import found: layout, counts, sizes, duplicates, and every file that was skipped."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from engine.data.images.decoded import SPLITS, DecodedSet
from engine.data.images.intake import Entry, Found
from engine.data.images.layouts import Layout
from engine.data.images.options import ImportOptions
from engine.data.images.published import suggested_size
from engine.data.imported.library import Report


class ImageReport(Report):
    """What an image import found.

    layout: "class folders", "Tiny ImageNet" and so on. counts: images per class in "train", "validation" and "test".
    duplicates: (training or validation image, test image) with equal bytes or pixels. sizes: (width, height, images) of
    the files, most frequent first. num_files: all that were looked at. total_bytes: of the files that were kept.
    """

    layout: str
    counts: dict[str, tuple[int, ...]]
    duplicates: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[int, int, int], ...]
    num_files: int
    total_bytes: int


def report_of(found: Found, layout: Layout, decoded: DecodedSet, options: ImportOptions) -> ImageReport:
    entries = [entry for entry, _, _ in layout.members]
    good = np.flatnonzero(decoded.is_good).tolist()
    sizes = Counter((width, height) for width, height in decoded.sizes[good].tolist())
    unreadable = [(entries[number].name, reason) for number, reason in decoded.reasons.items()]
    num_classes = len(layout.class_names)
    labels = ((split, decoded.targets[decoded.splits == code]) for code, split in enumerate(SPLITS))
    counts = {split: tuple(np.bincount(own, minlength=num_classes).tolist()) for split, own in labels}
    return ImageReport(
        layout=layout.title,
        notes=(*layout.notes, *_notes(found, layout, decoded, options)),
        counts=counts,
        skipped=tuple(sorted([*layout.skipped, *unreadable])),
        duplicates=_duplicates([entries[number] for number in good], decoded),
        sizes=tuple((*size, times) for size, times in sorted(sizes.items(), key=lambda found: (-found[1], found[0]))),
        num_files=len(found.images) + len(found.texts) + len(found.skipped) + found.num_hidden,
        total_bytes=found.num_bytes,
    )


def _notes(found: Found, layout: Layout, decoded: DecodedSet, options: ImportOptions) -> Iterator[str]:
    if options.colour == "auto" and decoded.num_channels == 1:
        yield "All images are grey, so one channel is kept."
    size, own = suggested_size(layout.title), options.image_size
    if size is not None and size != own:
        yield f"Papers use {layout.title} at {size} x {size} pixels; here it is {own} x {own}."
    if found.num_hidden:
        yield f"Hidden and system files, such as .DS_Store, are left out: {found.num_hidden:,}."


def _duplicates(entries: list[Entry], decoded: DecodedSet) -> tuple[tuple[str, str], ...]:
    """For each test image the first equal training image. entries: of the decoded images, in order."""
    pixels = map(bytes, decoded.digests[decoded.is_good])
    images = list(zip(entries, pixels, decoded.splits == SPLITS.index("test"), strict=True))
    seen: dict[bytes | str, str] = {}
    for entry, digest, is_test in images:
        if not is_test:
            seen.setdefault(entry.digest, entry.name)
            seen.setdefault(digest, entry.name)
    same = ((seen.get(entry.digest) or seen.get(digest), entry.name) for entry, digest, is_test in images if is_test)
    return tuple((one, name) for one, name in same if one is not None)
