"""Published layouts are recognised, with their classes, names and splits."""

from __future__ import annotations

import pytest
from picture_trees import Tree, classes, imported_path, picture, refused, uploaded, written

from engine.data.images import suggested_size
from engine.data.images.imagenet import SUBSETS

WORDS = "n01443537\tgoldfish, Carassius auratus\nn01629819\tEuropean fire salamander\nn02124075\tEgyptian cat\n"
TINY_IDS = ("n01443537", "n01629819")


def tiny_imagenet() -> Tree:
    tree: Tree = {"wnids.txt": "\n".join(TINY_IDS).encode(), "words.txt": WORDS.encode()}
    annotations = []
    for place, wordnet_id in enumerate(TINY_IDS):
        tree[f"train/{wordnet_id}/{wordnet_id}_boxes.txt"] = b"x_0.JPEG\t0\t0\t63\t63\n"
        for number in range(4):
            tree[f"train/{wordnet_id}/images/{wordnet_id}_{number}.JPEG"] = picture(
                10 * place + number, (64, 64), "JPEG"
            )
        for number in range(2):
            name = f"val_{2 * place + number}.JPEG"
            tree[f"val/images/{name}"] = picture(100 + 10 * place + number, (64, 64), "JPEG")
            annotations.append(f"{name}\t{wordnet_id}\t0\t0\t62\t62")
    tree["val/val_annotations.txt"] = "\n".join(annotations).encode()
    tree["test/images/test_0.JPEG"] = picture(999, (64, 64), "JPEG")
    return {f"tiny-imagenet-200/{name}": content for name, content in tree.items()}


def test_tiny_imagenet(data_root):
    source = uploaded(tiny_imagenet(), data_root)
    assert source.report.layout == "Tiny ImageNet"
    assert source.class_names == ("goldfish", "European fire salamander")
    assert source.report.counts == {"train": (4, 4), "validation": (0, 0), "test": (2, 2)}
    assert source.report.skipped == ()
    notes = " ".join(source.report.notes)
    assert (
        "Test images without labels are not used: 1." in notes and "Papers use Tiny ImageNet at 64 x 64 pixels" in notes
    )


def test_tiny_imagenet_with_validation_images_sorted_into_folders(data_root):
    tree = {name: content for name, content in tiny_imagenet().items() if "/val/" not in name}
    for place, wordnet_id in enumerate(TINY_IDS):
        tree[f"tiny-imagenet-200/val/{wordnet_id}/images/a.JPEG"] = picture(500 + place, (64, 64), "JPEG")
    source = uploaded(tree, data_root, image_size=64)
    assert source.report.counts["test"] == (1, 1)
    assert not any("Papers use" in note for note in source.report.notes)


def test_tiny_imagenet_without_its_annotations_is_split(data_root):
    tree = {name: content for name, content in tiny_imagenet().items() if "annotations" not in name}
    source = uploaded(tree, data_root)
    assert source.report.counts == {"train": (3, 3), "validation": (0, 0), "test": (1, 1)}
    assert source.report.skipped[0] == ("val/images/val_0.JPEG", "has no label in val_annotations.txt")


def test_a_wrong_line_of_a_list_is_named(data_root):
    tree = tiny_imagenet() | {"tiny-imagenet-200/val/val_annotations.txt": b"val_0.JPEG\tn01443537\nval_1.JPEG\n"}
    assert refused(tree, data_root) == (
        "'val/val_annotations.txt', line 2: expected 2 fields, but found 'val_1.JPEG'; replace it with the "
        "published file."
    )


def test_a_list_that_is_no_text_is_named(data_root):
    tree = tiny_imagenet() | {"tiny-imagenet-200/words.txt": b"\xff\xfe\x00\x01"}
    assert refused(tree, data_root) == "'words.txt' is not text; replace it with the published file."


def cub() -> Tree:
    birds = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    tree: Tree = {"attributes.txt": b"1 has_bill_shape::curved\n"}
    images, labels, splits = [], [], []
    for place, bird in enumerate(birds):
        for number in range(5):
            index = 5 * place + number + 1
            images.append(f"{index} {bird}/{bird[4:]}_{number}.jpg")
            labels.append(f"{index} {place + 1}")
            splits.append(f"{index} {int(number < 3)}")
            tree[f"CUB_200_2011/images/{bird}/{bird[4:]}_{number}.jpg"] = picture(index, (40, 30), "JPEG")
    tree["CUB_200_2011/images.txt"] = "\n".join(images).encode()
    tree["CUB_200_2011/image_class_labels.txt"] = "\n".join(labels).encode()
    tree["CUB_200_2011/train_test_split.txt"] = "\n".join(splits).encode()
    tree["CUB_200_2011/classes.txt"] = "\n".join(f"{place + 1} {bird}" for place, bird in enumerate(birds)).encode()
    return tree


