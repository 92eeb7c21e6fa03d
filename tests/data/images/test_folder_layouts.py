"""Class folders become classes, and folders around them become splits."""

from __future__ import annotations

import numpy as np
import pytest
from draining import drained
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_trees import (
    classes,
    encoded,
    imported_path,
    imported_zip,
    picture,
    refused,
    split_classes,
    uploaded,
    written,
    zipped,
)
from PIL import Image

from engine.core.config import DataConfig
from engine.core.errors import DataError
from engine.data.images.intake import LAYOUT_TEXTS, Entry, Found
from engine.data.images.layouts import arranged, tree_of
from engine.data.images.published import rewritten
from engine.data.imported.limits import Limits


def test_whole_numbers_sort_as_numbers(data_root):
    source = uploaded(classes(tuple(str(number) for number in range(1, 13)), 3), data_root)
    assert source.class_names == tuple(str(number) for number in range(1, 13))


def test_other_names_sort_as_text(data_root):
    source = uploaded(classes(("b", "10", "9", "a"), 3), data_root)
    assert source.class_names == ("10", "9", "a", "b")


def test_without_a_test_folder_a_fifth_of_each_class_is_one(data_root):
    source = uploaded(
        classes(("cats",), 20) | classes(("dogs",), 10, seed=1) | classes(("eels",), 3, seed=2), data_root
    )
    assert source.report.layout == "class folders"
    assert source.report.counts == {"train": (16, 8, 2), "validation": (0, 0, 0), "test": (4, 2, 1)}
    assert source.report.notes == (
        "There is no test folder, so a fifth of each class, drawn with a fixed seed, is the test set.",
    )
    assert (source.num_train, source.num_test, source.fewest_per_class) == (26, 7, 2)


def test_the_drawn_split_is_the_same_every_time(data_root, tmp_path):
    sources = [uploaded(classes(count=20), data_root / name) for name in ("a", "b")]
    first, second = (
        drained(source.load(DataConfig(), data_root / name))[1] for source, name in zip(sources, "ab", strict=True)
    )
    assert first.fingerprint == second.fingerprint
    assert (first.test.inputs == second.test.inputs).all()


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("test", ["test", "Testing"])
def test_train_and_test_folders_are_found_by_their_names(train, test, data_root):
    source = uploaded(split_classes(splits=(train, test)), data_root)
    assert source.report.layout == "train and test folders"
    assert source.class_names == ("cats", "dogs")
    assert source.report.counts == {"train": (3, 3), "validation": (0, 0), "test": (3, 3)}


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_a_validation_folder_alone_is_the_test_set(validation, data_root):
    source = uploaded(split_classes(splits=("train", validation)), data_root)
    assert source.report.layout == "train and validation folders"
    assert source.report.counts["test"] == (3, 3) and source.report.counts["validation"] == (0, 0)
    assert "so the validation folder is the test set" in source.report.notes[0]


def test_three_split_folders_keep_their_validation_images(data_root):
    tree = split_classes(splits=("train", "val", "test"))
    source = uploaded(tree, data_root, image_size=10)
    assert source.report.layout == "train, validation and test folders"
    assert source.report.counts == {"train": (3, 3), "validation": (3, 3), "test": (3, 3)}
    assert (source.num_train, source.num_test, source.fewest_per_class) == (12, 6, 6)
    splits = drained(source.load(DataConfig(), data_root))[1]
    only = uploaded(split_classes(splits=("train", "val")), data_root, image_size=10, name="Val as test")
    as_test = drained(only.load(DataConfig(), data_root))[1].test
    assert (splits.validation.inputs == as_test.inputs).all()
    assert len(splits.train) == 6


def test_unlabelled_test_images_are_left_out(data_root):
    tree = split_classes(splits=("train", "val")) | {"test/0.png": picture(999)}
    source = uploaded(tree, data_root)
    assert source.report.layout == "train and validation folders"
    assert source.report.skipped == (("test/0.png", "is not in a class folder"),)


def test_a_train_folder_beside_unlabelled_images_is_split(data_root):
    source = uploaded(classes(under="train/") | {"test/0.png": picture(999)}, data_root)
    assert source.report.layout == "class folders" and source.class_names == ("cats", "dogs")
    assert source.report.counts == {"train": (4, 4), "validation": (0, 0), "test": (1, 1)}


def test_images_beside_the_split_folders_are_left_out(data_root):
    source = uploaded(split_classes() | {"extra/cats/0.png": picture(999)}, data_root)
    assert source.report.skipped == (("extra/cats/0.png", "is outside the train, validation and test folders"),)


