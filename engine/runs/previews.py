"""The pictures of a run: `previews/step-00000120.npz` in its folder, one file per Preview."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from engine.core.events import CandleView, PosterView, Preview

_VIEW = "view_"
"""What the names of a preview's further pictures begin with in its file."""


def path_of(folder: Path, step: int) -> Path:
    """The file of a run's preview after `step` outer steps."""
    return folder / "previews" / f"step-{step:08d}.npz"


def steps(folder: Path) -> list[int]:
    """The steps that a run has a preview of, in order."""
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder / "previews").glob("step-*.npz"))


def save(folder: Path, preview: Preview) -> None:
    """Write a preview; a reader sees all of it or nothing."""
    path = path_of(folder, preview.step)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **_arrays(preview))
    temporary.replace(path)


def load(folder: Path, step: int) -> Preview:
    """The preview after `step` outer steps, which must exist."""
    with np.load(path_of(folder, step), allow_pickle=False) as file:
        views = {name.removeprefix(_VIEW): file[name] for name in file.files if name.startswith(_VIEW)}
        labels = tuple(map(str, file["labels"]))
        return Preview(step, file["images"], labels, _poster(file), views, _candles(file))


def _arrays(preview: Preview) -> dict[str, np.ndarray]:
    arrays = {"images": preview.images.astype(np.uint8, copy=False), "labels": _texts(preview.labels)}
    if preview.poster is not None:
        arrays |= {
            "poster_pixels": preview.poster.pixels.astype(np.uint8, copy=False),
            "poster_grid": np.array(json.dumps(preview.poster.grid)),
            "poster_order": np.array(preview.poster.order, dtype=np.int64),
            "poster_class_names": _texts(preview.poster.class_names),
            "poster_patch_labels": preview.poster.patch_labels.astype(np.float16, copy=False),
        }
        if preview.poster.label_map is not None:
            arrays["poster_label_map"] = preview.poster.label_map.astype(np.float16, copy=False)
    if preview.candles is not None:
        arrays |= {
            "candle_bars": preview.candles.bars.astype(np.float32, copy=False),
            "candle_tokens": _texts(preview.candles.tokens),
            "candle_targets": preview.candles.targets.astype(np.float32, copy=False),
            "candle_outputs": _texts(preview.candles.outputs),
        }
    return arrays | {_VIEW + name: view.astype(np.uint8, copy=False) for name, view in preview.views.items()}


def _texts(texts: tuple[str, ...]) -> np.ndarray:
    return np.array(texts, dtype=np.str_)


def _candles(file: NpzFile) -> CandleView | None:
    if "candle_bars" not in file:
        return None
    tokens, outputs = (tuple(map(str, file[name])) for name in ("candle_tokens", "candle_outputs"))
    return CandleView(file["candle_bars"], tokens, file["candle_targets"], outputs)


def _poster(file: NpzFile) -> PosterView | None:
    if "poster_pixels" not in file:
        return None
    return PosterView(
        pixels=file["poster_pixels"],
        grid=json.loads(str(file["poster_grid"])),
        order=tuple(file["poster_order"].tolist()),
        class_names=tuple(map(str, file["poster_class_names"])),
        patch_labels=file["poster_patch_labels"],
        label_map=file.get("poster_label_map"),
    )