def test_cub(data_root):
    source = uploaded(cub(), data_root)
    assert source.report.layout == "CUB-200-2011"
    assert source.class_names == ("Black footed Albatross", "Laysan Albatross")
    assert source.report.counts == {"train": (3, 3), "validation": (0, 0), "test": (2, 2)}
    assert source.report.skipped == () and source.report.sizes == ((40, 30, 10),)


def test_cub_says_what_its_lists_and_images_do_not_share(data_root):
    tree = cub() | {"CUB_200_2011/images/001.Black_footed_Albatross/other.jpg": picture(99, kind="JPEG")}
    del tree["CUB_200_2011/images/002.Laysan_Albatross/Laysan_Albatross_4.jpg"]
    source = uploaded(tree, data_root)
    assert source.report.skipped[0][1] == "is not in images.txt, image_class_labels.txt and train_test_split.txt"
    assert source.report.counts["test"] == (2, 1)
    assert "Images of images.txt that are missing or were skipped: 1." in source.report.notes


def test_cub_without_its_images_is_refused(data_root):
    tree = {name.replace("/images/", "/pictures/"): content for name, content in cub().items()}
    assert refused(tree, data_root).startswith("None of the images listed in images.txt are here;")


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_subset_is_known_by_its_ten_folders(subset, data_root):
    source = uploaded(classes(tuple(SUBSETS[subset]), 3, under="ILSVRC/"), data_root)
    assert source.report.layout == f"ImageNet {subset.capitalize()}"
    assert source.class_names == tuple(SUBSETS[subset].values())
    assert f"Papers use ImageNet {subset.capitalize()} at 128 x 128 pixels; here it is 8 x 8." in source.report.notes


def test_a_subset_with_train_and_val_folders(data_root):
    ids = tuple(SUBSETS["nette"])
    source = uploaded(classes(ids, 2, 1, "train/") | classes(ids, 1, 2, "val/"), data_root)
    assert source.report.layout == "ImageNet Nette"
    assert source.report.counts["test"] == (1,) * 10


def test_a_subset_is_picked_from_a_larger_tree_by_every_way_in(data_root, tmp_path):
    ids = ("n02084071", *SUBSETS["meow"], "n09999999")
    tree = classes(ids, 3, 1, "train/") | classes(ids, 1, 2, "val/")
    by_upload = uploaded(tree, data_root, subset="meow")
    by_path = imported_path(written(tmp_path / "ImageNet", tree), data_root, subset="meow", name="By path")
    assert by_upload.class_names == by_path.class_names == tuple(SUBSETS["meow"].values())
    assert by_upload.digest == by_path.digest
    assert "Only the ten classes of ImageNet Meow are used, as chosen." in by_path.report.notes


def test_a_subset_that_is_not_there_is_refused(data_root):
    sentence = refused(classes(tuple(SUBSETS["nette"])[1:], 3), data_root, subset="nette")
    assert sentence.startswith(
        "1 of the ten class folders of ImageNet Nette are missing, the first is 'n01440764' (tench);"
    )


def test_the_lists_of_the_subsets_are_ten_different_classes_each():
    for wordnet_ids in SUBSETS.values():
        assert len(wordnet_ids) == len(set(wordnet_ids.values())) == 10
    # a class of two subsets has one name
    assert len({item for classes_ in SUBSETS.values() for item in classes_.items()}) == len(
        {wordnet_id for classes_ in SUBSETS.values() for wordnet_id in classes_}
    )


def test_other_wordnet_folders_are_plain_class_folders(data_root):
    source = uploaded(classes(("n02084071", "n09999999"), 3), data_root)
    assert source.report.layout == "class folders" and source.class_names == ("n02084071", "n09999999")


def test_the_sizes_that_papers_use():
    assert [
        suggested_size(layout) for layout in ("Tiny ImageNet", "ImageNet Woof", "CUB-200-2011", "class folders")
    ] == [64, 128, None, None]
