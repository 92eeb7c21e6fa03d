"""Decoded images, `decoded/<digest>.safetensors` under the data root; equal content and options share one file."""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engine.core import machine
from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.images.decode import Decoded, decode
from engine.data.images.intake import DIGEST_BYTES
from engine.data.images.layouts import Layout
from engine.data.images.options import ImportOptions
from engine.data.imported.limits import Limits
from engine.data.imported.names import Skipped, shown
from engine.data.imported.parallel import in_threads
from engine.data.transforms.prepare import RawImages, stratified

VERSION = 1  # part of every digest; raise it when the same files give other pixels or splits
SPLITS = ("train", "validation", "test")
TEST_FRACTION = 0.2
SPLIT_SEED = 2017


@dataclass(frozen=True)
class DecodedSet:
    """The result for M files, of which N could be decoded, in the order of the layout's members.

    num_channels: 1 or 3. reasons: why files could not be decoded, by index. sizes: (M, 2) width and height in the file.
    digests: (M, 16) uint8, of the decoded pixels. targets: (N,) labels. splits: (N,) indices into SPLITS.
    """

    digest: str
    num_channels: int
    reasons: dict[int, str]
    sizes: np.ndarray
    digests: np.ndarray
    targets: np.ndarray
    splits: np.ndarray

    @property
    def is_good(self) -> np.ndarray:
        """(M,) whether a file could be decoded."""
        good = np.ones(len(self.sizes), bool)
        good[list(self.reasons)] = False
        return good


def path_of(digest: str, data_root: Path) -> Path:
    return data_root / "decoded" / f"{digest}.safetensors"


def digest_of(layout: Layout, options: ImportOptions, caps: Limits) -> str:
    """Equal for equal files, classes, splits and options, whatever the files are called."""
    pixels = (options.image_size, options.fit, options.colour, caps.max_pixels, caps.min_side)
    what = [VERSION, *pixels, layout.class_names]
    digest = hashlib.blake2b(json.dumps(what).encode(), digest_size=DIGEST_BYTES)
    for entry, label, split in layout.members:
        digest.update(f"{entry.digest} {label} {split}\n".encode())
    return digest.hexdigest()


def decode_set(
    layout: Layout, options: ImportOptions, caps: Limits, data_root: Path, workplace: Path
) -> Generator[Event, None, DecodedSet]:
    """Decode all images of a layout, unless they are stored already.

    workplace: a folder on the same disk. Raises DataError: too little memory, too few usable images in a class, or a
    changed file.
    """
    _check_counts(layout, {})
    digest = digest_of(layout, options, caps)
    path = path_of(digest, data_root)
    if path.exists():
        try:
            return _read(path, digest)
        except SafetensorError:
            path.unlink(missing_ok=True)  # damaged: made again below
    images, found = yield from _decode_all(layout, options, caps)
    reasons = {number: one for number, one in enumerate(found) if isinstance(one, str)}
    good = {number: one for number, one in enumerate(found) if not isinstance(one, str)}
    _check_counts(layout, reasons)
    if reasons:
        for place, number in enumerate(good):  # in place: there may be no memory for a copy
            images[place] = images[number]
        images = images[: len(good)]
    if options.colour == "auto" and all(one.is_grey for one in good.values()):
        images = np.ascontiguousarray(images[:, :1])
    sizes, digests = np.zeros((len(found), 2), np.int32), np.zeros((len(found), DIGEST_BYTES), np.uint8)
    for number, one in good.items():
        sizes[number], digests[number] = (one.width, one.height), list(one.digest)
    _, labels, given = zip(*(layout.members[number] for number in good), strict=True)
    targets = np.array(labels, np.int64)
    splits = _splits(given, targets, len(layout.class_names))
    result = DecodedSet(digest, images.shape[1], reasons, sizes, digests, targets, splits)
    yield Progress("store images", 0, 1)
    _write(images, result, path, workplace)
    yield Progress("store images", 1, 1)
    return result


def _decode_all(
    layout: Layout, options: ImportOptions, caps: Limits
) -> Generator[Event, None, tuple[np.ndarray, list[Decoded | str]]]:
    """Pixels (M, C, S, S) uint8, undefined for files that could not be decoded, and the results or reasons."""
    size, count = options.image_size, len(layout.members)
    shape = (count, 1 if options.colour == "grey" else 3, size, size)
    num_bytes = math.prod(shape)
    need = f"{count:,} images of {size} x {size} pixels need {num_bytes:,} bytes of memory"
    caps.check("max_decoded_bytes", num_bytes, need, "choose a smaller image size")
    main_memory = torch.device("cpu")
    free = machine.available_memory(main_memory) - machine.reserve(main_memory)
    if num_bytes > free:  # the system would grant more than there is, then kill the program
        instead = "choose a smaller image size, or use fewer images."
        raise DataError(f"{need}, but only {max(0, free):,} are free; {instead}")
    images = np.empty(shape, np.uint8)

    def work(number: int) -> Decoded | str:
        entry = layout.members[number][0]
        try:
            content = entry.path.read_bytes()
        except OSError as error:
            raise DataError(f"'{shown(entry.name)}' can no longer be read ({error.strerror}); import again.") from error
        if hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest() != entry.digest:
            changed = f"'{shown(entry.name)}' was changed during the import"
            raise DataError(f"{changed}; import again when nothing writes to it.")
        try:
            return decode(content, images[number], options, caps)
        except Skipped as reason:
            return str(reason)

    found = yield from in_threads(work, count, "decode images")
    return images, found


