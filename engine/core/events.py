"""What a run says while it works: small frozen records, told apart by their literal `kind`.

`engine.run` yields them in order; the store keeps them; pages, the command line and reports read them back.
Everything is JSON-able (`to_json`, `from_json`) but the pictures of a Preview, which are uint8 arrays kept as files,
and a Checkpoint, which exists only in the process that runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Started:
    """First event of a run. `total_steps` outer steps are planned; `facts` are shown as they are (device, sizes)."""

    total_steps: int
    facts: dict[str, Any] = field(default_factory=dict)
    kind: Literal["started"] = "started"


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a named stretch: a download, a ZCA fit, the trainings of a comparison.

    part: "compare" for the trainings of a comparison, "" for everything else. seconds_left: of that part, where planned.
    """

    phase: str
    done: int
    total: int
    part: Literal["", "compare"] = ""
    seconds_left: float | None = None
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Planned:
    """How long a later part of the run will take, known after the first outer step: the `num_trainings` of the comparison."""

    seconds: float
    num_trainings: int
    part: Literal["compare"] = "compare"
    kind: Literal["planned"] = "planned"


@dataclass(frozen=True)
class Measured:
    """Scalars of one outer step, by name. The store adds the time."""

    step: int
    values: dict[str, float]
    kind: Literal["measured"] = "measured"


@dataclass(frozen=True)
class PosterView:
    """One poster as a picture, with all that is drawn over it.

    pixels: (H, W, C) uint8. grid: a PosterGrid as a dictionary: sizes of the poster and of a patch in pixels, numbers
    of class cells and of patches by rows and columns. order: the class of each class cell, row by row; -1 for an empty
    one. class_names: by class. patch_labels: (P, K) float16, what the student is told of each patch, row by row.
    label_map: (K, h, w) float16, the learned weights over the poster that these are read from; None for fixed labels.
    """

    pixels: np.ndarray
    grid: dict[str, int]
    order: tuple[int, ...]
    class_names: tuple[str, ...]
    patch_labels: np.ndarray
    label_map: np.ndarray | None = None


@dataclass(frozen=True)
class CandleView:
    """Distilled sequences of price bars, in stored order.

    bars: (M, T, 5) float32: open, high, low, close, volume of each bar; the bar before the first closes at 100.
    tokens: of each sequence. targets: (M, D) float32, what a student is told of each: the forecast close or volatility in
    standard deviations of the token's, directions as probabilities. outputs: names of the D columns.
    """

    bars: np.ndarray
    tokens: tuple[str, ...]
    targets: np.ndarray
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """The synthetic data after `step` outer steps: (N, H, W, C) uint8 and a class name each.

    poster: where the samples are patches of one, the whole of it. views: further pictures by name, (n, H, W, C) uint8 each:
    "bases" that the samples are sums of, "real" images that they began as. labels are empty texts where there are none.
    candles: where the samples are sequences of price bars, these; `images` are then small pictures of them.
    """

    step: int
    images: np.ndarray
    labels: tuple[str, ...]
    poster: PosterView | None = None
    views: dict[str, np.ndarray] = field(default_factory=dict)
    candles: CandleView | None = None
    kind: Literal["preview"] = "preview"


@dataclass(frozen=True)
class Checkpoint:
    """A moment the run can be resumed from: `step` outer steps are done.

    `snapshot()` gives {name: tensor}; call it before the generator is advanced, for it reads live tensors.
    `synthetic` is the synthetic set as it is now. Cheap to yield: the worker decides when to write one.
    """

    step: int
    snapshot: Callable[[], dict[str, Any]]
    synthetic: Any
    kind: Literal["checkpoint"] = "checkpoint"


@dataclass(frozen=True)
class Scored:
    """One trained student, measured.

    arm: "distilled", a companion of it ("distilled_ema", "distilled_raw"), "distilled_hard" (its soft labels made hard), "random_real",
    "kmeans_real", "full", or "untrained" or "teacher" of representations, or "last_value" or "train_mean", the forecasts of prices
    that need no network. protocol: "as_distilled" (the training the set was made for), "unaugmented" (the same without its
    augmentation) or "ordinary" (shuffled minibatches from scratch); of representations "linear_probe", "knn" or "fine_tune",
    and "short_probe" where a run is held against real data on its way; "naive" of forecasts without a network. split: "validation"
    or "test". metric: "accuracy", which is compared, or the same of a student on its way, "accuracy@300" after 300 inner steps, or
    on another source, "accuracy@mnist"; "cosine" and "cka" are its likeness to the teacher; of forecasts "skill", which is
    compared, "skill_last_value", "mae", "rmse", "r2", "hit_rate", "balanced_accuracy" and "mcc", and the same of one token,
    "rmse@BTC". value: a fraction for accuracies and skills, log returns for errors of forecasts.
    seconds: training time alone. recipe: how it was trained, in words; training: the same as numbers, {"num_steps",
    "batch_size", "lr"} wherever the batches are random. cached: taken from an earlier run with the same recipe.
    """

    arm: str
    protocol: str
    student: str
    seed: int
    metric: str
    value: float
    seconds: float
    split: str = "test"
    num_samples: int = 0
    num_bytes: int = 0
    recipe: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    cached: bool = False
    kind: Literal["scored"] = "scored"


