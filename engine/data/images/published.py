"""Published layouts, recognised and rewritten as class folders: Tiny ImageNet, CUB-200-2011, subsets of ImageNet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from engine.core.errors import DataError
from engine.data.images.imagenet import SUBSETS, WORDNET_ID
from engine.data.images.intake import Entry
from engine.data.images.layouts import SPLIT_FOLDERS, Tree
from engine.data.imported.names import shown

TINY_IMAGENET = "Tiny ImageNet"
CUB = "CUB-200-2011"
SUBSET_SIZE = 128


def suggested_size(layout: str) -> int | None:
    """Height and width, in pixels, at which papers use a published layout; None for other folders."""
    if layout.startswith("ImageNet "):
        return SUBSET_SIZE
    return {TINY_IMAGENET: 64}.get(layout)


def rewritten(tree: Tree, subset: str) -> Tree:
    """The tree as class folders, named and ordered as its publishers do, or as it is.

    Raises DataError: one of the layout's lists is wrong, or the subset that was asked for is not there.
    """
    if _is_tiny_imagenet(tree):
        tree = _tiny_imagenet(tree)
    elif {("images.txt",), ("image_class_labels.txt",), ("train_test_split.txt",)} <= tree.texts.keys():
        tree = _cub(tree)
    return _imagenet_subset(tree, subset)


def _is_tiny_imagenet(tree: Tree) -> bool:
    return any(
        len(parts) == 4
        and SPLIT_FOLDERS.get(parts[0]) == "train"
        and WORDNET_ID.fullmatch(parts[1])
        and parts[2] == "images"
        for parts, _ in tree.images
    )


def _tiny_imagenet(tree: Tree) -> Tree:
    """train/<id>/images/*, and val/images/* by val_annotations.txt or sorted as the training images are."""
    labels = {}
    annotations = tree.texts.get(("val", "val_annotations.txt"))
    if annotations is not None:
        labels = {fields[0]: fields[1] for fields in _rows(annotations, 2, "\t")}
    images, skipped, unlabelled = [], list(tree.skipped), 0
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
    notes = [f"Test images without labels are not used: {unlabelled:,}."] if unlabelled else []
    words = tree.texts.get(("words.txt",))
    return replace(
        tree,
        title=TINY_IMAGENET,
        images=tuple(sorted(images, key=lambda image: image[0])),
        folders=frozenset(parts for parts in tree.folders if len(parts) == 2 and parts[1] != "images"),
        names={fields[0]: fields[1].split(",")[0] for fields in _rows(words, 2, "\t")} if words else {},
        skipped=tuple((name, reason) for name, reason in skipped if not name.endswith(".txt")),
        notes=(*tree.notes, *notes),
    )


def _cub(tree: Tree) -> Tree:
    """images/<class>/*, with class and split by number in images.txt, image_class_labels.txt and train_test_split.txt."""
    paths = {number: path for number, path in _rows(tree.texts["images.txt",], 2)}
    classes = {number: label for number, label in _rows(tree.texts["image_class_labels.txt",], 2)}
    in_train = {number: flag == "1" for number, flag in _rows(tree.texts["train_test_split.txt",], 2)}
    named = tree.texts.get(("classes.txt",))
    names = {label: name for label, name in _rows(named, 2)} if named else {}
    numbers = {f"images/{path}": number for number, path in paths.items()}
    images, skipped = [], list(tree.skipped)
    for parts, entry in tree.images:
        number = numbers.get("/".join(parts))
        if number not in classes or number not in in_train:
            skipped.append((entry.name, "is not in images.txt, image_class_labels.txt and train_test_split.txt"))
        else:
            images.append((("train" if in_train[number] else "test", classes[number], parts[-1]), entry))
    if not images:
        raise DataError("None of the images that images.txt lists is here; bring the folder 'images' along with it.")
    absent = len(numbers) - len(images)
    return replace(
        tree,
        title=CUB,
        images=tuple(sorted(images, key=lambda image: image[0])),
        folders=frozenset(),
        # 001.Black_footed_Albatross
        names={label: re.sub(r"^\d+\.", "", name).replace("_", " ") for label, name in names.items()},
        skipped=tuple((name, reason) for name, reason in skipped if not name.endswith((".txt", ".mat"))),
        notes=tree.notes + ((f"Images of images.txt that are missing or were skipped: {absent:,}.",) if absent else ()),
    )


def _imagenet_subset(tree: Tree, subset: str) -> Tree:
    """The ten classes that `subset` names, or those that are the only ones here."""
    depth = 1 if _is_split(tree) else 0
    folders = {parts[depth] for parts, _ in tree.images if len(parts) > depth + 1}
    notes = tree.notes
    if subset == "all":
        subset = next((name for name, classes in SUBSETS.items() if folders == set(classes)), "all")
        if subset == "all":
            return tree
    elif absent := [wordnet_id for wordnet_id in SUBSETS[subset] if wordnet_id not in folders]:
        raise DataError(
            f"ImageNet {subset.capitalize()} was asked for, but {len(absent)} of its ten class folders are missing, the "
            f"first '{absent[0]}' ({SUBSETS[subset][absent[0]]}); choose subset 'all' for other folders."
        )
    else:
        notes = (*notes, f"Only the ten classes of ImageNet {subset.capitalize()} were taken, as asked for.")
    return replace(
        tree,
        title=f"ImageNet {subset.capitalize()}",
        names=SUBSETS[subset],
        order=tuple(SUBSETS[subset]),
        notes=notes,
    )


def _is_split(tree: Tree) -> bool:
    return any(len(parts) > 2 and SPLIT_FOLDERS.get(parts[0].casefold()) == "train" for parts, _ in tree.images)


def _rows(text: Entry, num_fields: int, separator: str | None = None) -> Iterator[list[str]]:
    """The lines of a list, each `num_fields` fields or more. Raises DataError naming file and line."""
    try:
        lines = text.path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"'{shown(text.name)}' is no text; put the published file in its place.") from None
    for number, line in enumerate(lines, 1):
        fields = line.split(separator)
        if not fields:
            continue
        if len(fields) < num_fields:
            raise DataError(
                f"'{shown(text.name)}', line {number}: {num_fields} fields are needed, not '{shown(line)}'; put the "
                "published file in its place."
            )
        yield fields[:num_fields]
