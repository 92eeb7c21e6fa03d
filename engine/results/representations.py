"""Images with a teacher's representations: networks pre-trained on them are compared by a linear probe."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from engine import figures
from engine.core.config import EvaluationConfig
from engine.evaluation.scores import CKA, COSINE, FINE_TUNE, LINEAR_PROBE, Row, likeness, transfers
from engine.figures import formats
from engine.results import shared, titles
from engine.results.kind import Kind
from engine.results.run import Run
from engine.results.sections import Chart, Choice, Group, Metric, Section, Sentence, Table
from engine.results.shared import arm_table, boxed, noted


class Representations(Kind):
    """Images with a teacher's representations."""

    key, stored, findings_title = "representations", "images and representations", "Representations"
    judged_by = "Linear-probe accuracy on test images"
    counted = "Bytes as stored: a real image takes 1 byte per value and 2 per number of its representation."
    labels, always = ("Distilled, linear probe", "Linear probe, validation"), ()
    phrases = {
        "distilled": ("after pre-training on {}", "distilled image"),
        "random_real": ("on {} of equal bytes with the teacher's representations", "random real image"),
        "random_samples": ("on {} (as many samples) with the teacher's representations", "random real image"),
        "start": ("on the starting set", ""),
        "untrained": ("without pre-training", ""),
        "full": ("on all {}", "real image"),
        "teacher": ("for the teacher itself", ""),
    }

    def comparison(self, evaluation: EvaluationConfig) -> str:
        full = ", on the full data set" if evaluation.compare_full else ""
        real = "on random real images with the teacher's representations (of equal bytes, and as many)"
        return f"are pre-trained on it, on its start, {real}{full} and on nothing, then frozen and probed with labels"

    def beside(self, run: Run) -> list[Metric]:
        untrained = run.best.get("untrained")
        return [shared.score_metric("Random initialisation", untrained)] if run.is_compared else []

    def details(self, run: Run) -> list[Section]:
        """Probes on other data sets, and similarity to the teacher."""
        mine = [row for row in run.every if row.student == run.student.name]
        return [*_transfer(run, mine), *_likeness(mine)]

    def findings(self, run: Run) -> list[Section]:
        """A map of the representations, the spectrum of the bases, and errors of the approximation networks."""
        drawn = [draw(run.analyses) for draw in (_map, _spectrum, _approximation, _budget)]
        known = [group for group in drawn if group is not None]
        if not known:
            waiting = "A map of the representations and the spectrum of the bases appear here."
            return [Sentence(waiting, "caption")] if run.row.is_active else []
        has_map = run.analyses.keys() & figures.MAPS.keys() and known[1:]
        return [Group("", [known[0], Group("", known[1:])] if has_map else known, "grid")]

    def numbers(self, run: Run) -> dict[str, Any]:
        """Transfer and similarity to the teacher by data set, training set and metric."""
        mine = [row for row in run.every if row.student == run.student.name]
        return {
            "ranking": {},
            "transfers": {source: _of_arms(arms) for source, arms in transfers(mine).items()},
            "transfers_fine_tuned": {source: _of_arms(arms) for source, arms in transfers(mine, FINE_TUNE).items()},
            "likeness": {arm: _of_arms(metrics) for arm, metrics in likeness(mine).items()},
        }


def _of_arms(rows: Mapping[str, Row]) -> dict[str, Any]:
    return {name: shared.as_json(row) for name, row in rows.items()}


def _transfer(run: Run, rows: Sequence[Row]) -> list[Section]:
    """The same networks on other data sets, a column each: frozen with a linear probe, and fine-tuned."""
    cells: dict[str, Mapping[str, str]] = {}
    notes = {
        LINEAR_PROBE: "Linear probe, test images of each data set: the pre-trained networks stay frozen, and a linear "
        "classifier is fitted to the training images.",
        FINE_TUNE: "Fine-tuned: the whole network is trained on the training images of that data set.",
    }
    said = []
    for protocol, note in notes.items():
        others = transfers(rows, protocol)
        if not others:
            continue
        said.append(note)
        own = {row.arm: row for row in run.own if row.protocol == protocol}
        by_source = others if run.row.source in others or not own else {run.row.source: own} | others
        for source, found in by_source.items():
            whose = ", its own" if source == run.row.source else ""
            how = ", fine-tuned" if protocol == FINE_TUNE else ""
            cells[titles.source(source) + whose + how] = shared.spreads(found)
    if not cells:
        return []
    alt = "Accuracy of the pre-trained networks on other data sets"
    return [noted("Transfer", arm_table("Pre-trained on", cells), alt, " ".join(said))]