@dataclass(frozen=True)
class ExpertEpoch:
    """One epoch of one expert, a network trained on the real data: recorded now, or earlier (`cached`).

    expert: its number from 0, of num_experts. epoch: passes done, of num_epochs; 0 is before the first.
    train_loss: mean over the pass, None at epoch 0. validation_accuracy: a fraction. seconds: of the pass, training alone.
    """

    expert: int
    epoch: int
    num_experts: int
    num_epochs: int
    train_loss: float | None
    validation_accuracy: float
    seconds: float
    cached: bool = False
    kind: Literal["expert_epoch"] = "expert_epoch"


@dataclass(frozen=True)
class TeacherEpoch:
    """One epoch of a self-supervised teacher: trained now, or earlier (`cached`).

    epoch: done, of num_epochs; 0 is before the first. train_loss: mean over the epoch, None at epoch 0. knn_accuracy: of
    validation images by their nearest training images in the teacher's representation, a fraction. seconds: of training.
    """

    epoch: int
    num_epochs: int
    train_loss: float | None
    knn_accuracy: float
    seconds: float
    cached: bool = False
    kind: Literal["teacher_epoch"] = "teacher_epoch"


@dataclass(frozen=True)
class Analysed:
    """Something found out about the data or the set that is drawn as a chart; a later one of the same name replaces it.

    name: "spectrum", {"images": variances explained by each base, fractions of all, "representations": the same,
    "used": {"images": U, "representations": V}}; "approximation", {"augmentations": names, "with_networks": relative errors of
    augmented representations, "without": the same of unshifted ones}; "map", {"real": [[x, y], ...], "classes": the class
    of each, "distilled": [[x, y], ...], "way": "PCA"}, and "map_tsne", the same by t-SNE. Of prices: "forecasts", "intervals", "verdict",
    "privacy", "facts" and "adaptation" ("adaptation:prices:gold" of further sources), as evaluation/forecasting makes them.
    """

    name: str
    values: dict[str, Any]
    kind: Literal["analysed"] = "analysed"


@dataclass(frozen=True)
class Warned:
    """Something the user should know that does not stop the run: a fact of it, or what may be wrong with it."""

    message: str
    level: Literal["note", "warning"] = "warning"
    kind: Literal["warned"] = "warned"


@dataclass(frozen=True)
class Finished:
    """The run is complete. `summary` holds the figures of the result: bytes, compression, retention, seconds."""

    summary: dict[str, Any] = field(default_factory=dict)
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True)
class Failed:
    """The run ended with an error. `message` is for the page, `details` (a traceback) stays in the store."""

    message: str
    details: str = ""
    step: int = 0
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Stopped:
    """The user stopped the run after `step` outer steps; it can be resumed."""

    step: int
    kind: Literal["stopped"] = "stopped"


Event = (
    Started
    | Progress
    | Planned
    | Measured
    | Preview
    | Checkpoint
    | Scored
    | ExpertEpoch
    | TeacherEpoch
    | Analysed
    | Warned
    | Finished
    | Failed
    | Stopped
)

_BY_KIND = {
    cls.__dataclass_fields__["kind"].default: cls
    for cls in (
        Started,
        Progress,
        Planned,
        Measured,
        Scored,
        ExpertEpoch,
        TeacherEpoch,
        Analysed,
        Warned,
        Finished,
        Failed,
        Stopped,
    )
}


def to_json(event: Event) -> dict[str, Any]:
    """A plain dictionary for any event but Preview and Checkpoint, which are kept as files."""
    if event.kind not in _BY_KIND:
        raise TypeError(f"a {event.kind} event is kept as a file, not as JSON")
    return dataclasses.asdict(event)


def from_json(record: dict[str, Any]) -> Event:
    """The event that `to_json` wrote."""
    return _BY_KIND[record["kind"]](**record)
