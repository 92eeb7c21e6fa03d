"""Published layouts, rewritten as class folders: Tiny ImageNet, CUB-200-2011, subsets of ImageNet."""

import re
from collections.abc import Iterator
from dataclasses import replace

from engine.core.errors import DataError
from engine.data.images.imagenet import SUBSETS, WORDNET_ID
from engine.data.images.intake import Entry
from engine.data.images.layouts import SPLIT_FOLDERS, Tree
from engine.data.imported.names import Parts, shown

TINY_IMAGENET = "Tiny ImageNet"
CUB = "CUB-200-2011"
SUBSET_SIZE = 128
CUB_LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt")


def suggested_size(layout: str) -> int | None:
    """Side of the images, in pixels, at which papers use a published layout; None for other layouts."""
    return SUBSET_SIZE if layout.startswith("ImageNet ") else {TINY_IMAGENET: 64}.get(layout)


def rewritten(tree: Tree, subset: str) -> Tree:
    """The tree as class folders, named and ordered as published. Raises DataError: a bad list, or an absent subset."""
    deep = [parts for parts, _ in tree.images if len(parts) == 4 and parts[2] == "images"]  # train/<id>/images/*
    if any(SPLIT_FOLDERS.get(parts[0]) == "train" and WORDNET_ID.fullmatch(parts[1]) for parts in deep):
        tree = _tiny_imagenet(tree)
    elif {(name,) for name in CUB_LISTS} <= tree.texts.keys():
        tree = _cub(tree)
    return _imagenet_subset(tree, subset)


def _tiny_imagenet(tree: Tree) -> Tree:
    """train/<id>/images/*, and val/images/* labelled by val_annotations.txt or sorted like the training images."""
    labels = dict(_rows(tree.texts.get(("val", "val_annotations.txt")), 2, "\t"))
    names = {folder: words.split(",")[0] for folder, words in _rows(tree.texts.get(("words.txt",)), 2, "\t")}
    images: list[tuple[Parts, Entry]] = []
    skipped, unlabelled = list(tree.skipped), 0
    for parts, entry in tree.images:
        if parts[0] == "val" and parts[-1] in labels:
            images.append((("val", labels[parts[-1]], parts[-1]), entry))
        elif parts[:2] == ("val", "images"):
            skipped.append((entry.name, "has no label in val_annotations.txt"))
        elif len(parts) == 4 and parts[2] == "images":
            images.append(((parts[0], parts[1], parts[3]), entry))
        elif parts[:2] == ("test", "images"):
            unlabelled += 1
        else:
            images.append((parts, entry))
    note = f"Test images without labels are not used: {unlabelled:,}." if unlabelled else ""
    folders = frozenset(parts for parts in tree.folders if len(parts) == 2 and parts[1] != "images")
    return _as_class_folders(replace(tree, title=TINY_IMAGENET, names=names, folders=folders), images, skipped, note)


def _cub(tree: Tree) -> Tree:
    """images/<class>/*, with class and split by number in CUB_LISTS."""
    paths, classes, in_train = (dict(_rows(tree.texts[(name,)], 2)) for name in CUB_LISTS)
    named = dict(_rows(tree.texts.get(("classes.txt",)), 2))
    names = {label: re.sub(r"^\d+\.", "", name).replace("_", " ") for label, name in named.items()}  # 001.Sooty_Tern
    numbers = {f"images/{path}": number for number, path in paths.items()}
    images: list[tuple[Parts, Entry]] = []
    skipped = [file for file in tree.skipped if not file[0].endswith(".mat")]
    for parts, entry in tree.images:
        number = numbers.get("/".join(parts))
        if number is None or number not in classes or number not in in_train:
            skipped.append((entry.name, "is not in images.txt, image_class_labels.txt and train_test_split.txt"))
        else:
            images.append((("train" if in_train[number] == "1" else "test", classes[number], parts[-1]), entry))
    if not images:
        raise DataError("None of the images listed in images.txt are here; import the folder 'images' as well.")
    absent = len(numbers) - len(images)
    note = f"Images of images.txt that are missing or were skipped: {absent:,}." if absent else ""
    return _as_class_folders(replace(tree, title=CUB, names=names, folders=frozenset()), images, skipped, note)


def _as_class_folders(tree: Tree, images: list[tuple[Parts, Entry]], skipped: list[tuple[str, str]], note: str) -> Tree:
    """The tree with other images; the lists that describe the layout do not count as skipped."""
    left_out = tuple(file for file in skipped if not file[0].endswith(".txt"))
    images = sorted(images, key=lambda image: image[0])
    return replace(tree, images=tuple(images), skipped=left_out, notes=tree.notes + ((note,) if note else ()))


def _imagenet_subset(tree: Tree, subset: str) -> Tree:
    """The ten classes of `subset`; for "all", those of a subset if the tree has exactly its folders."""
    is_split = any(len(parts) > 2 and SPLIT_FOLDERS.get(parts[0].casefold()) == "train" for parts, _ in tree.images)
    folders = {parts[is_split] for parts, _ in tree.images if len(parts) > is_split + 1}
    notes = tree.notes
    if subset == "all":
        subset = next((name for name, classes in SUBSETS.items() if folders == set(classes)), "all")
        if subset == "all":
            return tree
    elif absent := [wordnet_id for wordnet_id in SUBSETS[subset] if wordnet_id not in folders]:
        missing = f"{len(absent)} of the ten class folders of ImageNet {subset.capitalize()} are missing"
        first = f"the first is '{absent[0]}' ({SUBSETS[subset][absent[0]]})"
        raise DataError(f"{missing}, {first}; choose subset 'all' for other folders.")
    else:
        notes = (*notes, f"Only the ten classes of ImageNet {subset.capitalize()} are used, as chosen.")
    title, names = f"ImageNet {subset.capitalize()}", SUBSETS[subset]
    return replace(tree, title=title, names=names, order=tuple(names), notes=notes)


def _rows(text: Entry | None, num_fields: int, separator: str | None = None) -> Iterator[list[str]]:
    """The first `num_fields` fields of each line of a list, none without one. Raises DataError with file and line."""
    if text is None:
        return
    try:
        lines = text.path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"'{shown(text.name)}' is not text; replace it with the published file.") from None
    for number, line in enumerate(lines, 1):
        fields = line.split(separator)
        if fields and len(fields) < num_fields:
            where = f"'{shown(text.name)}', line {number}: expected {num_fields} fields, but found '{shown(line)}'"
            raise DataError(f"{where}; replace it with the published file.")
        if fields:
            yield fields[:num_fields]
