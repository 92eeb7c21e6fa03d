"""Classes and splits from file names: class folders, with or without train and test folders around them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.core.errors import DataError
from engine.data.images.intake import Entry, Found
from engine.data.imported.limits import Limits
from engine.data.imported.names import Parts, shown

SPLIT_FOLDERS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLIT_FOLDERS |= dict.fromkeys(("val", "valid", "validation"), "validation")
Placed = dict[str, list[tuple[str, Entry]]]  # (class folder, file) by split
FORMATS = "JPEG, PNG, WebP or BMP"


@dataclass(frozen=True)
class Tree:
    """Images and folders by path, without the folders around all of them.

    title: of a published layout, otherwise "". images: (parts, file). texts: its lists by their parts. names: of
    classes, by folder, where they differ. order: the class folders to use, in order; all folders if empty.
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
    """What to decode. members: (file, label, split); the split is "" if it is drawn later. skipped: (name, reason)."""

    title: str
    class_names: tuple[str, ...]
    members: tuple[tuple[Entry, int, str], ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def tree_of(found: Found) -> Tree:
    """The files without the folders around all of them. Raises DataError if there are no images."""
    if not found.images:
        raise DataError(_no_images(found))
    lists = {entry.parts[:-1] for entry in found.texts if entry.parts[-1] == "images.txt"}
    around = _around([entry.parts for entry in found.images], lists)
    depth, wrapper = len(around), "".join(f"{folder}/" for folder in around)

    def moved(entries: Sequence[Entry]) -> list[tuple[Parts, Entry]]:
        inside = [entry for entry in entries if entry.name.startswith(wrapper)]
        return [(entry.parts[depth:], entry._replace(name=entry.name.removeprefix(wrapper))) for entry in inside]

    strays = [(entry.name, "is not in a class folder") for entry in found.images if not entry.name.startswith(wrapper)]
    folders = (tuple(name.split("/"))[depth:] for name in found.folders if name.startswith(wrapper))
    return Tree(
        title="",
        images=tuple(sorted(moved(found.images), key=lambda image: image[0])),
        folders=frozenset(folder for folder in folders if folder),
        texts=dict(moved(found.texts)),
        skipped=tuple((name.removeprefix(wrapper), reason) for name, reason in found.skipped + strays),
    )


def _around(images: Sequence[Parts], lists: set[Parts]) -> Parts:
    """The folders around all others. Search ends at `lists`, folders with a list of images, as in CUB-200-2011."""
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
        return f"There are no images; use one sub-folder per class, with {FORMATS} files."
    name, reason = found.skipped[0]
    others = f"the first of {len(found.skipped):,} skipped files" if len(found.skipped) > 1 else "the only file"
    return f"There are no usable images ({FORMATS}): {others}, '{name}', {reason}."


def arranged(tree: Tree, caps: Limits) -> Layout:
    """The classes and splits of a tree. Raises DataError if the folders are not a data set."""
    splits = _split_folders(tree)
    placed, deep, skipped = _placed(tree, splits)
    if not placed["train"]:
        raise DataError(_no_training_images(tree))
    folders = _class_folders(placed, splits, tree)
    full = {folder for folder, _ in placed["train"]}
    if empty := [folder for folder in folders["train"] if folder not in full]:
        raise DataError(_empty(empty[0], deep[empty[0]], [name for name, _ in tree.skipped]))
    order = tree.order or folders["train"]
    if all(folder.isdecimal() for folder in order):  # class folders by value if all are whole numbers
        order = sorted(order, key=lambda folder: (int(folder), folder))
    _check_classes(order, folders, caps)
    if placed["test"]:
        title, note = "train and test folders", ""
    elif placed["validation"]:
        placed["test"], placed["validation"] = placed["validation"], []
        folders["test"] = folders["validation"]
        title = "train and validation folders"
        note = "There is no labelled test folder, so the validation folder is the test set, as in most papers."
    else:
        title = "class folders"
        note = "There is no test folder, so a fifth of each class, drawn with a fixed seed, is the test set."
    if placed["validation"]:
        title = "train, validation and test folders"
        note = "The images of the validation folder are used only for validation, unless a run takes none."
    _check_test(folders, placed, order)
    labels, is_split = {folder: label for label, folder in enumerate(order)}, bool(placed["test"])
    members = [(entry, labels[at], split if is_split else "") for split in placed for at, entry in placed[split]]
    names = [tree.names.get(folder) or folder for folder in order]
    times = Counter(names)
    unique = (name if times[name] == 1 else f"{name} ({at})" for name, at in zip(names, order, strict=True))
    notes = (*tree.notes, note) if note else tree.notes
    return Layout(tree.title or title, tuple(unique), tuple(members), notes, (*tree.skipped, *skipped))


def _split_folders(tree: Tree) -> dict[str, str]:
    """Top folders by their split, {"val": "validation"}; empty if the top folders are the classes."""
    tops = {parts[0]: SPLIT_FOLDERS.get(parts[0].casefold(), "") for parts, _ in tree.images if len(parts) > 1}
    nested = {parts[0] for parts, _ in tree.images if len(parts) > 2}
    flat = {parts[0] for parts, _ in tree.images if len(parts) == 2}
    splits = {top: split for top, split in sorted(tops.items()) if split and top in nested}
    if "train" not in splits.values() or any(splits.get(top) == "train" for top in flat):
        return {}
    for split, times in Counter(splits.values()).items():
        if times > 1:
            same = " and ".join(f"'{top}'" for top in splits if splits[top] == split)
            raise DataError(f"The folders {same} both look like the {split} folder; keep one of them.")
    # a flat folder, as of unlabelled test images, counts too: its images are skipped for lack of a class folder
    return splits | {top: split for top, split in tops.items() if split and split not in splits.values()}


def _placed(tree: Tree, splits: dict[str, str]) -> tuple[Placed, Counter[str], list[tuple[str, str]]]:
    """Images by split and class folder, the number of deeper ones by class folder, and what is skipped."""
    placed: Placed = {"train": [], "validation": [], "test": []}
    deep: Counter[str] = Counter()
    skipped = []
    for parts, entry in tree.images:
        split, rest = (splits.get(parts[0]), parts[1:]) if splits else ("train", parts)
        if split is None:
            skipped.append((entry.name, "is outside the train, validation and test folders"))
        elif len(rest) == 1:
            skipped.append((entry.name, "is not in a class folder"))
        elif tree.order and rest[0] not in tree.order:
            continue  # a note says that only ten classes are used
        elif len(rest) > 2:
            deep[rest[0]] += 1
            skipped.append((entry.name, "is nested too deep: it must be directly in its class folder"))
        else:
            placed[split].append((rest[0], entry))
    return placed, deep, skipped


def _no_training_images(tree: Tree) -> str:
    name = tree.images[0][1].name
    if all(len(parts) == 1 for parts, _ in tree.images):
        example = "for example cats/1.jpg and dogs/1.jpg"
        return f"There are no class folders: '{name}' is at the top. Use one sub-folder per class, {example}."
    if tree.order:
        return f"There are no images of {tree.title}: none of its ten folders, such as {tree.order[0]}, was found."
    parts, entry = max(tree.images, key=lambda image: len(image[0]))
    where = f"'{entry.name}' is {len(parts) - 1} folders down"
    return f"The images are nested too deep: {where}, but must be directly in its class folder."


def _class_folders(placed: Placed, splits: dict[str, str], tree: Tree) -> dict[str, list[str]]:
    """The class folders of each split, including empty ones."""
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
        return f"Class folder '{shown(folder)}' has images only in sub-folders ({num_deep:,}); move them up into it."
    num_skipped = sum(f"/{folder}/" in f"/{name}" for name in skipped)
    kind = f"usable images ({num_skipped:,} skipped)" if num_skipped else "images"
    return f"Class folder '{shown(folder)}' has no {kind}; put images in it or remove it."


def _check_classes(order: Sequence[str], folders: dict[str, list[str]], caps: Limits) -> None:
    by_case: dict[str, str] = {}
    for folder in sorted({folder for names in folders.values() for folder in names}):
        other = by_case.setdefault(folder.casefold(), folder)
        if other != folder:
            both = f"'{shown(other)}' and '{shown(folder)}'"
            raise DataError(f"The class folders {both} differ only by case; merge them or rename one.")
    if len(order) < 2:
        only = f"There is only one class folder, '{shown(order[0])}', but at least two classes are needed"
        instead = "If it contains images of several classes, put each class into its own sub-folder."
        raise DataError(f"{only}. {instead}")
    caps.check("max_classes", len(order), f"There are {len(order):,} class folders", "use fewer")
    if missing := [folder for folder in order if folder not in folders["train"]]:
        more = f", and {len(missing) - 1} more of the {len(order)} classes" if len(missing) > 1 else ""
        raise DataError(f"The folder of class '{missing[0]}' is missing{more}.")


def _check_test(folders: dict[str, list[str]], placed: Placed, order: Sequence[str]) -> None:
    for split in ("validation", "test"):
        if placed[split] and (extra := [folder for folder in folders[split] if folder not in order]):
            where = f"is in the {split} folder but not in the train folder"
            raise DataError(f"Class folder '{shown(extra[0])}' {where}; add training images or remove it.")
    tested = {name for name, _ in placed["test"]}
    if tested and (bare := [folder for folder in order if folder not in tested]):
        what = f"Class '{shown(bare[0])}' has no images in the test folder"
        raise DataError(f"{what}; add some, or remove the test folder.")
