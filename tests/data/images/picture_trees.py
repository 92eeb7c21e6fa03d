"""Small trees of pictures for the tests of imported folders, as {name: content}, and the three ways to bring them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from draining import drained
from PIL import Image

from engine.core.errors import UserError
from engine.data.images import FolderSource, ImportOptions, import_path, import_upload, import_zip

Tree = dict[str, bytes]


def options(name: str = "Toy", image_size: int = 8, **values) -> ImportOptions:
    return ImportOptions(name=name, image_size=image_size, **values)


def encoded(image: Image.Image, kind: str = "PNG", **saving) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **saving)
    return buffer.getvalue()


def picture(seed: int, size: tuple[int, int] = (10, 10), kind: str = "PNG", **saving) -> bytes:
    """A colour picture of noise, width and height in `size`, its own for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind, **saving)


def classes(names: tuple[str, ...] = ("cats", "dogs"), count: int = 5, seed: int = 0, under: str = "") -> Tree:
    """`count` pictures in a folder of each name."""
    return {
        f"{under}{name}/{number}.png": picture(1000 * seed + 100 * place + number)
        for place, name in enumerate(names)
        for number in range(count)
    }


def split_classes(names: tuple[str, ...] = ("cats", "dogs"), splits: tuple[str, ...] = ("train", "test")) -> Tree:
    """Three pictures of each class in each split folder."""
    tree: Tree = {}
    for seed, split in enumerate(splits):
        tree |= classes(names, 3, seed + 1, f"{split}/")
    return tree


def zipped(tree: Tree, compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return buffer


def upload_of(tree: Tree) -> list[tuple[str, io.BytesIO]]:
    return [(name, io.BytesIO(content)) for name, content in tree.items()]


def written(root: Path, tree: Tree) -> Path:
    """The tree as files under a folder."""
    for name, content in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def uploaded(tree: Tree, data_root: Path, **values) -> FolderSource:
    """The source that an upload of the tree becomes."""
    return drained(import_upload(upload_of(tree), options(**values), data_root))[1]


def imported_zip(file: io.BytesIO, data_root: Path, **values) -> FolderSource:
    return drained(import_zip(file, options(**values), data_root))[1]


def imported_path(path: Path, data_root: Path, **values) -> FolderSource:
    return drained(import_path(path, options(**values), data_root))[1]


def refusal(importing: Generator, data_root: Path) -> str:
    """The sentence an import is refused with; checks that it is one, and that nothing is left on disk."""
    with pytest.raises(UserError) as refused:
        drained(importing)
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
    assert_nothing_left(data_root)
    return sentence


def refused(tree: Tree, data_root: Path, **values) -> str:
    """The sentence that an upload of the tree is refused with."""
    return refusal(import_upload(upload_of(tree), options(**values), data_root), data_root)


def assert_nothing_left(data_root: Path) -> None:
    """No data set, whole or partial, and no decoded images."""
    assert not [path for name in ("imported", "decoded") for path in (data_root / name).glob("*")]