def _check_counts(layout: Layout, reasons: dict[int, str]) -> None:
    """Raise DataError for the first class with too few images. reasons: of images that could not be decoded."""
    kept = [(label, split) for number, (_, label, split) in enumerate(layout.members) if number not in reasons]
    counts = Counter(kept)
    is_undivided = any(split == "" for _, split in kept)
    for label, name in enumerate(layout.class_names):
        train, validation, test, undivided = (counts[label, split] for split in (*SPLITS, ""))
        count, kind, needed = test, "test ", "it needs at least one"
        if is_undivided:
            count, kind, needed = undivided, "", "it needs at least three, one of them for testing"
        elif train < 1 or train + validation < 2:
            count, kind, needed = train, "training ", "it needs at least two"
        if undivided < 3 if is_undivided else kind == "training " or test < 1:
            images = f"{count or 'no'} {kind}{'image' if count == 1 else 'images'}"
            skipped = [number for number in reasons if layout.members[number][1] == label]
            why = ""
            if skipped:
                first = f"'{shown(layout.members[skipped[0]][0].name)}', which {reasons[skipped[0]]}"
                why = f" that can be used ({len(skipped):,} skipped, the first {first})"
            raise DataError(f"Class '{name}' has {images}{why}; {needed}.")


def _splits(given: Sequence[str], targets: np.ndarray, num_classes: int) -> np.ndarray:
    """(N,) indices into SPLITS: as the folders say, or a fifth of each class, drawn with a fixed seed, for testing."""
    if "" not in given:
        return np.array([SPLITS.index(split) for split in given], np.uint8)
    labels = torch.from_numpy(targets)
    counts = (torch.bincount(labels, minlength=num_classes) * TEST_FRACTION).round().long().clamp(min=1)
    test, _ = stratified(labels, counts, torch.Generator().manual_seed(SPLIT_SEED))
    splits = np.full(len(targets), SPLITS.index("train"), np.uint8)
    splits[test.numpy()] = SPLITS.index("test")
    return splits


_ARRAYS = ("sizes", "digests", "targets", "splits")


def _write(images: np.ndarray, result: DecodedSet, path: Path, workplace: Path) -> None:
    arrays = {"images": images} | {name: getattr(result, name) for name in _ARRAYS}
    growing = workplace / "decoded.safetensors"
    metadata = {"version": str(VERSION), "reasons": json.dumps(result.reasons)}
    try:
        save_file({name: torch.from_numpy(array) for name, array in arrays.items()}, growing, metadata)
    except SafetensorError as error:  # what it raises if the disk is full
        raise OSError(str(error)) from error
    with growing.open("rb") as file:
        os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(growing, path)


def _read(path: Path, digest: str) -> DecodedSet:
    """Everything but the pixels. Raises SafetensorError if the file is damaged."""
    with safe_open(path, "pt") as file:
        arrays = {name: file.get_tensor(name).numpy() for name in _ARRAYS}
        num_channels = file.get_slice("images").get_shape()[1]
        reasons = {int(number): reason for number, reason in json.loads(file.metadata()["reasons"]).items()}
    return DecodedSet(digest, num_channels, reasons, **arrays)


def raw_images(digest: str, data_root: Path) -> RawImages:
    """The images as decoded. Raises DataError if the file is missing or damaged."""
    path = path_of(digest, data_root)
    try:
        with safe_open(path, "pt") as file:
            images, targets, splits = (file.get_tensor(name) for name in ("images", "targets", "splits"))
    except (OSError, SafetensorError) as error:
        message = f"The decoded images {path.absolute()} are missing or damaged ({error})"
        raise DataError(f"{message}; delete the data set and import it again.") from None
    is_test = splits == SPLITS.index("test")
    is_validation = splits[~is_test] == SPLITS.index("validation")
    validation = is_validation.nonzero().flatten() if is_validation.any() else None
    return RawImages(images[~is_test], targets[~is_test], images[is_test], targets[is_test], validation)
