"""What a run says while it works: small frozen records.

`engine.run` yields them in order; the store keeps them; pages, the command line and reports read them back. All of them
have a JSON form (`to_json`, `from_json`) but Preview, whose pictures are kept as files, and Checkpoint, which never
leaves the process.
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
    """What all events have in common. kind: the name of the class, `expert_epoch` of ExpertEpoch."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.kind = re.sub("(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        _BY_KIND[cls.kind] = cls


@dataclass(frozen=True)
class Started(Event):
    """First event of a run. `total_steps` outer steps are planned; `facts` are shown as they are (device, sizes)."""

    total_steps: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress(Event):
    """`done` of `total` units of a phase: a download, a ZCA fit, the trainings of a comparison.

    part: "compare" for the trainings of a comparison, else "". seconds_left: of that part, if known.
    """

    phase: str
    done: int
    total: int
    part: Literal["", "compare"] = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class Planned(Event):
    """Duration of the comparison, with its `num_trainings`; known after the first outer step."""

    seconds: float
    num_trainings: int
    part: Literal["compare"] = "compare"


@dataclass(frozen=True)
class Measured(Event):
    """Scalars of one outer step, by name. The store adds the time."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class PosterView:
    """A poster as a picture, and what is drawn over it.

    pixels: (H, W, C) uint8. grid: a PosterGrid as a dictionary: sizes of the poster and of a patch in pixels, numbers
    of class cells and of patches by rows and columns. order: the class of each class cell, row by row; -1 if empty.
    class_names: by class. patch_labels: (P, K) float16, the label of each patch, row by row. label_map: (K, h, w)
    float16, the learned weights over the poster that these come from; None for fixed labels.
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
    sequence. targets: (M, D) float32: the close or the volatility in standard deviations of the token's, directions as
    probabilities. outputs: names of the D columns.
    """

    bars: np.ndarray
    tokens: tuple[str, ...]
    targets: np.ndarray
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Preview(Event):
    """The synthetic data after `step` outer steps: images (N, H, W, C) uint8, and their class names or empty texts.

    poster: the poster that the images are patches of. views: further pictures by name, (n, H, W, C) uint8 each: "bases"
    of the images, "real" images that they started as. candles: the sequences of price bars that the images show.
    """

    step: int
    images: np.ndarray
    labels: tuple[str, ...]
    poster: PosterView | None = None
    views: dict[str, np.ndarray] = field(default_factory=dict)
    candles: CandleView | None = None


@dataclass(frozen=True)
class Checkpoint(Event):
    """A moment the run can be resumed from: `step` outer steps are done.

    `snapshot()` gives {name: tensor}; call it before the generator is advanced, for it reads live tensors. `synthetic`
    is the synthetic set as it is now. Cheap to yield: the worker decides when to write one.
    """

    step: int
    snapshot: Callable[[], dict[str, Any]]
    synthetic: Any


@dataclass(frozen=True)
class Scored(Event):
    """The score of one trained student.

    arm: what it was trained on: "distilled", "distilled_ema", "distilled_raw", "distilled_hard" (with hard labels),
        "random_real", "kmeans_real" or "full"; of representations also "untrained" and "teacher"; of prices also
        "last_value" and "train_mean", forecasts without a network.
    protocol: "as_distilled" (the set's own training recipe), "unaugmented" (the same without augmentation), "ordinary"
        (shuffled minibatches from scratch); of representations "linear_probe", "knn", "fine_tune" and, for the run's
        own validation, "short_probe"; "naive" of forecasts without a network.
    metric: "accuracy"; "accuracy@300" after 300 inner steps; "accuracy@mnist" on another source; "cosine" and "cka",
        likeness to the teacher; of forecasts "skill", "skill_last_value", "mae", "rmse", "r2", "hit_rate",
        "balanced_accuracy" and "mcc", and "rmse@BTC" of one token.
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
    """One epoch of expert number `expert`, from 0: trained now, or earlier (`cached`).

    epoch: 0 is before training. train_loss: mean over the epoch, None at epoch 0. validation_accuracy: a fraction.
    seconds: of training.
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
    """One epoch of a self-supervised teacher: trained now, or earlier (`cached`).

    As ExpertEpoch, but knn_accuracy: of validation images by their nearest training images in representation.
    """

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
    """Something the user should know that does not stop the run."""

    message: str
    level: Literal["note", "warning"] = "warning"


@dataclass(frozen=True)
class Finished(Event):
    """The run is complete. `summary` holds the figures of the result: bytes, compression, retention, seconds."""

    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Event):
    """The run ended with an error. `message` is for the page, `details` (a traceback) stays in the store."""

    message: str
    details: str = ""
    step: int = 0


@dataclass(frozen=True)
class Stopped(Event):
    """The user stopped the run after `step` outer steps; it can be resumed."""

    step: int


def to_json(event: Event) -> dict[str, Any]:
    """A plain dictionary. Raises TypeError for Preview and Checkpoint."""
    if isinstance(event, Preview | Checkpoint):
        raise TypeError(f"a {event.kind} event is kept as a file, not as JSON")
    return asdict(event) | {"kind": event.kind}


def from_json(record: dict[str, Any]) -> Event:
    """The event that `to_json` wrote."""
    return _BY_KIND[record["kind"]](**{name: value for name, value in record.items() if name != "kind"})
