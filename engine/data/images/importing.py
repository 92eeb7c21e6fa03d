"""The ways in: a directory upload, a zip file, a path on this machine, and a data set that is here already.

Each is a generator of Progress events that returns the new source. An import is all or nothing: it is built in a
folder of its own, which gets its name at the end and is removed by any error, or by closing the generator.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.images import archives, decoded, intake, layouts, library, names, published
from engine.data.images.intake import Found
from engine.data.images.limits import limits
from engine.data.images.options import ImportOptions
from engine.data.images.report import report_of
from engine.data.images.source import KEY_PREFIX, FolderSource

ROOTS_VARIABLE = "DISTILLERY_FOLDERS"
FILES = "files.json"

Look = Callable[[Path], Generator[Event, None, Found]]
Import = Generator[Event, None, FolderSource]


def import_upload(files: Sequence[tuple[str, BinaryIO]], options: ImportOptions, data_root: Path) -> Import:
    """Import a directory upload; each file is copied to disk in turn.

    Args:
        files: (relative name as the browser gave it, open file).
        options: what is made of them.

    Raises:
        DataError: the folders make no data set, a cap is passed, or the disk is full; nothing is left behind.
    """
    return _imported(lambda into: intake.uploaded(files, into, limits()), options, data_root, "Uploaded folder")


def import_zip(file: BinaryIO, options: ImportOptions, data_root: Path) -> Import:
    """Import a zip file, open for reading. Raises DataError as `import_upload` does."""
    return _imported(lambda into: archives.unpacked(file, into, limits()), options, data_root, "Uploaded zip file")


def import_path(path: Path, options: ImportOptions, data_root: Path) -> Import:
    """Import a folder, or a zip file, of this machine: it is read where it lies and only decoded pixels are kept.

    Whether the path may be read is for the caller to check, see `checked_path`. Raises DataError as `import_upload` does.
    """
    path = path.absolute()
    origin = f"Read from {path}"
    if path.is_dir():
        return _imported(lambda into: intake.on_disk(path, options.subset, limits()), options, data_root, origin, path)
    if path.is_file():
        return _imported(lambda into: _unpacked(path, into), options, data_root, origin, path)
    raise DataError(f"There is no folder or zip file {path}.")


def import_again(key: str, options: ImportOptions, data_root: Path) -> Import:
    """A new data set from the files of another, at another size or fit. Raises DataError if the files are gone."""
    source = library.find(key, data_root)
    if source.path:
        return import_path(Path(source.path), options, data_root)
    folder = library.folder_of(key, data_root)
    return _imported(lambda into: _linked(folder, into), options, data_root, source.origin)


def checked_path(text: str, data_root: Path, what: str = "folder or zip file") -> Path:
    """The folder or file that a user names, links resolved. Raises DataError unless it is in an allowed folder.

    what: is wanted, in words.
    """
    roots = allowed_roots(data_root)
    listed = " or ".join(str(root) for root in roots)
    try:
        path = (roots[0] / text.strip()).resolve()
        is_allowed, is_there = any(path.is_relative_to(root.resolve()) for root in roots), path.exists()
    except (OSError, ValueError, RuntimeError):  # a NUL, a name too long, links in a circle
        raise DataError(f"'{names.shown(text)}' is not a path; give a {what} in {listed}.") from None
    if not is_allowed:
        raise DataError(
            f"'{names.shown(text)}' is outside the folders that may be read; move it to {listed}, or set {ROOTS_VARIABLE}."
        )
    if not is_there:
        raise DataError(f"There is no {what} {path}.")
    return path


def allowed_roots(data_root: Path) -> tuple[Path, ...]:
    """Folders of this machine that data sets may be read from: DISTILLERY_FOLDERS, or `folders/` under the data root."""
    given = [part for part in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if part.strip()]
    return tuple(Path(part).absolute() for part in given) or ((data_root / "folders").absolute(),)


def _unpacked(path: Path, into: Path) -> Generator[Event, None, Found]:
    with path.open("rb") as file:
        return (yield from archives.unpacked(file, into, limits()))


def _linked(folder: Path, into: Path) -> Generator[Event, None, Found]:
    """The files of another data set, shared with it on disk where the disk can."""
    yield Progress("copy files", 0, 1)
    try:
        values = json.loads((folder / FILES).read_text(encoding="utf-8"))
        found = Found.from_json(values, into)
        for number, entry in enumerate(found.images + found.texts):
            if number % 500 == 0:
                yield Progress("copy files", number, len(found.images))
            original = folder / "files" / entry.path.name
            try:
                os.link(original, entry.path)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(original, entry.path)
    except FileNotFoundError:
        raise DataError("The original files of this data set are gone; import them again.") from None
    return found


def _imported(look: Look, options: ImportOptions, data_root: Path, origin: str, path: Path | None = None) -> Import:
    """Look, recognise, decode, report, keep. path: where the originals stay; they are kept here if None."""
    library.check_title(options.name, data_root)
    caps = limits()
    try:
        with library.workplace(data_root) as place:
            found = yield from look(place / "files")
            layout = layouts.arranged(published.rewritten(layouts.tree_of(found), options.subset), caps)
            images = yield from decoded.decode_set(layout, options, caps, data_root, place)
            if path is None:
                (place / FILES).write_text(json.dumps(found.to_json()), encoding="utf-8")
            else:
                shutil.rmtree(place / "files")
            source = FolderSource(
                key=KEY_PREFIX + names.slug(options.name),
                title=options.name,
                origin=origin,
                num_channels=images.num_channels,
                class_names=layout.class_names,
                report=report_of(found, layout, images, options),
                options=options,
                created=time.time(),
                digest=images.digest,
                path=str(path or ""),
            )
            library.check_title(options.name, data_root)  # another import may have ended meanwhile
            added = library.add(place, source, data_root)
            if not decoded.path_of(images.digest, data_root).exists():
                library.delete(added.key, data_root)
                raise DataError(
                    f"A data set of the same images was deleted while {options.name} was made of them; import it again."
                )
            return added
    except MemoryError:
        raise DataError(
            f"There is not enough memory for the images of {options.name} now; choose a smaller image size, bring fewer, or "
            "wait until the running run has ended."
        ) from None
    except OSError as error:
        raise DataError(
            f"{options.name} cannot be kept under {data_root.absolute()} ({error.strerror or error}); make room, change "
            "its permissions, or set DISTILLERY_DATA to another folder."
        ) from error
