"""What a run reports while it works: small frozen records.

`engine.run` yields them; the store keeps them for pages, command line and reports. All have a JSON form (`to_json`,
`from_json`) except Preview, which is kept as files, and Checkpoint, which never leaves the process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

_BY_KIND: dict[str, type[Event]] = {}


@dataclass(frozen=True)
class Event:
    """Base of all events. kind: the class's name, `expert_epoch` of ExpertEpoch."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.kind = re.sub("(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        _BY_KIND[cls.kind] = cls


@dataclass(frozen=True)
class Started(Event):
    """First event of a run, with the planned outer steps and facts to show as they are (device, sizes)."""

    total_steps: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress(Event):
    """`done` of `total` units of a phase: a download, a ZCA fit, a comparison.

    part: "compare" for the trainings of a comparison. seconds_left: of that part, if known.
    """

    phase: str
    done: int
    total: int
    part: Literal["", "compare"] = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class Planned(Event):
    """Expected duration of the comparison, known after the first outer step."""

    seconds: float
    num_trainings: int
    part: Literal["compare"] = "compare"


@dataclass(frozen=True)
class Measured(Event):
    """Scalars of an outer step, by name."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class PosterView:
    """A poster as a picture, and what is drawn over it.

    pixels: (H, W, C) uint8. grid: a PosterGrid as a dictionary. order: the class of each class cell, row by row; -1 if
    empty. patch_labels: (P, K) float16, of each patch, row by row. label_map: (K, h, w) float16, the learned weights
    over the poster that these come from; None for fixed labels.
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

    bars: (M, T, 5) float32: open, high, low, close and volume; the bar before the first closes at 100. tokens: of each
    sequence. targets: (M, D) float32: close or volatility in the token's standard deviations, directions as
    probabilities. outputs: names of the D columns.
    """

    bars: np.ndarray
    tokens: tuple[str, ...]
    targets: np.ndarray
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Preview(Event):
    """The synthetic data after `step` outer steps: images (N, H, W, C) uint8, labels their class names or "".

    poster: that the images are patches of. views: further pictures (n, H, W, C) uint8: "bases" of the images, "real"
    images that they started as. candles: the sequences of price bars that the images show.
    """

    step: int
    images: np.ndarray
    labels: tuple[str, ...]
    poster: PosterView | None = None
    views: dict[str, np.ndarray] = field(default_factory=dict)
    candles: CandleView | None = None


@dataclass(frozen=True)
class Checkpoint(Event):
    """A point the run can be resumed from, after `step` outer steps. The worker decides which ones to write.

    `snapshot()` gives {name: tensor}; it reads live tensors, so call it before advancing the generator. `synthetic` is
    the synthetic set as it is now.
    """

    step: int
    snapshot: Callable[[], dict[str, Any]]
    synthetic: Any


@dataclass(frozen=True)
class Scored(Event):
    """The score of one trained student.

    arm: training set: "distilled", "distilled_ema", "distilled_raw", "distilled_hard" (with hard labels),
        "random_real", "kmeans_real" or "full"; for representations also "untrained" and "teacher"; for prices also
        "last_value" and "train_mean", forecasts without a network.
    protocol: "as_distilled" (the set's own training recipe), "unaugmented" (the same without augmentation), "ordinary"
        (standard training); for representations "linear_probe", "knn", "fine_tune" and "short_probe" (the run's own
        validation); "naive" for forecasts without a network.
    metric: "accuracy"; "accuracy@300" after 300 inner steps; "accuracy@mnist" on another source; "cosine" and "cka",
        likeness to the teacher; for forecasts "skill", "skill_last_value", "mae", "rmse", "r2", "hit_rate",
        "balanced_accuracy" and "mcc", and "rmse@BTC" for one token.
    value: a fraction for accuracies and skills, log returns for errors of forecasts.
    seconds: of training. split: "validation" or "test". recipe: how it was trained, in words.
    training: {"num_steps", "batch_size", "lr"} if batches are random. cached: taken from an earlier run.
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


@dataclass(frozen=True)
class ExpertEpoch(Event):
    """An epoch of expert number `expert`, from 0. cached: trained earlier.

    epoch: 0 before training. train_loss: mean over the epoch. validation_accuracy: a fraction. seconds: of training.
    """

    expert: int
    epoch: int
    num_experts: int
    num_epochs: int
    train_loss: float | None
    validation_accuracy: float
    seconds: float
    cached: bool = False


@dataclass(frozen=True)
class TeacherEpoch(Event):
    """An epoch of a teacher, as ExpertEpoch. knn_accuracy: of nearest neighbours on validation images."""

    epoch: int
    num_epochs: int
    train_loss: float | None
    knn_accuracy: float
    seconds: float
    cached: bool = False


@dataclass(frozen=True)
class Analysed(Event):
    """A finding that is drawn as a chart; a later one of the same name replaces it.

    name and values: "spectrum", {"images": shares of variance by component, "representations": the same, "used":
    {"images": U, "representations": V}}; "approximation", {"augmentations": names, "with_networks": relative errors of
    augmented representations, "without": of unshifted ones}; "map" by PCA and "map_tsne", {"real": [[x, y], ...],
    "classes": of each, "distilled": [[x, y], ...], "way": "PCA"}. Of prices, by evaluation/forecasting: "forecasts",
    "intervals", "verdict", "privacy", "facts" and "adaptation" ("adaptation:prices:gold" of another source).
    """

    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Warned(Event):
    """Something the user should know; the run continues."""

    message: str
    level: Literal["note", "warning"] = "warning"


@dataclass(frozen=True)
class Finished(Event):
    """The run is complete. summary: figures of the result: bytes, compression, retention, seconds."""

    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Event):
    """The run ended with an error. message: for the page. details: the traceback."""

    message: str
    details: str = ""
    step: int = 0


@dataclass(frozen=True)
class Stopped(Event):
    """The user stopped the run after `step` outer steps; it can be resumed."""

    step: int


def to_json(event: Event) -> dict[str, Any]:
    """The event as a dictionary. Raises TypeError for Preview and Checkpoint."""
    if isinstance(event, Preview | Checkpoint):
        raise TypeError(f"a {event.kind} event is kept as a file, not as JSON")
    return asdict(event) | {"kind": event.kind}


def from_json(record: dict[str, Any]) -> Event:
    """The event that `to_json` wrote."""
    return _BY_KIND[record["kind"]](**{name: value for name, value in record.items() if name != "kind"})
