"""A run's result as files for other programs: pictures, arrays, tables, and a program that trains on it.

`FILES` says what there is. Each is made from the run's folder alone, and is the same bytes each time for the same run.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from engine import figures
from engine.core.context import data_root
from engine.core.errors import RunError, UserError
from engine.core.events import PosterView, Scored
from engine.core.program import version
from engine.data import sources
from engine.data.prices.scaling import WindowScaling
from engine.data.transforms.preparation import Preparation
from engine.evaluation.scores import LINEAR_PROBE, Row, headlines, summarise
from engine.figures import formats
from engine.figures.grids import grid_image
from engine.runs import export_forecasts, report, tables
from engine.runs.pretrain_template import pretrain_script
from engine.runs.store import RunRow, Store
from engine.runs.train_template import ordinary_recipe, train_script
from engine.synthetic.base import SyntheticSet, load
from engine.synthetic.candles import CandleSet
from engine.synthetic.lowrank import LowRankSet
from engine.synthetic.poster import PosterSet
from engine.synthetic.representations import RepresentationSet

METADATA = "distillery"
"""The key of the text in each PNG that says where it comes from, as JSON."""
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the date of every file in a zip, so that it is the same bytes each time
COLUMNS = ("arm", "protocol", "student", "seed", "metric", "value", "seconds", "split", "num_samples", "num_bytes", "recipe")  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What is read of a run, once, for most files: its row and scores, the set and the bytes it is kept in.

    images: (N, H, W, C) uint8, in stored order, with the class name of each (the likeliest where labels are soft; of sequences
    the token), empty where they have none. poster: as it is shown, where the images are patches of one. views: further pictures by name.
    """

    store: Store
    row: RunRow
    scores: list[Scored]
    synthetic: SyntheticSet
    preparation: Preparation | WindowScaling
    content: bytes
    images: np.ndarray
    labels: tuple[str, ...]
    poster: PosterView | None
    views: dict[str, np.ndarray]


