"""Small data sets and files for the tests of data."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from draining import drained

from engine.core.config import DataConfig
from engine.data import SOURCES, TaskSpec
from engine.data.images.files import Part, Published
from engine.data.transforms.prepare import RawImages, prepare_images

CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody listens


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def raw_images(per_class=(20, 20, 20), test_per_class=5, shape=(3, 8, 8), seed=0) -> RawImages:
    """Random images; class k is brighter by 20 k."""
    generator = torch.Generator().manual_seed(seed)

    def part(counts):
        targets = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
        targets = targets[torch.randperm(len(targets), generator=generator)]
        images = torch.randint(0, 200, (len(targets), *shape), generator=generator)
        return (images + 20 * targets[:, None, None, None]).to(torch.uint8), targets

    return RawImages(*part(per_class), *part([test_per_class] * len(per_class)))


def prepared(config: DataConfig, raw: RawImages | None = None, key: str = "toy"):
    """The splits of a toy set."""
    raw = raw or raw_images()
    num_classes = int(raw.train_targets.max()) + 1
    spec = TaskSpec("classification", tuple(raw.train_images.shape[1:]), num_classes, tuple("abcdefghij"[:num_classes]))
    return drained(prepare_images(raw, spec, "Toy", key, config))[1]


def idx_bytes(values: np.ndarray) -> bytes:
    """An idx file of unsigned bytes."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def tiny_mnist(url: str = CLOSED):
    """`tiny_idx` of MNIST."""
    return tiny_idx("mnist", url)


def tiny_idx(key: str, url: str = CLOSED):
    """(source, {path under the data root: content of its gzip file}): 40 training and 20 test images in MNIST's
    format.
    """
    folder = Path(SOURCES[key].published()[0].path).parent
    published, contents = [], {}
    for name, content in idx_files("{}-{}-ubyte", {"train": 40, "t10k": 20}, num_classes=10)[0].items():
        packed = gzip.compress(content, mtime=0)
        path = f"{folder}/{name}.gz"
        contents[path] = packed
        part = Part(name, md5(content))
        published.append(Published(path, md5(packed), (f"{url}{name}.gz",), "gzip", str(folder), (part,)))
    source = replace(SOURCES[key], num_train=40, num_test=20, published=lambda: tuple(published))
    return source, contents


def idx_files(name: str, counts: dict[str, int], num_classes: int) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """({file name: content}, {split: its images}): random 28 x 28 images; `name` takes the split and what the file
    holds.
    """
    rng, contents, images = np.random.default_rng(0), {}, {}
    for split, count in counts.items():
        images[split] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        contents[name.format(split, "images-idx3")] = idx_bytes(images[split])
        contents[name.format(split, "labels-idx1")] = idx_bytes((np.arange(count) % num_classes).astype(np.uint8))
    return contents, images


def tiny_emnist():
    """(source, content of the zip archive, {split: its images}): two training and one test image per class, as
    EMNIST's.
    """
    contents, images = idx_files("emnist-balanced-{}-{}-ubyte", {"train": 94, "test": 47}, num_classes=47)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"gzip/{name}.gz", gzip.compress(content, mtime=0))
            archive.writestr(f"gzip/{name.replace('balanced', 'letters')}.gz", gzip.compress(b"another split", mtime=0))
    (real,) = SOURCES["emnist_balanced"].published()
    file = replace(real, md5=md5(buffer.getvalue()), urls=(CLOSED + "gzip.zip",))
    source = replace(SOURCES["emnist_balanced"], num_train=94, num_test=47, published=lambda: (file,))
    return source, buffer.getvalue(), images


def cifar_batch(count: int, seed: int, label_key: bytes = b"labels", num_classes: int = 10) -> bytes:
    """A pickled batch as CIFAR's, with bytes for keys."""
    rng = np.random.default_rng(seed)
    batch = {
        b"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
        label_key: [index % num_classes for index in range(count)],
    }
    # the published files name NumPy's module by its old path
    return pickle.dumps(batch, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def tiny_cifar10(url: str = CLOSED):
    """(source, {batch name: content}, content of the tar archive): 5 x 20 training and 20 test images in CIFAR-10's
    format.
    """
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    batches = {name: cifar_batch(20, seed) for seed, name in enumerate(names)}
    batches["batches.meta"] = pickle.dumps({b"label_names": []}, protocol=2)
    archive = tar_bytes({f"cifar-10-batches-py/{name}": content for name, content in batches.items()})
    parts = tuple(Part(name, md5(content)) for name, content in batches.items())
    name = "cifar-10-python.tar.gz"
    published = (Published(name, md5(archive), (url + name,), "tar", "cifar-10-batches-py", parts),)
    return replace(SOURCES["cifar10"], num_train=100, num_test=20, published=lambda: published), batches, archive


def tar_bytes(contents: dict[str, bytes]) -> bytes:
    """A gzipped tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def written(root: Path, contents: dict[str, bytes]) -> None:
    """Write files under a folder."""
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
