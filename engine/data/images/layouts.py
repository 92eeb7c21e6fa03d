"""From names of files to classes and splits: class folders, with or without train and test folders around them.

Published layouts are first rewritten to that form (`published.py`), so that one set of rules reads them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.core.errors import DataError
from engine.data.images.intake import Entry, Found
from engine.data.imported.limits import Limits, variable
from engine.data.imported.names import Parts, shown

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
Placed = dict[str, list[tuple[str, Entry]]]  # (class folder, file) by split
FORMATS = "JPEG, PNG, WebP or BMP"


@dataclass(frozen=True)
class Tree:
    """Images and folders as their names place them, under what stands around all of them.

    title: of a published layout, "" for others. images: (parts, file). texts: its lists by their parts. names: what
    classes are called, where that is not their folder's name. order: the classes that are wanted, in order; every
    folder if empty.
    """

    title: str
    images: tuple[tuple[Parts, Entry], ...]
    folders: frozenset[Parts]
    texts: dict[Parts, Entry]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What is to be decoded.

    members: (file, label, "train", "validation" or "test", or "" where it is still to be drawn).
    skipped: (name, reason).
    """

    title: str
    class_names: tuple[str, ...]
    members: tuple[tuple[Entry, int, str], ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def tree_of(found: Found) -> Tree:
    """The files without the folders that stand around all of them, as zip files and browsers add one.

    Raises DataError if there is no image at all.
    """
    if not found.images:
        raise DataError(_no_images(found))
    lists = {entry.parts[:-1] for entry in found.texts if entry.parts[-1] == "images.txt"}
    around = _around([entry.parts for entry in found.images], lists)
    depth, wrapper = len(around), "".join(f"{folder}/" for folder in around)

    def moved(entries: Sequence[Entry]) -> list[tuple[Parts, Entry]]:
        return [
            (entry.parts[depth:], replace(entry, name=entry.name.removeprefix(wrapper)))
            for entry in entries
            if entry.name.startswith(wrapper)
        ]

    strays = [(entry.name, "lies in no class folder") for entry in found.images if not entry.name.startswith(wrapper)]
    folders = (tuple(name.split("/"))[depth:] for name in found.folders if name.startswith(wrapper))
    return Tree(
        title="",
        images=tuple(sorted(moved(found.images), key=lambda image: image[0])),
        folders=frozenset(folder for folder in folders if folder),
        texts=dict(moved(found.texts)),
        skipped=tuple((name.removeprefix(wrapper), reason) for name, reason in found.skipped + strays),
    )


def _around(images: Sequence[Parts], lists: set[Parts]) -> Parts:
    """The folders that stand around all others; images beside them do not count.

    lists: the folders of lists of images, where it ends: CUB-200-2011 has all its classes in `images/` beside one.
    """
    around: Parts = ()
    while around not in lists:
        depth = len(around)
        images = [parts for parts in images if len(parts) > depth + 1]
        if len({parts[depth] for parts in images}) != 1 or all(len(parts) == depth + 2 for parts in images):
            break
        around = images[0][: depth + 1]
    return around


def _no_images(found: Found) -> str:
    if not found.skipped:
        return f"There are no images in it; bring one sub-folder a class, with {FORMATS} files."
    name, reason = found.skipped[0]
    others = f"the first of {len(found.skipped):,} skipped files" if len(found.skipped) > 1 else "the one file"
    return f"There is no image that can be used ({FORMATS}): {others}, '{name}', {reason}."


def arranged(tree: Tree, caps: Limits) -> Layout:
    """The classes and splits of a tree.

    Raises DataError: no class folders, images too deep, fewer than two classes or too many, class folders that differ
    by case alone or stand in one split only, a class without images.
    """
    splits = _split_folders(tree)
    placed, deep, skipped = _placed(tree, splits)
    _check_placed(placed, tree)
    folders = _class_folders(placed, splits, tree)
    full = {folder for folder, _ in placed["train"]}
    if empty := [folder for folder in folders["train"] if folder not in full]:
        raise DataError(_empty(empty[0], deep[empty[0]], [name for name, _ in tree.skipped]))
    order = tree.order or _ordered(folders["train"])
    _check_classes(order, folders, caps)
    tested_on = next((split for split in ("test", "validation") if placed[split]), "")
    if tested_on == "validation":
        placed["test"], placed["validation"] = placed["validation"], []
        folders["test"] = folders["validation"]
    _check_test(folders, placed, order)
    labels = {folder: label for label, folder in enumerate(order)}
    members = tuple(
        (entry, labels[folder], split if tested_on else "")
        for split, images in placed.items()
        for folder, entry in images
    )
    return Layout(
        title=tree.title or _title(tested_on, bool(placed["validation"])),
        class_names=_class_names(order, tree.names),
        members=members,
        notes=tree.notes + _split_notes(tested_on, bool(placed["validation"])),
        skipped=(*tree.skipped, *skipped),
    )


def _split_folders(tree: Tree) -> dict[str, str]:
    """Top folders by the split they hold, {"val": "validation"}; empty where the top folders are the classes."""
    tops = sorted({parts[0] for parts, _ in tree.images if len(parts) >= 3 and parts[0].casefold() in SPLIT_FOLDERS})
    splits = {top: SPLIT_FOLDERS[top.casefold()] for top in tops}
    if "train" not in splits.values() or any(
        len(parts) == 2 and splits.get(parts[0]) == "train" for parts, _ in tree.images
    ):
        return {}
    for split, times in Counter(splits.values()).items():
        if times > 1:
            same = " and ".join(f"'{top}'" for top in splits if splits[top] == split)
            raise DataError(f"The folders {same} both look like the {split} folder; keep one of them.")
    # unlabelled images of another split are told to lie in no class folder
    return splits | {
        parts[0]: SPLIT_FOLDERS[parts[0].casefold()]
        for parts, _ in tree.images
        if len(parts) == 2
        and parts[0].casefold() in SPLIT_FOLDERS
        and SPLIT_FOLDERS[parts[0].casefold()] not in splits.values()
    }


def _placed(tree: Tree, splits: dict[str, str]) -> tuple[Placed, Counter[str], list[tuple[str, str]]]:
    """Images by split and class folder, how many lie deeper by class folder, and what is skipped."""
    placed: Placed = {"train": [], "validation": [], "test": []}
    deep: Counter[str] = Counter()
    skipped = []
    for parts, entry in tree.images:
        split, rest = (splits.get(parts[0]), parts[1:]) if splits else ("train", parts)
        if split is None:
            skipped.append((entry.name, "lies outside the train, validation and test folders"))
        elif len(rest) == 1:
            skipped.append((entry.name, "lies in no class folder"))
        elif tree.order and rest[0] not in tree.order:
            continue  # a note says that ten classes were picked
        elif len(rest) > 2:
            deep[rest[0]] += 1
            skipped.append((entry.name, "is nested too deep: it must lie directly in its class folder"))
        else:
            placed[split].append((rest[0], entry))
    return placed, deep, skipped


def _check_placed(placed: Placed, tree: Tree) -> None:
    if placed["train"]:
        return
    parts, entry = tree.images[0]
    if all(len(parts) == 1 for parts, _ in tree.images):
        raise DataError(
            f"There are no class folders: '{entry.name}' and the other images lie side by side; sort them into one "
            "sub-folder a class, as cats/1.jpg and dogs/1.jpg."
        )
    if tree.order:
        raise DataError(f"There are no images of {tree.title}: none of its ten folders, as {tree.order[0]}, was found.")
    deepest, entry = max(tree.images, key=lambda image: len(image[0]))
    raise DataError(
        f"The images are nested too deep: '{entry.name}' lies {len(deepest) - 1} folders down; each must lie directly "
        "in its class folder."
    )


def _class_folders(placed: Placed, splits: dict[str, str], tree: Tree) -> dict[str, list[str]]:
    """The class folders of each split, empty ones included."""
    folders = {split: {folder for folder, _ in images} for split, images in placed.items()}
    for parts in tree.folders:
        if splits and len(parts) == 2 and parts[0] in splits:
            folders[splits[parts[0]]].add(parts[1])
        elif not splits and len(parts) == 1:
            folders["train"].add(parts[0])
    wanted = set(tree.order)
    return {split: sorted(names & wanted if wanted else names) for split, names in folders.items()}


def _empty(folder: str, num_deep: int, skipped: list[str]) -> str:
    if num_deep:
        return (
            f"Class folder '{shown(folder)}' holds no image itself, but {num_deep:,} deeper down; move them up into it."
        )
    num_skipped = sum(f"/{folder}/" in f"/{name}" for name in skipped)
    why = f" that can be used ({num_skipped:,} skipped)" if num_skipped else ""
    return f"Class folder '{shown(folder)}' holds no image{why}; put images in it or remove it."


def _ordered(folders: Sequence[str]) -> tuple[str, ...]:
    """Class folders in order: by value if all are whole numbers, else by name."""
    if all(folder.isdecimal() for folder in folders):
        return tuple(sorted(folders, key=lambda folder: (int(folder), folder)))
    return tuple(sorted(folders))


def _check_classes(order: Sequence[str], folders: dict[str, list[str]], caps: Limits) -> None:
    by_case: dict[str, str] = {}
    for folder in sorted({folder for names in folders.values() for folder in names}):
        other = by_case.setdefault(folder.casefold(), folder)
        if other != folder:
            raise DataError(
                f"The class folders '{shown(other)}' and '{shown(folder)}' differ by case alone; merge them or rename one."
            )
    if len(order) < 2:
        raise DataError(
            f"There is only one class folder, '{shown(order[0])}'; two classes or more are needed to tell apart. "
            "If its images are of several classes, put each class into a sub-folder of its own."
        )
    if len(order) > caps.max_classes:
        raise DataError(
            f"There are {len(order):,} class folders and {caps.max_classes:,} are allowed; bring fewer, or set "
            f"{variable('max_classes')}."
        )
    if missing := [folder for folder in order if folder not in folders["train"]]:
        raise DataError(
            f"The folder of class '{missing[0]}' is missing, and {len(missing) - 1} more of the {len(order)} classes."
            if len(missing) > 1
            else f"The folder of class '{missing[0]}' is missing."
        )


def _check_test(folders: dict[str, list[str]], placed: Placed, order: Sequence[str]) -> None:
    for split in ("validation", "test"):
        if not placed[split]:
            continue
        if extra := [folder for folder in folders[split] if folder not in order]:
            raise DataError(
                f"Class folder '{shown(extra[0])}' is in the {split} folder but not in the train folder; give it training "
                "images or remove it."
            )
    if placed["test"] and (bare := [folder for folder in order if folder not in {name for name, _ in placed["test"]}]):
        raise DataError(
            f"Class '{shown(bare[0])}' has no image in the test folder; give it one or more, or remove the test folder."
        )


def _title(tested_on: str, has_validation: bool) -> str:
    if has_validation:
        return "train, validation and test folders"
    return f"train and {tested_on} folders" if tested_on else "class folders"


def _split_notes(tested_on: str, has_validation: bool) -> tuple[str, ...]:
    if not tested_on:
        return ("No test folder was found, so a fifth of each class, by a fixed seed, is the test set.",)
    if has_validation:
        return ("The validation folder's images are used for validation alone, not for training.",)
    if tested_on == "validation":
        return (
            "There is no labelled test folder, so the validation folder's images are the test set, as in most papers.",
        )
    return ()


def _class_names(order: Sequence[str], names: dict[str, str]) -> tuple[str, ...]:
    """What the classes are called, each differently."""
    found = [names.get(folder) or folder for folder in order]
    times = Counter(found)
    return tuple(name if times[name] == 1 else f"{name} ({folder})" for name, folder in zip(found, order, strict=True))
