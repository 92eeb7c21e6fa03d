"""The classic sets: their files, what availability says, and the real images where they are."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from draining import drained
from making import CLOSED, md5, tiny_cifar10, tiny_emnist, tiny_idx, tiny_mnist, written

from engine.core.config import DataConfig
from engine.core.errors import DataError
from engine.data import SOURCES
from engine.data.images import files, formats
from engine.data.transforms.prepare import RawImages

VISION = [key for key, source in SOURCES.items() if source.kind == "images" and key != "digits"]
SMALL = DataConfig(validation_fraction=0.25)


def test_sources_are_in_order():
    assert list(SOURCES) == [
        "digits",
        "mnist",
        "fashion_mnist",
        "kmnist",
        "emnist_balanced",
        "cifar10",
        "cifar100",
        "svhn",
        "simulated_prices",
    ]
    assert all(source.key == key for key, source in SOURCES.items())


@pytest.mark.parametrize("key", VISION)
def test_addresses_and_md5s_are_torchvisions(key):
    from engine.data.torchvision_compat import datasets

    published = SOURCES[key].published()
    urls = [url for file in published for url in file.urls]
    if key in ("mnist", "fashion_mnist", "kmnist"):
        theirs = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}[key]
        assert urls == [mirror + name for name, _ in theirs.resources for mirror in theirs.mirrors]
        assert [file.md5 for file in published] == [md5 for _, md5 in theirs.resources]
    elif key == "emnist_balanced":
        assert urls == [datasets.EMNIST.url] and published[0].md5 == datasets.EMNIST.md5
    elif key in ("cifar10", "cifar100"):
        theirs = datasets.CIFAR10 if key == "cifar10" else datasets.CIFAR100
        assert urls == [theirs.url] and published[0].md5 == theirs.tgz_md5
        assert {part.name: part.md5 for part in published[0].parts} == dict(
            [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
        )
    else:
        assert [(urls[i], file.name, file.md5) for i, file in enumerate(published)] == [
            tuple(datasets.SVHN.split_list[split]) for split in ("train", "test")
        ]


def test_a_changed_mirror_of_torchvision_is_followed(monkeypatch):
    from engine.data.torchvision_compat import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", [CLOSED])
    assert SOURCES["mnist"].published()[0].urls == (f"{CLOSED}train-images-idx3-ubyte.gz",)


@pytest.mark.parametrize("key", VISION)
def test_absent_files_and_their_folder_are_named_in_one_sentence(key, data_root):
    availability = SOURCES[key].availability(data_root)
    assert availability.state == "downloadable"
    for file in SOURCES[key].published():
        assert file.name in availability.message
        assert str((data_root / file.path).parent) in availability.message
    assert availability.message.count(". ") == 0 and availability.message.endswith(".")


def test_only_the_missing_files_are_named(data_root):
    source, contents = tiny_mnist()
    paths = list(contents)
    written(data_root, {path: contents[path] for path in paths[:3]})
    message = source.availability(data_root).message
    assert "t10k-labels-idx1-ubyte.gz" in message and "train-images" not in message
    written(data_root, contents)
    assert source.availability(data_root).state == "present"


def test_a_root_that_does_not_exist_yet_is_no_error(tmp_path):
    assert SOURCES["mnist"].availability(tmp_path / "later").state == "downloadable"


def test_a_root_that_is_a_file_is_told_by_availability_and_load(tmp_path):
    root = tmp_path / "data"
    root.write_text("")
    assert SOURCES["cifar10"].availability(root).state == "missing"
    assert "is a file; set DISTILLERY_DATA" in SOURCES["cifar10"].availability(root).message
    with pytest.raises(DataError, match="is a file"):
        drained(SOURCES["cifar10"].load(DataConfig(), root))


def test_mnist_loads_from_gzip_or_unpacked_alike(data_root, tmp_path):
    source, contents = tiny_mnist()
    written(data_root, contents)
    _, packed = drained(source.load(SMALL, data_root))
    written(tmp_path, {path.removesuffix(".gz"): gzip.decompress(content) for path, content in contents.items()})
    assert source.availability(tmp_path).state == "present"
    _, unpacked = drained(source.load(SMALL, tmp_path))
    assert torch.equal(packed.train.inputs, unpacked.train.inputs)
    assert packed.fingerprint == unpacked.fingerprint
    assert packed.spec.sample_shape == (1, 28, 28) and len(packed.test) == 20


def test_cifar_loads_all_batches_in_order(data_root):
    source, batches, _ = tiny_cifar10()
    written(data_root, {f"cifar-10-batches-py/{name}": content for name, content in batches.items()})
    _, raw = drained(source.read(data_root))
    assert raw.train_images.shape == (100, 3, 32, 32)
    third = pickle.loads(batches["data_batch_3"], encoding="bytes")[b"data"]
    assert np.array_equal(raw.train_images[40:60].reshape(20, -1).numpy(), third)


def test_a_flipped_bit_in_any_batch_is_named_and_nothing_is_unpickled(data_root, monkeypatch):
    source, batches, _ = tiny_cifar10()
    for name in batches:
        damaged = bytearray(batches[name])
        damaged[len(damaged) // 2] ^= 1
        written(data_root, {f"cifar-10-batches-py/{other}": content for other, content in batches.items()})
        written(data_root, {f"cifar-10-batches-py/{name}": bytes(damaged)})
        availability = source.availability(data_root)
        assert availability.state == "missing"
        assert f"cifar-10-batches-py/{name} is incomplete or damaged" in availability.message
        with monkeypatch.context() as patch:
            patch.setattr(formats, "cifar_batch", lambda *_: pytest.fail("unpickled"))
            with pytest.raises(DataError, match=f"{name} is incomplete or damaged"):
                drained(source.load(DataConfig(), data_root))


def test_a_truncated_archive_is_named(data_root):
    source, _, archive = tiny_cifar10()
    written(data_root, {"cifar-10-python.tar.gz": archive[: len(archive) // 2]})
    assert "cifar-10-python.tar.gz is incomplete or damaged" in source.availability(data_root).message
    with pytest.raises(DataError, match="cifar-10-python.tar.gz is incomplete or damaged"):
        drained(source.load(DataConfig(), data_root))


def test_other_counts_or_labels_than_published_are_told(data_root):
    def with_labels(source, contents):
        images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
        return RawImages(images, torch.tensor([0, 1, 2, 10]), images, torch.tensor([0, 1, 2, 3]))

    source, contents = tiny_mnist()
    written(data_root, contents)
    with pytest.raises(DataError, match="training labels go from 0 to 10 instead of 0 to 9"):
        drained(replace(source, num_train=4, num_test=4, decode=with_labels).read(data_root))
    with pytest.raises(DataError, match="training files hold 4 images and 4 labels instead of 40"):
        drained(replace(source, decode=with_labels).read(data_root))


def test_availability_hashes_a_file_once(data_root, monkeypatch):
    source, contents = tiny_mnist()
    written(data_root, contents)
    hashed = []
    original = files._hash
    monkeypatch.setattr(files, "_hash", lambda path: hashed.append(path) or original(path))
    for _ in range(3):
        assert source.availability(data_root).state == "present"
    assert len(hashed) == 4


def test_nothing_is_written_where_files_are_found(data_root):
    source, contents = tiny_mnist()
    written(data_root, contents)
    before = {path: path.stat().st_mtime_ns for path in data_root.rglob("*")}
    source.availability(data_root)
    drained(source.load(SMALL, data_root))
    assert {path: path.stat().st_mtime_ns for path in data_root.rglob("*")} == before


def test_svhn_loads_from_its_mat_files(data_root, tmp_path):
    from scipy.io import savemat

    from engine.data.images.files import Part, Published

    published = []
    for name, count in (("train_32x32.mat", 40), ("test_32x32.mat", 10)):
        pixels = np.random.default_rng(count).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        buffer = io.BytesIO()
        savemat(buffer, {"X": pixels, "y": (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]})
        written(data_root, {name: buffer.getvalue()})
        digest = md5(buffer.getvalue())
        published.append(Published(name, digest, (CLOSED + name,), "none", "", (Part(name, digest),)))
    source = replace(SOURCES["svhn"], num_train=40, num_test=10, published=lambda: tuple(published))
    assert source.availability(data_root).state == "present"
    _, splits = drained(source.load(SMALL, data_root))
    assert torch.bincount(splits.test.targets).tolist() == [1] * 10


def test_class_names_are_torchvisions():
    from engine.data.torchvision_compat import datasets

    assert list(SOURCES["kmnist"].class_names) == datasets.KMNIST.classes
    assert list(SOURCES["emnist_balanced"].class_names) == datasets.EMNIST.classes_split_dict["balanced"]


def test_kmnist_loads_from_gzipped_idx_files_and_names_those_that_are_missing(data_root):
    source, contents = tiny_idx("kmnist")
    (path, content), *others = contents.items()
    written(data_root, dict(others))
    message = source.availability(data_root).message
    assert f"put {path.rpartition('/')[2]} from" in message and str(data_root / "KMNIST" / "raw") in message
    written(data_root, {path: content})
    _, splits = drained(source.load(SMALL, data_root))
    assert splits.spec.class_names == tuple(["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"])
    assert len(splits.train) + len(splits.validation) == 40 and len(splits.test) == 20


def test_emnist_loads_its_split_from_the_zip_of_gzip_files(data_root):
    source, archive, images = tiny_emnist()
    message = source.availability(data_root).message
    assert f"put gzip.zip from {CLOSED} in {data_root / 'EMNIST' / 'raw'}" in message
    written(data_root, {"EMNIST/raw/gzip.zip": archive})
    assert source.availability(data_root).state == "present"
    _, raw = drained(source.read(data_root))
    assert torch.equal(raw.train_images[:, 0], torch.as_tensor(images["train"]))  # transposed, as torchvision has them
    assert torch.equal(raw.test_images[:, 0], torch.as_tensor(images["test"]))
    assert raw.train_targets.tolist() == [index % 47 for index in range(94)]


def test_emnist_loads_what_torchvision_unpacked_and_refuses_other_sizes(data_root):
    source, archive, images = tiny_emnist()
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        unpacked = {
            Path(name).name.removesuffix(".gz"): gzip.decompress(members.read(name)) for name in members.namelist()
        }
    written(data_root, {f"EMNIST/raw/{name}": content for name, content in unpacked.items() if "balanced" in name})
    assert source.availability(data_root).state == "present"
    _, raw = drained(source.read(data_root))
    assert torch.equal(raw.train_images[:, 0], torch.as_tensor(images["train"]))
    written(data_root, {"EMNIST/raw/emnist-balanced-test-labels-idx1-ubyte": b"cut short"})
    with pytest.raises(DataError, match="emnist-balanced-test-labels-idx1-ubyte is not an idx file"):
        drained(source.read(data_root))


def test_a_damaged_emnist_archive_is_named(data_root):
    source, archive, _ = tiny_emnist()
    written(data_root, {"EMNIST/raw/gzip.zip": archive[:-1]})
    with pytest.raises(DataError, match="gzip.zip is incomplete or damaged"):
        drained(source.read(data_root))


@pytest.mark.real_data("MNIST", "FashionMNIST")
@pytest.mark.parametrize("key, mean, std", [("mnist", 0.1307, 0.3081), ("fashion_mnist", 0.2860, 0.3530)])
def test_real_grey_images_have_the_published_statistics(real_data, key, mean, std):
    assert SOURCES[key].availability(real_data).state == "present"
    _, splits = drained(SOURCES[key].load(DataConfig(), real_data))
    assert len(splits.train) + len(splits.validation) == 60_000 and len(splits.test) == 10_000
    assert splits.preparation.mean.item() == pytest.approx(mean, abs=1e-3)
    assert splits.preparation.std.item() == pytest.approx(std, abs=1e-3)


@pytest.mark.real_data("MNIST", "cifar-10-batches-py")
@pytest.mark.parametrize("key", ["mnist", "cifar10"])
def test_real_images_equal_what_torchvision_reads(real_data, key):
    from engine.data.torchvision_compat import datasets

    theirs = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[key](real_data, train=False)
    _, raw = drained(SOURCES[key].read(real_data))
    pixels = torch.as_tensor(theirs.data)
    expected = pixels[:, None] if key == "mnist" else pixels.permute(0, 3, 1, 2)
    assert torch.equal(raw.test_images, expected)
    assert raw.test_targets.tolist() == list(theirs.targets)
    assert list(SOURCES[key].class_names) == theirs.classes or key == "mnist"


@pytest.mark.real_data("cifar-10-batches-py")
def test_one_flipped_byte_in_a_real_batch_is_named(real_data, data_root):
    folder = data_root / "cifar-10-batches-py"
    folder.mkdir()
    for path in (real_data / "cifar-10-batches-py").iterdir():
        os.symlink(path, folder / path.name)
    assert SOURCES["cifar10"].availability(data_root).state == "present"
    content = bytearray((folder / "data_batch_4").read_bytes())
    content[12345] ^= 1
    (folder / "data_batch_4").unlink()
    (folder / "data_batch_4").write_bytes(content)
    availability = SOURCES["cifar10"].availability(data_root)
    assert availability.state == "missing" and "data_batch_4 is incomplete or damaged" in availability.message
