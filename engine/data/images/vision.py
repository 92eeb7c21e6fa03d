"""The classic image sets, listed in `_TABLE`, with torchvision's addresses and places on disk.

Images are uint8 (N, C, H, W), in the files' order and orientation.
"""

import string
from collections.abc import Callable, Generator, Iterable
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
Files = Callable[[], tuple[Published, ...]]
Sizes = tuple[int, int, int]


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
    published: Files
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
        """The files that are on disk now."""
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
        for split, images, targets, count in (
            ("training", raw.train_images, raw.train_targets, self.num_train),
            ("test", raw.test_images, raw.test_targets, self.num_test),
        ):
            if images.shape != (count, *self.sample_shape) or targets.shape != (count,):
                hold = f"hold {len(images):,} images and {len(targets):,} labels instead of {count:,}"
                raise DataError(f"{self.title}: its {split} files {hold}; delete them and start again.")
            low, high, last = int(targets.min()), int(targets.max()), len(self.class_names) - 1
            if not 0 <= low <= high <= last:
                go = f"go from {low} to {high} instead of 0 to {last}"
                raise DataError(f"{self.title}: its {split} labels {go}; delete the files and start again.")
        return raw


UNPACKED_MD5S = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""By torchvision class, where known; torchvision itself has only the md5s of the gzip files."""


def mnist_files(name: str) -> tuple[Published, ...]:
    """The four gzipped idx files of torchvision's class `name`, MNIST or one derived from it."""
    published, folder = _torchvision(name), f"{name}/raw"
    files = []
    for packed, md5 in published.resources:
        part = packed.removesuffix(".gz")
        parts = (Part(part, UNPACKED_MD5S.get(name, {}).get(part, "")),)
        urls = tuple(mirror + packed for mirror in published.mirrors)
        files.append(Published(f"{folder}/{packed}", md5, urls, "gzip", folder, parts))
    return tuple(files)


def emnist_files(split: str) -> tuple[Published, ...]:
    """EMNIST's zip archive of gzipped idx files, of which those of one split are read."""
    published, folder = _torchvision("EMNIST"), "EMNIST/raw"
    names = (f"emnist-{split}-{part}" for part in ("train", "test"))
    parts = (Part(f"{name}-{kind}-ubyte", "") for name in names for kind in ("images-idx3", "labels-idx1"))
    return (Published(f"{folder}/gzip.zip", published.md5, (published.url,), "zip", folder, tuple(parts)),)


def cifar_files(name: str) -> tuple[Published, ...]:
    """The one tar archive of torchvision's class `name`, with its batches and its list of class names."""
    published = _torchvision(name)
    members = [*published.train_list, *published.test_list, (published.meta["filename"], published.meta["md5"])]
    parts = tuple(Part(part, md5) for part, md5 in members)
    urls, folder = (published.url,), published.base_folder
    return (Published(published.filename, published.tgz_md5, urls, "tar", folder, parts),)


def svhn_files() -> tuple[Published, ...]:
    """SVHN's training and test files of cropped digits, without its half a million extra images."""
    splits = (_torchvision("SVHN").split_list[split] for split in ("train", "test"))
    return tuple(Published(name, md5, (url,), "none", "", (Part(name, md5),)) for url, name, md5 in splits)


def _torchvision(name: str) -> Any:
    """A data set class of torchvision, which knows addresses and md5s."""
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


CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR100_WORDS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_NAMES = tuple(word.replace("_", " ") for word in _CIFAR100_WORDS.split())
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
EMNIST_NAMES = (*string.digits, *string.ascii_uppercase, *"abdefghnqrt")  # other small letters look like capitals
_GREY, _COLOUR = (1, 28, 28), (3, 32, 32)
LIKE_MNIST = (60_000, 10_000, 6_000)  # training images, test images, and training images of the smallest class
_LECUN = "LeCun, Cortes and Burges, 1998"
_XIAO = "Xiao, Rasul and Vollgraf, Zalando Research, 2017 (arXiv:1708.07747)"
_COHEN = "Cohen, Afshar, Tapson and van Schaik, 2017 (arXiv:1702.05373)"
_NETZER = "Netzer et al., Stanford and Google, 2011"
_KRIZHEVSKY = "Krizhevsky, University of Toronto, 2009"
_ABOUT = {
    "mnist": "Handwritten digits, 28 x 28 grey pixels: the field's first benchmark.",
    "fashion_mnist": "Clothes and shoes, 28 x 28 grey pixels: MNIST's size, but harder.",
    "kmnist": "Cursive Japanese characters, 28 x 28 grey pixels.",
    "emnist_balanced": "Handwritten digits and letters, 28 x 28 grey pixels, transposed as in the files; "
    "a download of 560 MB.",
    "cifar10": "Animals and vehicles, 32 x 32 colour pixels: the benchmark most papers report.",
    "cifar100": "A hundred kinds of things, 32 x 32 colour pixels, 500 training images of each.",
    "svhn": "House numbers from street photographs, 32 x 32 colour pixels; digits are not equally frequent.",
}


_MNIST, _FASHION, _KMNIST = (partial(mnist_files, name) for name in ("MNIST", "FashionMNIST", "KMNIST"))
_EMNIST = partial(emnist_files, "balanced")
_CIFAR10, _CIFAR100 = partial(cifar_files, "CIFAR10"), partial(cifar_files, "CIFAR100")

_TABLE: tuple[tuple[str, str, str, tuple[int, ...], Iterable[str], Sizes, Files, Decode], ...] = (
    ("mnist", "MNIST", _LECUN, _GREY, string.digits, (60_000, 10_000, 5_421), _MNIST, decode_idx),
    ("fashion_mnist", "Fashion-MNIST", _XIAO, _GREY, CLOTHES, LIKE_MNIST, _FASHION, decode_idx),
    ("kmnist", "KMNIST", "Clanuwat et al., 2018", _GREY, KANA, LIKE_MNIST, _KMNIST, decode_idx),
    ("emnist_balanced", "EMNIST Balanced", _COHEN, _GREY, EMNIST_NAMES, (112_800, 18_800, 2_400), _EMNIST, decode_idx),
    ("cifar10", "CIFAR-10", _KRIZHEVSKY, _COLOUR, CIFAR10_NAMES, (50_000, 10_000, 5_000), _CIFAR10, decode_cifar10),
    ("cifar100", "CIFAR-100", _KRIZHEVSKY, _COLOUR, CIFAR100_NAMES, (50_000, 10_000, 500), _CIFAR100, decode_cifar100),
    ("svhn", "SVHN", _NETZER, _COLOUR, string.digits, (73_257, 26_032, 4_659), svhn_files, decode_svhn),
)
"""The classic image sets, in the order of lists; a new one is a row here and a sentence above."""

VISION: tuple[VisionSource, ...] = tuple(
    VisionSource(key, title, _ABOUT[key], origin, shape, tuple(names), *sizes, files, decode)
    for key, title, origin, shape, names, sizes, files, decode in _TABLE
)