def _likeness(rows: Sequence[Row]) -> list[Section]:
    """How similar the representations of each network and of the teacher are."""
    found = likeness(rows)
    if not found:
        return []
    cells = {
        title: {arm: _similarity(rows[metric]) for arm, rows in found.items() if metric in rows}
        for metric, title in ((COSINE, "Mean cosine"), (CKA, "Linear CKA"))
    }
    note = (
        "Test images. Cosine: mean cosine similarity of the network's and the teacher's centred representations. "
        "CKA: whether both find the same images similar, whatever the axes (Kornblith et al. 2019). 1 is identical."
    )
    alt = "Similarity of representations to those of the teacher"
    return [noted("Similarity to the teacher", arm_table("Pre-trained on", cells), alt, note)]


def _similarity(row: Row) -> str:
    """ "0.873 ± 0.012", without a deviation of a single student"""
    return f"{row.mean:.3f}".replace("-", "−") + (f" ± {row.std:.3f}" if row.n > 1 else "")


def _map(found: Mapping[str, Mapping[str, Any]]) -> Group | None:
    maps = {way: name for name, way in figures.MAPS.items() if name in found}
    if not maps:
        return None
    alt = "Representations in two dimensions: real validation images as dots by class, distilled images as diamonds"

    def drawn(name: str) -> Sequence[Section]:
        return [Chart(partial(figures.representation_map, found[name]), name, alt)]

    ways = {way: partial(drawn, name) for way, name in maps.items()}
    note = (
        "Dots: validation images in the teacher's representation space, coloured by class. Diamonds: representations "
        "of the distilled images, which were made without labels."
    )
    by = f", by {next(iter(maps))}" if len(maps) == 1 else ""
    parts: list[Section] = [Choice("Projection", ways, "map way"), Sentence(note, "caption")]
    return Group(f"Map of the representations{by}", parts, "box")


def _spectrum(found: Mapping[str, Mapping[str, Any]]) -> Group | None:
    values = found.get("spectrum")
    if values is None:
        return None
    parts = [
        f"{used:,} bases explain {formats.percent(sum(values[name][:used]))} of the variance of the {name}"
        for name, used in values.get("used", {}).items()
        if 0 < used <= len(values.get(name, ()))
    ]
    kept = f"At the start, {' and '.join(parts)}. " if parts else ""
    alt = "Cumulative share of the variance explained by the first bases of images and of representations"
    note = f"{kept}Solid lines: cumulative; dotted: each base alone."
    return boxed("Spectrum of the principal components", partial(figures.spectrum, values), "spectrum", alt, note)


def _approximation(found: Mapping[str, Mapping[str, Any]]) -> Group | None:
    values = found.get("approximation")
    if values is None:
        return None
    table = {"Augmentation": [formats.words(name) for name in values["augmentations"]]}
    table["With its network"], table["Without"] = (
        [formats.percent(error) for error in values[key]] for key in ("with_networks", "without")
    )
    note = (
        "Relative error of the stored representations under each augmentation. A small network predicts the shift that "
        "an augmentation causes, so that none is stored per image; without it, the unshifted representation is used."
    )
    alt = "Relative error of the representations under each augmentation, with and without approximation networks"
    chart = Chart(partial(figures.approximation_errors, values), "approximation", alt)
    values_table = Group("Values", [Table(table, "Relative error under each augmentation")], "fold")
    return Group("Representations of augmented images", [chart, Sentence(note, "caption"), values_table], "box")


def _budget(found: Mapping[str, Mapping[str, Any]]) -> Group | None:
    values = found.get("budget")
    if values is None:
        return None
    images, budget = formats.counted(values["num_images"], "image"), formats.num_bytes(values["budget"])
    bases = ""
    if values["image_bases"]:
        bases = f", as sums of {values['image_bases']:,} and {values['representation_bases']:,} bases"
    said = f"{budget} hold {images} with representations{bases}: the most that fit in the proportions of the settings."
    parts: list[Section] = [Sentence(said, "caption")]
    if names := values.get("augmentations"):
        kept = values["num_augmentations"]
        why = f"The networks of {kept} of {formats.counted(len(names), 'augmentation')} fit into what is left"
        parts.append(Sentence(f"{why}: those with the smallest error at the start are kept.", "caption"))
        table = {"Augmentation": [formats.words(name) for name in names]}
        table["Error left"] = [formats.percent(error) for error in values["errors"]]
        table["Kept"] = ["yes" if place < kept else "no" for place in range(len(names))]
        parts.append(Table(table, "Augmentations by the error that their networks leave"))
    return Group("Byte budget", parts, "box")
