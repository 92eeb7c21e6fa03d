"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN, from the files and addresses that torchvision knows.

The files lie under the data root where torchvision's own data sets would put them, so a folder filled by either is
found by the other. Images are raw: uint8 (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from engine.core.config import DataConfig
from engine.core.errors import DataError
from engine.core.events import Event
from engine.data.images import files, formats
from engine.data.images.files import Part, Published
from engine.data.source import Availability, TaskSpec
from engine.data.transforms.prepare import ImageSplits, RawImages, prepare_images

Decode = Callable[["VisionSource", dict[str, bytes]], RawImages]


@dataclass(frozen=True)
class VisionSource:
    """A classic image set.

    published: its files; called late, for torchvision, which knows the addresses, takes a second to import.
    decode: (source, content of each part by name) -> images.
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
        """Whether the files are there and whole; nothing is decoded. One sentence says which files go where."""
        try:
            files.check_root(data_root)
            absent = [file for file in self.published() if not files.is_present(file, data_root)]
        except DataError as error:
            return Availability("missing", str(error))
        if not absent:
            return Availability("present", f"Found in {data_root.absolute()}.")
        folder = (data_root / absent[0].path).parent.absolute()
        names = ", ".join(file.name for file in absent)
        return Availability(
            "downloadable",
            f"Downloaded on first use; without internet, put {names} from {self._homes(absent)} in {folder}.",
        )

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        """Its files that are on disk now."""
        return tuple(path for file in self.published() for path in files.paths(file, data_root))

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, ImageSplits]:
        """The splits; files that are missing are downloaded first.

        Raises:
            DataError: a file is damaged or cannot be fetched, or the config leaves too few images.
        """
        raw = yield from self.read(data_root)
        spec = TaskSpec("classification", self.sample_shape, len(self.class_names), self.class_names)
        return (yield from prepare_images(raw, spec, self.title, self.key, config))

    def read(self, data_root: Path) -> Generator[Event, None, RawImages]:
        """The raw images, every one checked to be as published."""
        files.check_root(data_root)
        contents: dict[str, bytes] = {}
        for file in self.published():
            contents |= yield from files.read_parts(file, data_root, self.title)
        raw = self.decode(self, contents)
        self._check(raw.train_images, raw.train_targets, self.num_train, "training")
        self._check(raw.test_images, raw.test_targets, self.num_test, "test")
        return raw

    def _check(self, images: Tensor, targets: Tensor, num_samples: int, split: str) -> None:
        if images.shape != (num_samples, *self.sample_shape) or targets.shape != (num_samples,):
            raise DataError(
                f"{self.title}: its {split} files hold {len(images):,} images and {len(targets):,} labels instead of "
                f"{num_samples:,}; delete them and start again."
            )
        if not 0 <= int(targets.min()) <= int(targets.max()) < len(self.class_names):
            raise DataError(
                f"{self.title}: its {split} labels go from {int(targets.min())} to {int(targets.max())} instead of 0 to "
                f"{len(self.class_names) - 1}; delete the files and start again."
            )

    @staticmethod
    def _homes(absent: list[Published]) -> str:
        """The addresses to fetch from by hand: the folder of one, or of each if they differ."""
        return " or ".join(dict.fromkeys(file.urls[0].rpartition("/")[0] + "/" for file in absent))


def _mnist_files(name: str, md5s: dict[str, str]) -> tuple[Published, ...]:
    """The four gzipped idx files of torchvision's class `name`; `md5s` are those of the unpacked files."""
    from engine.data.torchvision_compat import datasets

    published = getattr(datasets, name)
    folder = f"{name}/raw"
    return tuple(
        Published(
            path=f"{folder}/{packed}",
            md5=md5,
            urls=tuple(mirror + packed for mirror in published.mirrors),
            packing="gzip",
            folder=folder,
            parts=(Part(packed.removesuffix(".gz"), md5s[packed.removesuffix(".gz")]),),
        )
        for packed, md5 in published.resources
    )


def mnist_files() -> tuple[Published, ...]:
    """MNIST's files."""
    return _mnist_files(
        "MNIST",
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    )


def fashion_mnist_files() -> tuple[Published, ...]:
    """Fashion-MNIST's files, named as MNIST's."""
    return _mnist_files(
        "FashionMNIST",
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    )


def _cifar_files(name: str) -> tuple[Published, ...]:
    """The one tar archive of torchvision's class `name`, with its batches and its list of class names."""
    from engine.data.torchvision_compat import datasets

    published = getattr(datasets, name)
    parts = [Part(part, md5) for part, md5 in (*published.train_list, *published.test_list)]
    parts.append(Part(published.meta["filename"], published.meta["md5"]))
    archive = Published(
        path=published.filename,
        md5=published.tgz_md5,
        urls=(published.url,),
        packing="tar",
        folder=published.base_folder,
        parts=tuple(parts),
    )
    return (archive,)


def cifar10_files() -> tuple[Published, ...]:
    """CIFAR-10's archive."""
    return _cifar_files("CIFAR10")


def cifar100_files() -> tuple[Published, ...]:
    """CIFAR-100's archive."""
    return _cifar_files("CIFAR100")


def svhn_files() -> tuple[Published, ...]:
    """SVHN's training and test files of cropped digits; its half a million extra images are not used."""
    from engine.data.torchvision_compat import datasets

    return tuple(
        Published(path=name, md5=md5, urls=(url,), packing="none", folder="", parts=(Part(name, md5),))
        for url, name, md5 in (datasets.SVHN.split_list[split] for split in ("train", "test"))
    )


def decode_idx(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    """Grey images and labels of MNIST's four files."""
    _, height, width = source.sample_shape
    tensors = []
    for prefix, num_samples in (("train", source.num_train), ("t10k", source.num_test)):
        images, labels = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        tensors.append(formats.idx(contents[images], (num_samples, height, width), images)[:, None])
        tensors.append(formats.idx(contents[labels], (num_samples,), labels).long())
    return RawImages(*tensors)


def decode_cifar10(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    """Five training batches and a test batch."""
    names = sorted(name for name in contents if name.startswith("data_batch_"))
    batches = [formats.cifar_batch(contents[name], b"labels", name) for name in names]
    images, targets = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    return RawImages(images, targets, *formats.cifar_batch(contents["test_batch"], b"labels", "test_batch"))


def decode_cifar100(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    """One training and one test batch, with the hundred fine labels."""
    train, test = (formats.cifar_batch(contents[name], b"fine_labels", name) for name in ("train", "test"))
    return RawImages(*train, *test)


def decode_svhn(source: VisionSource, contents: dict[str, bytes]) -> RawImages:
    """Cropped digits of house numbers."""
    train, test = (formats.svhn_mat(contents[name], name) for name in ("train_32x32.mat", "test_32x32.mat"))
    return RawImages(*train, *test)


DIGIT_NAMES = tuple("0123456789")

FASHION_NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_CIFAR100_WORDS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_NAMES = tuple(word.replace("_", " ") for word in _CIFAR100_WORDS.split())

MNIST = VisionSource(
    key="mnist",
    title="MNIST",
    summary="Handwritten digits, 28 x 28 grey pixels: the field's first benchmark.",
    origin="LeCun, Cortes and Burges, 1998",
    sample_shape=(1, 28, 28),
    class_names=DIGIT_NAMES,
    num_train=60_000,
    num_test=10_000,
    fewest_per_class=5_421,
    published=mnist_files,
    decode=decode_idx,
)

FASHION_MNIST = VisionSource(
    key="fashion_mnist",
    title="Fashion-MNIST",
    summary="Clothes and shoes, 28 x 28 grey pixels: MNIST's size, but harder.",
    origin="Xiao, Rasul and Vollgraf, Zalando Research, 2017 (arXiv:1708.07747)",
    sample_shape=(1, 28, 28),
    class_names=FASHION_NAMES,
    num_train=60_000,
    num_test=10_000,
    fewest_per_class=6_000,
    published=fashion_mnist_files,
    decode=decode_idx,
)

CIFAR10 = VisionSource(
    key="cifar10",
    title="CIFAR-10",
    summary="Animals and vehicles, 32 x 32 colour pixels: the benchmark most papers report.",
    origin="Krizhevsky, University of Toronto, 2009",
    sample_shape=(3, 32, 32),
    class_names=CIFAR10_NAMES,
    num_train=50_000,
    num_test=10_000,
    fewest_per_class=5_000,
    published=cifar10_files,
    decode=decode_cifar10,
)

CIFAR100 = VisionSource(
    key="cifar100",
    title="CIFAR-100",
    summary="A hundred kinds of things, 32 x 32 colour pixels, 500 training images of each.",
    origin="Krizhevsky, University of Toronto, 2009",
    sample_shape=(3, 32, 32),
    class_names=CIFAR100_NAMES,
    num_train=50_000,
    num_test=10_000,
    fewest_per_class=500,
    published=cifar100_files,
    decode=decode_cifar100,
)

SVHN = VisionSource(
    key="svhn",
    title="SVHN",
    summary="House numbers from street photographs, 32 x 32 colour pixels; digits are not equally frequent.",
    origin="Netzer et al., Stanford and Google, 2011",
    sample_shape=(3, 32, 32),
    class_names=DIGIT_NAMES,
    num_train=73_257,
    num_test=26_032,
    fewest_per_class=4_659,
    published=svhn_files,
    decode=decode_svhn,
)