def export(store: Store, run_id: str, to: Path) -> list[Path]:
    """Write every file of a run's result into the folder `to`; the paths, in order.

    The folder appears when all of it is written. Raises RunError where there is no result, `to` holds something already,
    or the disk refuses.
    """
    to = to.resolve()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RunError(f"{to} holds something already. Name a folder that is empty or does not exist yet.")
    taken = _taken(store, run_id)
    partial = to.with_name(f".{to.name}.partial")
    try:
        if partial.exists():  # left by an export that was killed
            shutil.rmtree(partial)
        names = []
        for name, content in _contents(taken):
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            names.append(name)
        if to.exists():
            to.rmdir()
        partial.replace(to)
    except OSError as error:
        raise RunError(
            f"Run {taken.row.id} cannot be exported to {to} ({error.strerror}). Free some space, or choose another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already where all went well
    return [to / name for name in names]


def bundle(store: Store, run_id: str) -> bytes:
    """A zip of every file of a run's result, in one folder named after the run; the same bytes each time.

    Raises RunError where there is no result.
    """
    taken = _taken(store, run_id)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents(taken):
            entry = zipfile.ZipInfo(f"run-{taken.row.id}/{name}", EARLIEST)
            entry.external_attr = 0o644 << 16
            # pictures and arrays are packed already
            entry.compress_type = zipfile.ZIP_STORED if name.endswith((".png", ".npz")) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def one(store: Store, run_id: str, name: str) -> bytes:
    """One of FILES, or of POSTER_FILES where the result is a poster, of BASES_FILES where it has bases, of FORECAST_FILES of sequences.

    Raises RunError where there is no result.
    """
    taken = _taken(store, run_id)
    return _made(taken)[name](taken)


def refusal(store: Store, run_id: str) -> str:
    """Why a run's result cannot be exported, as a sentence; empty where it can."""
    try:
        taken = _taken(store, run_id)
        report.student_config(taken.row)
    except UserError as error:
        return str(error)
    return ""


def marked(png: bytes, row: RunRow, step: int) -> bytes:
    """A PNG of a run's images after outer step `step`, with the text that says where it comes from."""
    return _png(Image.open(io.BytesIO(png)), _facts(row, step))


# ---- reading ----


def _taken(store: Store, run_id: str) -> Result:
    row, path = store.run(run_id), store.result(run_id)
    if path is None:
        raise store.no_result(row.id)
    content, synthetic = path.read_bytes(), load(path)
    while content != (now := path.read_bytes()):  # a live run has replaced its result meanwhile
        content, synthetic = now, load(path)
    if synthetic.preparation is None:
        raise RunError(
            f"The result of run {row.id} does not say how its {'bars were scaled' if synthetic.spec.is_forecast else 'images were normalised'}: it was made by an earlier version. "
            f"Start the run again with the same settings."
        )
    shown = synthetic.preview(synthetic.step, synthetic.preparation)
    return Result(
        store=store,
        row=row,
        scores=store.scores(row.id),
        synthetic=synthetic,
        preparation=synthetic.preparation,
        content=content,
        images=shown.images,
        labels=shown.labels,
        poster=shown.poster,
        views=shown.views,
    )


def _contents(taken: Result) -> Iterator[tuple[str, bytes]]:
    """(name inside the folder, content) of every file."""
    for name, make in _made(taken).items():
        yield name, make(taken)
    digits = max(3, len(str(len(taken.images) - 1)))
    for number, (image, label) in enumerate(zip(taken.images, taken.labels, strict=True)):
        name, said = f"{number:0{digits}}", {}
        if taken.synthetic.has_labels:
            name, said = f"{name}-{slug(label)}", {"label": label}
        yield f"images/{name}.png", _png(_picture(image), _facts(taken.row, taken.synthetic.step) | said)
    if isinstance(taken.synthetic, CandleSet):
        yield from export_forecasts.sequence_files(taken.synthetic)


def _made(taken: Result) -> dict[str, Callable[[Result], bytes]]:
    """The files of a result, besides its single images and sequences."""
    further = POSTER_FILES if taken.poster is not None else {}
    if isinstance(taken.synthetic, CandleSet):
        further = FORECAST_FILES
    return FILES | further | (BASES_FILES if "bases" in taken.views else {})


def slug(name: str) -> str:
    """A class name as part of a file name on any system: small letters a to z, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "class"


def _facts(row: RunRow, made_at: int) -> dict[str, Any]:
    """Where a picture of the set after outer step `made_at` comes from."""
    return {
        "run": row.id,
        "request": row.request.model_dump(mode="json"),
        "status": row.status,
        "steps_run": row.step or made_at,  # an evaluation, or a result that was loaded, took none itself
        "total_steps": row.total_steps or made_at,
        "result_step": made_at,
        "version": version(),
    }


# ---- the files ----


def _picture(image: np.ndarray) -> Image.Image:
    """One (H, W, C) uint8 image, grey or in colour."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _grid(taken: Result) -> bytes:
    return _png(grid_image(taken.images, taken.labels, theme="page"), _facts(taken.row, taken.synthetic.step))


def _bases(taken: Result) -> bytes:
    return _png(grid_image(taken.views["bases"], theme="page"), _facts(taken.row, taken.synthetic.step))


def _png(picture: Image.Image, facts: dict[str, Any]) -> bytes:
    said = PngInfo()
    said.add_text(METADATA, json.dumps(facts))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=said)
    return buffer.getvalue()