def test_two_folders_for_one_split_are_refused(data_root):
    tree = split_classes(splits=("train", "val", "valid"))
    assert (
        refused(tree, data_root)
        == "The folders 'val' and 'valid' both look like the validation folder; keep one of them."
    )


def test_a_class_may_be_called_train(data_root):
    source = uploaded(classes(("bus", "train")), data_root)
    assert source.class_names == ("bus", "train")


@pytest.mark.parametrize("wrapper", ["animals/", "a/b/", "data/train/"])
def test_folders_around_everything_are_peeled_off(wrapper, data_root):
    source = uploaded({wrapper + name: content for name, content in classes().items()}, data_root)
    assert source.class_names == ("cats", "dogs")


def test_images_beside_the_folder_around_everything_are_left_out(data_root):
    source = uploaded(classes(under="animals/") | {"preview.png": picture(999)}, data_root)
    assert source.class_names == ("cats", "dogs")
    assert source.report.skipped == (("preview.png", "is not in a class folder"),)


def test_class_names_are_in_composed_form_and_of_any_script(data_root):
    names = ("cafe\u0301", "\u05d7\u05ea\u05d5\u05dc", "\U0001f431", "<b>*x*`")
    source = uploaded(classes(names, 3), data_root)
    assert set(source.class_names) == {"café", *names[1:]}


def test_upload_zip_and_path_of_one_tree_give_the_same(data_root, tmp_path):
    tree = split_classes() | {"train/cats/bad.png": b"no", "notes.txt": b"hello"}
    wrapped = {f"animals/{name}": content for name, content in tree.items()}
    by_upload = uploaded(wrapped, data_root, name="A")
    by_zip = imported_zip(zipped(wrapped), data_root, name="B")
    by_path = imported_path(written(tmp_path / "animals", tree), data_root, name="C")
    assert by_upload.report == by_zip.report == by_path.report
    assert by_upload.digest == by_zip.digest == by_path.digest
    fingerprints = {
        drained(source.load(DataConfig(), data_root))[1].fingerprint for source in (by_upload, by_zip, by_path)
    }
    assert len(fingerprints) == 1


def test_labels_follow_the_class_folders(data_root):
    flat = {}
    for place, level in enumerate((10, 120, 250)):
        for number in range(4):
            pixels = np.full((10, 10, 3), level + number, np.uint8)
            flat[f"c{place}/{number}.png"] = encoded(Image.fromarray(pixels))
    splits = drained(uploaded(flat, data_root).load(DataConfig(), data_root))[1]
    for part in (splits.train, splits.validation, splits.test):
        levels = part.inputs.float().mean((1, 2, 3))
        assert (np.digitize(levels.numpy(), (60, 200)) == part.targets.numpy()).all()


def _encoded(pixels: np.ndarray) -> bytes:
    from picture_trees import encoded
    from PIL import Image

    return encoded(Image.fromarray(pixels))


FOLDERS = st.lists(
    st.sampled_from(["train", "val", "test", "a", "b", "A", "10", "9", "images", "n01443537", "n01629819"]), max_size=4
)
TEXTS = st.sampled_from(sorted(LAYOUT_TEXTS))


@given(st.lists(FOLDERS, min_size=1, max_size=30), st.lists(st.tuples(FOLDERS, TEXTS), max_size=5, unique_by=repr))
@settings(max_examples=150, deadline=None)
def test_every_tree_is_arranged_with_each_image_once_or_refused(empty_file, places, texts):
    found = Found()
    names = ["/".join((*folders, f"{number}.png")) for number, folders in enumerate(places)]
    found.images = [Entry(name, empty_file, 1, name) for name in names]
    found.texts = [Entry("/".join((*folders, name)), empty_file, 0, name) for folders, name in texts]
    for entry in found.images + found.texts:
        found.folders |= {"/".join(entry.parts[:depth]) for depth in range(1, len(entry.parts))}
    try:
        layout = arranged(rewritten(tree_of(found), "all"), Limits())
    except DataError as error:
        assert str(error).endswith(".")
        return
    placed = [entry.digest for entry, _, _ in layout.members]
    assert len(placed) == len(set(placed))
    has_unlabelled = any(note.startswith("Test images without labels") for note in layout.notes)
    assert has_unlabelled or len(placed) + len(layout.skipped) == len(names)
    assert {label for _, label, _ in layout.members} == set(range(len(layout.class_names)))
    assert len(set(layout.class_names)) == len(layout.class_names) >= 2


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory):
    """A list of nothing."""
    path = tmp_path_factory.mktemp("lists") / "empty.txt"
    path.touch()
    return path
