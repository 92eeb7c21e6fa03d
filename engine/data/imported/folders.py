"""Folders of this machine: which may be read, and the files in them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.core.errors import DataError
from engine.data.imported.limits import Limits, variable
from engine.data.imported.names import is_hidden, shown

ROOTS_VARIABLE = "DISTILLERY_FOLDERS"


def allowed_roots(data_root: Path) -> tuple[Path, ...]:
    """Folders that data sets may be read from: DISTILLERY_FOLDERS, or `folders/` under the data root."""
    given = [part for part in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if part.strip()]
    return tuple(Path(part).absolute() for part in given) or ((data_root / "folders").absolute(),)


def checked_path(text: str, data_root: Path, what: str = "folder or zip file") -> Path:
    """The path that a user enters, links resolved. what: for messages. Raises DataError unless it may be read."""
    roots = allowed_roots(data_root)
    listed = " or ".join(str(root) for root in roots)
    try:
        path = (roots[0] / text.strip()).resolve()
        is_allowed, is_there = any(path.is_relative_to(root.resolve()) for root in roots), path.exists()
    except (OSError, ValueError, RuntimeError):  # a NUL, a very long name, circular links
        raise DataError(f"'{shown(text)}' is not a path; enter a {what} in {listed}.") from None
    if not is_allowed:
        instead = f"move it to {listed}, or set {ROOTS_VARIABLE}."
        raise DataError(f"'{shown(text)}' is outside the folders that may be read; {instead}")
    if not is_there:
        raise DataError(f"There is no {what} {path}.")
    return path


def walk(folder: Path, is_wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, Path, str]]:
    """(relative name, path, why it is skipped or "") of each file, sorted; the names of folders end in "/".

    Links are followed within the folder. Hidden folders, and those that `is_wanted` denies, are left out.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); change its permissions.") from error

    root = folder.resolve()
    for here, below, files in os.walk(root, onerror=fail):
        place = Path(here).relative_to(root)
        for name in sorted(below):
            path = Path(here, name)
            if path.is_symlink():
                below.remove(name)
                yield _text(place / name), path, "is a link to a folder"
            elif is_hidden((name,)) or not is_wanted(name):
                below.remove(name)
            else:
                yield f"{_text(place / name)}/", path, ""
        below.sort()
        for name in sorted(files):
            path = Path(here, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                yield _text(place / name), path, "is a link that leads out of the folder"
            else:
                yield _text(place / name), path, "" if path.is_file() else "is not a regular file"


def _text(place: Path) -> str:
    """A path as text, with question marks for bytes that are not valid UTF-8."""
    return os.fsencode(place).decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")


def check_count(count: int, caps: Limits, what: str = "files") -> None:
    caps.check("max_files", count, f"There are {count:,} {what}", "use fewer")


def check_total(num_bytes: int, caps: Limits) -> None:
    if num_bytes > caps.max_bytes:
        total = f"The files are larger than {caps.max_bytes:,} bytes in total"
        raise DataError(f"{total}; use fewer, or set {variable('max_bytes')}.")