def _arrays(taken: Result) -> bytes:
    if isinstance(taken.synthetic, CandleSet):
        arrays = {"images": taken.images, "step": np.array(taken.synthetic.step)}
        return _packed(arrays | export_forecasts.arrays(taken.synthetic))
    inputs, targets = taken.synthetic.materialise()
    arrays: dict[str, np.ndarray] = {
        "images": taken.images,
        "inputs": inputs.float().numpy(),
        "class_names": np.array(taken.synthetic.spec.class_names, dtype=np.str_),
        "step": np.array(taken.synthetic.step),
    }
    if taken.synthetic.has_labels:
        arrays["targets"] = targets.numpy() if targets.ndim == 1 else targets.float().numpy()
        arrays |= _schedule(taken.synthetic, inputs, targets) | _poster_arrays(taken)
    else:
        arrays |= _representation_arrays(taken.synthetic, targets)
    return _packed(arrays | _normalisation(taken.preparation))


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _representation_arrays(synthetic: RepresentationSet, representations: Tensor) -> dict[str, np.ndarray]:
    """Representations (N, d), the training they are for, and what images, augmented ones too, are made of where they share bases.

    augmentations: names. augmentation_numbers: of each of them, as a JSON list.
    """
    training = synthetic.training
    found = {
        "representations": representations.float().numpy(),
        "rule": np.array(training.rule),
        "rate": synthetic.rates[0].numpy(),
        "num_steps": np.array(training.num_steps),
        "batch_size": np.array(training.batch_size),
    }
    if not isinstance(synthetic, LowRankSet):
        return found
    return found | {
        **{name: value.detach().float().numpy() for name, value in synthetic.state_dict().items()},
        "basis_shape": np.array(synthetic.basis_shape),
        "augmentations": np.array([each.name for each in synthetic.augmentations], dtype=np.str_),
        "augmentation_numbers": np.array([json.dumps(each.numbers) for each in synthetic.augmentations], dtype=np.str_),
    }


def _poster_arrays(taken: Result) -> dict[str, np.ndarray]:
    """The parts of a poster that its patches and their labels are made of; none for other sets.

    poster (C, H, W) as a network sees it. grid: a record of its sizes. order: the class of each class cell, row by row, -1
    for none. label_map (K, h, w), where labels are learned.
    """
    synthetic = taken.synthetic
    if not isinstance(synthetic, PosterSet):
        return {}
    sizes = asdict(synthetic.grid)
    found = {
        "poster": synthetic.poster.detach().numpy(),
        "grid": np.array(tuple(sizes.values()), dtype=[(name, np.int64) for name in sizes]),
        "order": np.array(synthetic.order),
    }
    if synthetic.label_map is not None:
        found["label_map"] = synthetic.label_map.detach().numpy()
    return found


def _schedule(synthetic: SyntheticSet, inputs: Tensor, targets: Tensor) -> dict[str, np.ndarray]:
    """The training the set was made for: rule, rate (T,) and samples (T, B) of each step, by their places in `inputs`.

    The places are left out where steps use other samples than these, or not equally many. A set for random batches has
    their size and its one rate instead.
    """
    if synthetic.training.batch_size:
        return {
            "rule": np.array(synthetic.training.rule),
            "learned_rates": synthetic.rates.detach().float().numpy(),
            "batch_size": np.array(synthetic.training.batch_size),
        } | _start(synthetic)
    steps = list(synthetic.batches())
    found: dict[str, np.ndarray] = {
        "rule": np.array(synthetic.training.rule),
        "learned_rates": torch.stack([step.lr.detach().float() for step in steps]).numpy(),
    }
    place = {key: number for number, key in enumerate(_keys(inputs, targets))}
    order = [[place.get(key, -1) for key in _keys(step.inputs.detach(), step.targets.detach())] for step in steps]
    if len({len(places) for places in order}) == 1 and all(number >= 0 for places in order for number in places):
        found["batch_order"] = np.array(order)
    return found | _start(synthetic)


def _start(synthetic: SyntheticSet) -> dict[str, np.ndarray]:
    seed = synthetic.training.start_seed
    return {} if seed is None else {"start_seed": np.array(seed)}


def _keys(inputs: Tensor, targets: Tensor) -> list[bytes]:
    """What tells one sample with its target from another."""
    pairs = zip(inputs.cpu().numpy(), targets.cpu().numpy(), strict=True)
    return [hashlib.blake2b(sample.tobytes() + target.tobytes(), digest_size=16).digest() for sample, target in pairs]


