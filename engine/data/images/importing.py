"""Image imports from an upload, a zip file, a path on this machine, or the files of an earlier import.

Each yields Progress and returns the new source. It is built in a temporary folder, which is removed on an error.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.images import decoded, intake, layouts, published
from engine.data.images.intake import Found, Loading
from engine.data.images.options import ImportOptions
from engine.data.images.report import report_of
from engine.data.images.source import LIBRARY, FolderSource
from engine.data.imported.library import LEFTOVER_SECONDS
from engine.data.imported.limits import limits

FILES = "files.json"

Import = Generator[Event, None, FolderSource]


def import_upload(files: Sequence[tuple[str, BinaryIO]], options: ImportOptions, data_root: Path) -> Import:
    """Import (relative path, open file) of an uploaded folder. Raises DataError: no data set, or a limit exceeded."""
    return _imported(lambda into: intake.uploaded(files, into, limits()), options, data_root, "Uploaded folder")


def import_zip(file: BinaryIO, options: ImportOptions, data_root: Path) -> Import:
    """Import an open zip file. Raises DataError as `import_upload` does."""
    return _imported(lambda into: intake.unpacked(file, into, limits()), options, data_root, "Uploaded zip file")


def import_path(path: Path, options: ImportOptions, data_root: Path) -> Import:
    """Import a folder or a zip file that may be read (see `checked_path`); only the decoded images are kept."""
    path = path.absolute()

    def load(into: Path) -> Loading:
        if path.is_dir():
            return (yield from intake.on_disk(path, options.subset, limits()))
        with path.open("rb") as file:
            return (yield from intake.unpacked(file, into, limits()))

    if not path.is_dir() and not path.is_file():
        raise DataError(f"There is no folder or zip file {path}.")
    return _imported(load, options, data_root, f"Read from {path}", path)


def import_again(key: str, options: ImportOptions, data_root: Path) -> Import:
    """A new data set from the files of another, with other options. Raises DataError if the files are missing."""
    source = LIBRARY.find(key, data_root)
    if source.path:
        return import_path(Path(source.path), options, data_root)
    folder = LIBRARY.folder_of(key, data_root)
    return _imported(lambda into: _linked(folder, into), options, data_root, source.origin)


def delete(key: str, data_root: Path) -> None:
    """Delete a data set, and its decoded images unless another one uses them. Raises DataError if there is none."""
    digest = LIBRARY.delete(key, data_root).digest
    if all(other.digest != digest for other in LIBRARY.saved(data_root).values()):
        decoded.path_of(digest, data_root).unlink(missing_ok=True)


def _linked(folder: Path, into: Path) -> Loading:
    """The files of another data set, hard-linked where the file system can."""
    yield Progress("copy files", 0, 1)
    try:
        found = Found.from_json((folder / FILES).read_text(encoding="utf-8"), into)
        for number, entry in enumerate(found.images + found.texts):
            if number % 500 == 0:
                yield Progress("copy files", number, len(found.images))
            original = folder / "files" / entry.path.name
            try:
                os.link(original, entry.path)
            except OSError:
                shutil.copyfile(original, entry.path)
    except FileNotFoundError:
        raise DataError("The original files of this data set are missing; import them again.") from None
    return found


def _imported(
    load: Callable[[Path], Loading], options: ImportOptions, data_root: Path, origin: str, path: Path | None = None
) -> Import:
    """Load, recognise the layout, decode, report, store. path: where the originals stay; None to store them."""
    used = {source.digest for source in LIBRARY.saved(data_root).values()}
    for left in (data_root / "decoded").glob("*.safetensors"):  # left behind by killed imports
        with contextlib.suppress(OSError):
            if left.stem not in used and time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
                left.unlink()
    with LIBRARY.importing(options.name, data_root) as place:
        (place / "files").mkdir(parents=True)
        found = yield from load(place / "files")
        caps = limits()
        layout = layouts.arranged(published.rewritten(layouts.tree_of(found), options.subset), caps)
        images = yield from decoded.decode_set(layout, options, caps, data_root, place)
        if path is None:
            (place / FILES).write_text(found.to_json(), encoding="utf-8")
        else:
            shutil.rmtree(place / "files")
        about = {"title": options.name, "origin": origin, "created": time.time(), "path": str(path or "")}
        what = {"num_channels": images.num_channels, "class_names": layout.class_names, "digest": images.digest}
        report = report_of(found, layout, images, options)
        source = FolderSource.model_validate(about | what | {"report": report, "options": options})
        added = LIBRARY.add(place, source, data_root)
        if added.availability(data_root).state == "missing":
            LIBRARY.delete(added.key, data_root)
            other = "Another data set of the same images was deleted during the import"
            raise DataError(f"{other} of {options.name}; try again.")
        return added
