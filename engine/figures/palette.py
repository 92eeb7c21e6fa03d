"""Colours and names of training sets (arms), protocols and measures, the same on every page and in every export."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from engine.evaluation.scores import BALANCED, RECIPES, SKILL, Row, shortening
from engine.figures.formats import NOTHING, percent_spread, words

Theme = Literal["light", "dark", "page"]


@dataclass(frozen=True)
class Palette:
    """Hex colours of the arms, then of anything else in order; `ink` for what is drawn over them."""

    distilled: str
    full: str
    random_real: str
    kmeans_real: str
    others: tuple[str, str]
    random_samples: str
    start: str
    ink: str

    def arm(self, name: str) -> str:
        """The colour of an arm; arms that are not known share the first free one."""
        if name in ("distilled", "full", "random_real", "random_samples", "kmeans_real", "start"):
            return str(getattr(self, name))
        return self.others[name in ("distilled_hard", "untrained", "train_mean")]

    @property
    def runs(self) -> tuple[str, ...]:
        """Colours told apart when several runs share one chart."""
        return (self.distilled, self.full, self.kmeans_real, *self.others, self.random_real)


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#B45F24", "#34506B", "#8A8F98", "#3E8E7E", ("#8C5BA8", "#C2A13A"), "#5B6068", "#C77589", "#1E2227"
    ),
    "dark": Palette(
        "#E2935A", "#7FA6CC", "#9AA1AB", "#63BFAC", ("#B48AD0", "#DCC06A"), "#CDD2D9", "#E79FB2", "#E8E6E3"
    ),
    # a report and Streamlit's browser side (chartCategoricalColors) replace these by those of the theme in use
    "page": Palette(
        "#000001", "#000002", "#000003", "#000004", ("#000005", "#000006"), "#000007", "#000008", "#000037"
    ),
}

PAGE = PALETTES["page"]
"""The colours of every chart; the page or report that shows it replaces them by those of its theme."""

SHADES = ((0, "rgba(198,120,63,0.04)"), (1, "rgba(198,120,63,0.6)"))
"""Colours of a map's cells: transparent, so that text is legible on light and dark ground."""

ARM_NAMES = {
    "distilled": "Distilled",
    "distilled_ema": "Distilled, moving average",
    "distilled_raw": "Distilled, without averaging",
    "distilled_hard": "Distilled, hard labels",
    "start": "Starting set",
    "random_real": "Random real, equal bytes",
    "random_samples": "Random real, as many samples",
    "kmeans_real": "k-means real, equal bytes",
    "untrained": "Random initialisation",
    "full": "Full data",
    "teacher": "Teacher",
    "last_value": "Last value",
    "train_mean": "Training mean",
}
"""Arms in display order, with their names."""

NAIVE_ARMS = ("last_value", "train_mean")  # arms that are forecasts of no network

PROTOCOL_NAMES = {
    "as_distilled": "Own recipe",
    "unaugmented": "Own recipe, no augmentation",
    "ordinary": "Standard training",
    **RECIPES,
    "linear_probe": "Linear probe",
    "knn": "Nearest neighbours",
    "fine_tune": "Fine-tuned",
    "naive": "No network",
}
"""Protocols in display order, with their names."""
PROTOCOL_NOTES = {
    "as_distilled": "the training recipe that the set was optimised for, with its own learning rates",
    "unaugmented": "the same without augmentation",
    "ordinary": "shuffled minibatches from a fresh initialisation",
    "standard": "SGD with momentum and DSA augmentation from a fresh initialisation, measured after the last epoch",
    "standard_learned_rate": "the same at the learning rate that was learned with the distilled set",
    "frepo": "Adam on half the squared error with warm-up and one augmentation per batch, measured after the last step",
    "linear_probe": "a linear classifier on frozen features, fitted to labelled training images",
    "knn": "the classes of the nearest labelled training images in feature space",
    "fine_tune": "the whole network, fine-tuned on labelled training images",
}


def arm_name(arm: str) -> str:
    """The display name of an arm."""
    return ARM_NAMES.get(arm, words(arm))


def measure(rows: Iterable[Row]) -> str:
    """What rows of scores measure, for the title of an axis: "accuracy", "balanced accuracy" or "skill"."""
    found = {row.metric for row in rows}
    return "skill" if SKILL in found else "balanced accuracy" if BALANCED in found else "accuracy"


def place(key: str, known: Iterable[str]) -> int:
    """The position of a key among known ones; unknown keys come last."""
    keys = list(known)
    return keys.index(key) if key in keys else len(keys)


def shown_order(row: Row) -> tuple[int, int]:
    """Sort key of rows of scores: protocol, then arm, both in display order."""
    return protocol_place(row.protocol), place(row.arm, ARM_NAMES)


def protocol_place(protocol: str) -> int:
    """The position of a protocol in display order; a shortened recipe stands where the recipe does."""
    return place(protocol.partition("@")[0], PROTOCOL_NAMES)


def protocol_notes(rows: Iterable[Row]) -> str:
    """What the protocols of these rows mean, a sentence each."""
    used = {row.protocol.partition("@")[0] for row in rows}
    return " ".join(f"{protocol_name(key)}: {note}." for key, note in PROTOCOL_NOTES.items() if key in used)


def protocol_name(protocol: str) -> str:
    """The display name of a protocol, "DC/DSA/MTT recipe, shortened: 300 of 1,000 epochs"."""
    key = protocol.partition("@")[0]
    said = shortening(protocol)
    return PROTOCOL_NAMES.get(key, words(key)) + (f", shortened: {said}" if said else "")


def protocol_words(protocol: str) -> str:
    """The same within a sentence."""
    name = protocol_name(protocol)
    return name if protocol.partition("@")[0] in RECIPES else name[:1].lower() + name[1:]


def spread(row: Row | None) -> str:
    """Mean ± standard deviation in per cent; a dash where nothing was measured."""
    return NOTHING if row is None else percent_spread(row.mean, row.std, row.n)