def _normalisation(preparation: Preparation) -> dict[str, np.ndarray]:
    """inputs = (pixels - mean) / std of each channel, or (flat pixels - zca_mean) @ zca_forward; pixels in [0, 1].

    Of PoDD's whitening, which has no zca_mean, each image less its own mean and of length 1 takes the place of the bracket.
    """
    found: dict[str, np.ndarray] = {"normalisation": np.array(preparation.normalisation)}
    if preparation.whitening is not None:
        parts = fields(preparation.whitening)
        return found | {f"zca_{part.name}": getattr(preparation.whitening, part.name).numpy() for part in parts}
    is_unit = preparation.normalisation == "unit"
    mean, std = preparation.mean, preparation.std
    return found | {
        "mean": (torch.zeros_like(mean) if is_unit else mean).numpy(),
        "std": (torch.ones_like(std) if is_unit else torch.where(std > 0, std, 1.0)).numpy(),
    }


def _scores(taken: Result) -> bytes:
    return tables.to_csv(COLUMNS, ([getattr(score, column) for column in COLUMNS] for score in taken.scores))


def _training(taken: Result) -> bytes:
    row = taken.row
    config = report.method_config(row)
    student = config.student
    mine = {
        score.protocol: score
        for score in headlines(summarise(taken.scores))
        if (score.arm, score.student) == ("distilled", student.name)
    }
    if isinstance(taken.synthetic, CandleSet):
        return _forecast_training(taken, mine.get("as_distilled"))
    recorded = {key: formats.percent_spread(score.mean, score.std, score.n) for key, score in mine.items()}
    options = getattr(sources(data_root()).get(row.source), "options", None)
    fit = options.fit if options is not None else "stretch"
    if not taken.synthetic.has_labels:
        probe = recorded.get(LINEAR_PROBE, "")
        return pretrain_script(
            student, taken.synthetic, config.probing, taken.preparation, fit=fit, recorded=probe
        ).encode()
    recipe = mine["ordinary"].training if "ordinary" in mine else {}
    training = taken.synthetic.training
    if training.batch_size:
        chosen = mine["as_distilled"].training if "as_distilled" in mine else {}
        training = replace(training, num_steps=chosen.get("num_steps", row.request.evaluation.inner_steps))
    return train_script(
        student,
        taken.synthetic.spec,
        len(taken.images),
        ordinary_recipe(recipe, row.request.evaluation),
        taken.preparation,
        training,
        fit=fit,
        augmentation=row.request.data.augmentation,
        dsa_operations=row.request.data.dsa_operations,
        recorded=recorded,
        is_poster=taken.poster is not None,
    ).encode()


def _forecast_training(taken: Result, score: Row | None) -> bytes:
    """score: of networks that were trained so, if there are any."""
    student, windows = report.student_config(taken.row), taken.row.request.data.windows
    num_steps = None if score is None else score.training.get("num_steps")
    recorded = "" if score is None else formats.percent_spread(score.mean, score.std, score.n)
    return export_forecasts.program(taken.synthetic, student, windows, num_steps, recorded)


