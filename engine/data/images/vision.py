"""The classic image sets, listed in `vision.toml`, with torchvision's addresses and places on disk.

Images are uint8 (N, C, H, W), in the files' order and orientation.
"""

import tomllib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from engine.core.config import DataConfig
from engine.core.errors import DataError
from engine.core.events import Event
from engine.data.images import files, formats
from engine.data.images.files import Part, Published
from engine.data.source import Availability, task_of
from engine.data.transforms.prepare import ImageSplits, RawImages, prepare_images

Decode = Callable[["VisionSource", dict[str, bytes]], RawImages]


@dataclass(frozen=True)
class VisionSource:
    """A classic image set.

    published: its files, called late because torchvision takes a second to import. decode: (source, content of each
    part by name) -> images.
    """

    kind: ClassVar[Literal["images"]] = "images"
    key: str
    title: str
    summary: str
    origin: str
    sample_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    fewest_per_class: int
    published: Callable[[], tuple[Published, ...]]
    decode: Decode

    def availability(self, data_root: Path) -> Availability:
        """Whether the files are there and intact, without decoding them; the message says which files go where."""
        try:
            files.check_root(data_root)
            absent = [file for file in self.published() if not files.is_present(file, data_root)]
        except DataError as error:
            return Availability("missing", str(error))
        if not absent:
            return Availability("present", f"Found in {data_root.absolute()}.")
        names, folder = ", ".join(file.name for file in absent), (data_root / absent[0].path).parent.absolute()
        homes = " or ".join(dict.fromkeys(file.urls[0].rpartition("/")[0] + "/" for file in absent))
        by_hand = f"without internet, put {names} from {homes} in {folder}."
        return Availability("downloadable", f"Downloaded on first use; {by_hand}")

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        return tuple(path for file in self.published() for path in files.paths(file, data_root))

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, ImageSplits]:
        """The splits; missing files are downloaded. Raises DataError: a damaged file, no connection, too few images."""
        raw = yield from self.read(data_root)
        return (yield from prepare_images(raw, task_of(self), self.title, self.key, config))

    def read(self, data_root: Path) -> Generator[Event, None, RawImages]:
        """The raw images, from files checked against the published ones."""
        files.check_root(data_root)
        contents: dict[str, bytes] = {}
        for file in self.published():
            contents |= yield from files.read_parts(file, data_root, self.title)
        raw = self.decode(self, contents)
        training = ("training", raw.train_images, raw.train_targets, self.num_train)
        for split, images, targets, count in (training, ("test", raw.test_images, raw.test_targets, self.num_test)):
            if images.shape != (count, *self.sample_shape) or targets.shape != (count,):
                hold = f"hold {len(images):,} images and {len(targets):,} labels instead of {count:,}"
                raise DataError(f"{self.title}: its {split} files {hold}; delete them and start again.")
            low, high, last = int(targets.min()), int(targets.max()), len(self.class_names) - 1
            if not 0 <= low <= high <= last:
                go = f"go from {low} to {high} instead of 0 to {last}"
                raise DataError(f"{self.title}: its {split} labels {go}; delete the files and start again.")
        return raw


def mnist_files(name: str) -> tuple[Published, ...]:
    """The four gzipped idx files of torchvision's class `name`, MNIST or one derived from it."""
    published, folder = _torchvision(name), f"{name}/raw"
    files = []
    for packed, md5 in published.resources:
        part = packed.removesuffix(".gz")
        parts = (Part(part, _DATA["unpacked_md5s"].get(name, {}).get(part, "")),)
        urls = tuple(mirror + packed for mirror in published.mirrors)
        files.append(Published(f"{folder}/{packed}", md5, urls, "gzip", folder, parts))
    return tuple(files)


def emnist_files(name: str) -> tuple[Published, ...]:
    """EMNIST's zip archive of gzipped idx files, of which those of the balanced split are read."""
    published, folder = _torchvision(name), f"{name}/raw"
    names = (f"emnist-balanced-{part}" for part in ("train", "test"))
    parts = (Part(f"{name}-{kind}-ubyte", "") for name in names for kind in ("images-idx3", "labels-idx1"))
    return (Published(f"{folder}/gzip.zip", published.md5, (published.url,), "zip", folder, tuple(parts)),)


def cifar_files(name: str) -> tuple[Published, ...]:
    """The one tar archive of torchvision's class `name`, with its batches and its list of class names."""
    published = _torchvision(name)
    members = [*published.train_list, *published.test_list, (published.meta["filename"], published.meta["md5"])]
    parts = tuple(Part(part, md5) for part, md5 in members)
    urls, folder = (published.url,), published.base_folder
    return (Published(published.filename, published.tgz_md5, urls, "tar", folder, parts),)


def svhn_files(name: str) -> tuple[Published, ...]:
    """SVHN's training and test files of cropped digits, without its half a million extra images."""
    splits = (_torchvision(name).split_list[split] for split in ("train", "test"))
    return tuple(Published(name, md5, (url,), "none", "", (Part(name, md5),)) for url, name, md5 in splits)


def _torchvision(name: str) -> Any:
    from engine.data.torchvision_compat import datasets

    return getattr(datasets, name)


def decode_idx(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    """Grey images and labels of four idx files, two of them named "...train-..."."""
    tensors = []
    for is_train, num_samples in ((True, source.num_train), (False, source.num_test)):
        images, labels = sorted(name for name in contents if ("train-" in name) == is_train)
        tensors.append(formats.idx(contents[images], (num_samples, *source.sample_shape[1:]), images)[:, None])
        tensors.append(formats.idx(contents[labels], (num_samples,), labels).long())
    return RawImages(*tensors)


def decode_cifar(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    """Training batches and a test batch; of CIFAR-100, the hundred fine labels."""
    labels = b"fine_labels" if len(source.class_names) == 100 else b"labels"
    names = sorted((name for name in contents if "meta" not in name), key=lambda name: (name.startswith("test"), name))
    *train, test = (formats.cifar_batch(contents[name], labels, name) for name in names)
    images, targets = (torch.cat(tensors) for tensors in zip(*train, strict=True))
    return RawImages(images, targets, *test)


def decode_svhn(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    train, test = (formats.svhn_mat(contents[name], name) for name in ("train_32x32.mat", "test_32x32.mat"))
    return RawImages(*train, *test)


FORMATS: dict[str, tuple[Callable[[str], tuple[Published, ...]], Decode]] = {
    "idx": (mnist_files, decode_idx),
    "emnist": (emnist_files, decode_idx),
    "cifar": (cifar_files, decode_cifar),
    "svhn": (svhn_files, decode_svhn),
}
"""What finds the files of a format by torchvision's class, and what decodes them."""


def _source(
    torchvision: str, format: str, sample_shape: list[int], class_names: list[str], **rest: Any
) -> VisionSource:
    """A source from its table in `vision.toml`."""
    find, decode = FORMATS[format]
    shape, names = tuple(sample_shape), tuple(class_names)
    published = partial(find, torchvision)
    return VisionSource(sample_shape=shape, class_names=names, published=published, decode=decode, **rest)


_DATA = tomllib.loads(Path(__file__).with_name("vision.toml").read_text(encoding="utf-8"))
VISION = tuple(_source(**values) for values in _DATA["sets"])
