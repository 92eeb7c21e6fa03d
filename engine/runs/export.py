"""A run's result as files for other programs: pictures, arrays, tables, and a program that trains on it.

Everything is made from the run's folder alone; the same run gives the same bytes.
"""

import io
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

from PIL import Image

from engine.core.errors import RunError, UserError
from engine.methods import config_of
from engine.runs import report, tables
from engine.runs.exported import METADATA as METADATA
from engine.runs.exported import Exported, ExportedImages, ExportedPairs, ExportedPoster, picture, png
from engine.runs.exported_sequences import ExportedSequences
from engine.runs.store import RunRow, Store
from engine.synthetic.base import load
from engine.synthetic.candles import CandleSet
from engine.synthetic.labelled import LabelledImages
from engine.synthetic.poster import PosterSet
from engine.synthetic.representations import RepresentationSet

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the date of every file in a zip, so that its bytes never change
COLUMNS: tuple[str, ...] = ("arm", "protocol", "student", "seed", "metric", "value", "seconds")
COLUMNS += ("split", "num_samples", "num_bytes", "recipe")
"""Of scores.csv."""
KINDS: dict[type[object], type[Exported[Any, Any]]] = {
    CandleSet: ExportedSequences,
    RepresentationSet: ExportedPairs,
    PosterSet: ExportedPoster,
    LabelledImages: ExportedImages,
}
"""How each class of sets is exported; the first match counts."""
FILES: dict[str, Callable[[Exported[Any, Any]], bytes]] = {
    "README.txt": lambda exported: exported.readme().encode(),
    "train.py": lambda exported: exported.program().encode(),
    "distilled.npz": lambda exported: exported.all_arrays(),
    "result.safetensors": lambda exported: exported.content,
    "grid.png": lambda exported: exported.grid(exported.shown.images, exported.shown.labels),
    "scores.csv": lambda exported: tables.to_csv(COLUMNS, map(attrgetter(*COLUMNS), exported.scores)),
    "report.html": lambda exported: report.report_html(exported.store, exported.row.id).encode(),
    "request.json": lambda exported: exported.row.request.model_dump_json(indent=2).encode(),
}
"""The files that every result has, by name."""


def export(store: Store, run_id: str, to: Path) -> list[Path]:
    """Write all files of a run's result into the folder `to`, which appears when all are written; returns their paths.

    Raises RunError if there is no result, `to` is not empty, or the disk is full.
    """
    to = to.resolve()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RunError(f"{to} is not empty. Name a folder that is empty or does not exist yet.")
    exported = _read(store, run_id)
    partial = to.with_name(f".{to.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # left by an export that was killed
        paths = []
        for name, content in _contents(exported):
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            paths.append(to / name)
        if to.exists():
            to.rmdir()
        partial.replace(to)
    except OSError as error:
        what = f"Run {exported.row.id} cannot be exported to {to} ({error.strerror})."
        raise RunError(f"{what} Free some space, or choose another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return paths


def bundle(store: Store, run_id: str) -> bytes:
    """A zip of all files of a run's result, in a folder named after the run. Raises RunError if there is no result."""
    exported = _read(store, run_id)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in _contents(exported):
            entry = zipfile.ZipInfo(f"run-{exported.row.id}/{name}", EARLIEST)
            entry.external_attr = 0o644 << 16
            # pictures and arrays are compressed already
            entry.compress_type = zipfile.ZIP_STORED if name.endswith((".png", ".npz")) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def one(store: Store, run_id: str, name: str) -> bytes:
    """One of FILES, or one of the `pictures` of its kind. Raises RunError if there is no result."""
    exported = _read(store, run_id)
    return FILES[name](exported) if name in FILES else exported.pictures()[name]()


def refusal(store: Store, run_id: str) -> str:
    """Why a run's result cannot be exported; empty if it can."""
    try:
        _read(store, run_id)
    except UserError as error:
        return str(error)
    return ""


def marked(content: bytes, row: RunRow, step: int) -> bytes:
    """A PNG of a run's images after outer step `step`, with its origin added."""
    return png(Image.open(io.BytesIO(content)), row, step)


def slug(name: str) -> str:
    """A class name as a part of a file name: letters a to z, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "class"


def _read(store: Store, run_id: str) -> Exported[Any, Any]:
    row, path = store.run(run_id), store.needed_result(run_id)
    config_of(row.request)  # a ConfigError where this version does not know the method or an option
    content, synthetic = path.read_bytes(), load(path)
    while content != (now := path.read_bytes()):  # a live run has replaced its result meanwhile
        content, synthetic = now, load(path)
    preparation = synthetic.preparation
    if preparation is None:
        what = f"The result of run {row.id} does not say how its data were prepared: an earlier version made it."
        raise RunError(f"{what} Start the run again with the same settings.")
    kind = next(kind for base, kind in KINDS.items() if isinstance(synthetic, base))
    shown = synthetic.preview(synthetic.step, preparation)
    return kind(store, row, content, store.scores(row.id), synthetic, preparation, shown)


def _contents(exported: Exported[Any, Any]) -> Iterator[tuple[str, bytes]]:
    """(name inside the folder, content) of every file."""
    for name, make in FILES.items():
        yield name, make(exported)
    for name, make_alone in exported.pictures().items():
        yield name, make_alone()
    digits = max(3, len(str(len(exported.shown.images) - 1)))
    for number, (image, label) in enumerate(zip(exported.shown.images, exported.shown.labels, strict=True)):
        name = f"{number:0{digits}}" + (f"-{slug(label)}" if label else "")
        yield f"images/{name}.png", exported.png(picture(image), **({"label": label} if label else {}))
    yield from exported.parts()