def _readme(taken: Result) -> bytes:
    if isinstance(taken.synthetic, CandleSet):
        what = formats.counted(len(taken.images), "sequence of price bars", "sequences of price bars")
        title = f"Run {taken.row.id} of Dataset Distillery {version()}: {what} distilled from '{taken.row.source}', {taken.row.status}, outer step {taken.synthetic.step:,}."
        return export_forecasts.readme(
            taken.synthetic, title, f"; each PNG carries the request in its text '{METADATA}'"
        )
    if not taken.synthetic.has_labels:
        return _readme_of_representations(taken)
    row, is_poster = taken.row, taken.poster is not None
    one, many = ("patch", "patches") if is_poster else ("distilled image", "images")
    what = f"{'a poster of ' if is_poster else ''}{formats.counted(len(taken.images), one if is_poster else 'image', many)}"
    shown = "" if len(taken.images) <= figures.MAX_IMAGES else f", the first {figures.MAX_IMAGES}"
    schedule = "batch_size" if taken.synthetic.training.batch_size else "batch_order"
    further = " and evaluated again" if is_poster else ", evaluated again and begun from"
    return f"""\
Run {row.id} of Dataset Distillery {version()}: {what} distilled from '{row.source}', {row.status}, outer step {taken.synthetic.step:,}.

train.py            trains a network on the distilled images with torch alone and tests it: python train.py TEST_FOLDER [as_distilled]
distilled.npz       arrays for numpy: images, inputs (as a network sees them), targets, class_names, learned_rates, {schedule}, normalisation
result.safetensors  the same set as this program keeps it; it can be loaded back in{further}
{README_POSTER if is_poster else ""}images/             every {one} at its own size
grid.png            the {many}{shown} in one picture with their class names; each PNG carries the request in its text '{METADATA}'
scores.csv          every network that was trained and tested, a line each; empty but for its first line if there were none
report.html         curves, images, comparison, recipe and versions in one page that needs no network
request.json        what was asked for: python -m engine distill request.json repeats the run
""".encode()


def _readme_of_representations(taken: Result) -> bytes:
    row, has_bases = taken.row, "bases" in taken.views
    images = formats.counted(len(taken.images), "image")
    shown = "" if len(taken.images) <= figures.MAX_IMAGES else f", the first {figures.MAX_IMAGES}"
    return f"""\
Run {row.id} of Dataset Distillery {version()}: {images} with representations, distilled from '{row.source}' without labels, {row.status}, outer step {taken.synthetic.step:,}.

train.py            pre-trains a network on the pairs with torch alone, and probes it: python train.py LABELLED_FOLDER TEST_FOLDER
distilled.npz       arrays for numpy: images, inputs (as a network sees them), representations, class_names of the data set, rate, normalisation
result.safetensors  the same set as this program keeps it; it can be loaded back in and evaluated again
{README_BASES if has_bases else ""}images/             every distilled image at its own size
grid.png            the images{shown} in one picture; each PNG carries the request in its text '{METADATA}'
scores.csv          every network that was pre-trained and probed, a line each; empty but for its first line if there were none
report.html         curves, images, comparison, recipe and versions in one page that needs no network
request.json        what was asked for: python -m engine distill request.json repeats the run
""".encode()


README_BASES = """\
bases.png           the pictures that all images are sums of, each around mid grey; distilled.npz holds what the set is made of: image_bases,
                    image_coefficients, image_mean, the same of representations, augmentations, and the weights of their small networks
"""
README_POSTER = """\
poster.png          the poster at its own size; distilled.npz holds what it is made of: poster, as a network sees it, grid, its sizes,
                    order, the class of each class cell, row by row, and label_map, where its labels are learned
"""
FILES: dict[str, Callable[[Result], bytes]] = {
    "README.txt": _readme,
    "train.py": _training,
    "distilled.npz": _arrays,
    "result.safetensors": lambda taken: taken.content,
    "grid.png": _grid,
    "scores.csv": _scores,
    "report.html": lambda taken: report.report_html(taken.store, taken.row.id).encode(),
    "request.json": lambda taken: taken.row.request.model_dump_json(indent=2).encode(),
}
"""What is exported besides the single images, by name."""
POSTER_FILES: dict[str, Callable[[Result], bytes]] = {
    "poster.png": lambda taken: _png(_picture(taken.poster.pixels), _facts(taken.row, taken.synthetic.step)),
}
"""The same of posters alone."""
FORECAST_FILES: dict[str, Callable[[Result], bytes]] = {
    "candles.csv": lambda taken: export_forecasts.candles(taken.synthetic),
    "targets.csv": lambda taken: export_forecasts.targets(taken.synthetic),
}
"""The same of sequences of price bars."""
BASES_FILES: dict[str, Callable[[Result], bytes]] = {"bases.png": _bases}
"""The same of sets that are sums of bases."""
