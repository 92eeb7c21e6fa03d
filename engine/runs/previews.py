"""The pictures of a run: `previews/step-00000120.npz` in its folder, one file per Preview."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib.npyio import NpzFile

from engine.core.events import CandleView, PosterView, Preview

_VIEW, _POSTER, _CANDLE = "view_", "poster_", "candle_"
"""Prefixes of the names of arrays: further pictures, the poster, the candles."""
View = TypeVar("View", PosterView, CandleView)


def path_of(folder: Path, step: int) -> Path:
    """The file of a run's preview after `step` outer steps."""
    return folder / "previews" / f"step-{step:08d}.npz"


def steps(folder: Path) -> list[int]:
    """The steps that have a preview, in order."""
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder / "previews").glob("step-*.npz"))


def save(folder: Path, preview: Preview) -> None:
    """Write a preview atomically."""
    arrays = {"images": preview.images, "labels": np.array(preview.labels, dtype=np.str_)}
    arrays |= {_VIEW + name: view for name, view in preview.views.items()}
    arrays |= _packed(_POSTER, preview.poster) | _packed(_CANDLE, preview.candles)
    path = path_of(folder, preview.step)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    temporary.replace(path)


def load(folder: Path, step: int) -> Preview:
    """The preview after `step` outer steps, which must exist."""
    with np.load(path_of(folder, step), allow_pickle=False) as file:
        views = {name.removeprefix(_VIEW): file[name] for name in file.files if name.startswith(_VIEW)}
        images, labels = file["images"], tuple(map(str, file["labels"]))
        poster, candles = _unpacked(file, _POSTER, PosterView), _unpacked(file, _CANDLE, CandleView)
        return Preview(step, images, labels, views=views, poster=poster, candles=candles)


def _packed(prefix: str, view: PosterView | CandleView | None) -> dict[str, np.ndarray]:
    """The fields of a view as arrays: a dictionary as JSON, a tuple as an array of texts or int64."""
    values = {} if view is None else {field.name: getattr(view, field.name) for field in fields(view)}
    plain = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {prefix + name: np.asarray(value) for name, value in plain.items() if value is not None}


def _unpacked(file: NpzFile, prefix: str, kind: type[View]) -> View | None:
    """The view that `_packed` was given."""
    values = {name.removeprefix(prefix): _value(file[name]) for name in file.files if name.startswith(prefix)}
    return kind(**values) if values else None


def _value(array: np.ndarray) -> Any:
    if array.ndim == 0:
        return json.loads(str(array))
    return tuple(array.tolist()) if array.dtype.kind in "Ui" else array
