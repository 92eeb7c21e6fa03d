"""The sections of a report that runs without labels have: what networks learned of a teacher, and what the set is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from engine import figures
from engine.core.events import Preview
from engine.evaluation.scores import CKA, COSINE, HEADLINE, LINEAR_PROBE, Row, likeness, transfers
from engine.figures import formats
from engine.results import titles
from engine.runs.report_pieces import Charts, accuracy, data_url, table
from engine.runs.store import RunRow, Store

SHOWN = 10
"""Images of each row of a reconstruction."""


def verdict(best: Mapping[str, Row]) -> str:
    """The outcome in one sentence, of one row an arm; empty where nothing was measured."""
    parts = [f"{said} <strong>{share}</strong>" for said, share in figures.outcomes(best)]
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]} of the test images right." if parts else ""


def measures(row: RunRow, rows: Sequence[Row], student: str) -> list[str]:
    """Retention, speed-up and compression, transfer to other data sets, and likeness to the teacher.

    rows: of every metric and architecture; those of `student` count.
    """
    mine = [each for each in rows if each.student == student]
    return [*_ratios(row), *_transfer(row, mine), *_likeness(mine)]


def _ratios(row: RunRow) -> list[str]:
    found = row.summary
    retention, speed_up = (found.get(name, {}).get(LINEAR_PROBE) for name in ("retention", "speed_up"))
    lines = [
        ("Retention", retention and formats.percent(retention), "Linear probe after pre-training on the distilled images, of that on all."),
        ("Speed-up", speed_up and formats.times(speed_up), "Seconds of pre-training on all images, as a multiple of those on the distilled ones."),
        ("Compression", found.get("compression") and formats.ratio(found["compression"]), "Bytes of the distilled set, its representations among them, to those of the training images as stored."),
    ]  # fmt: skip
    lines = [line for line in lines if line[1]]
    return ["<section><h2>Against the full data</h2>", table(lines, (), "numbers"), "</section>"] if lines else []


def _transfer(row: RunRow, rows: Sequence[Row]) -> list[str]:
    """Linear probes on other data sets, a column each."""
    others = transfers(rows)
    if not others:
        return []
    own = {each.arm: each for each in rows if (each.protocol, each.metric) == (LINEAR_PROBE, HEADLINE)}
    arms = [arm for arm in figures.ARM_NAMES if any(arm in found for found in others.values())]
    head = ("Pre-trained on", f"{titles.source(row.source)}, its own", *map(titles.source, others))
    lines = [
        (figures.arm_name(arm), accuracy(own.get(arm)), *(accuracy(found.get(arm)) for found in others.values()))
        for arm in arms
    ]
    return [
        "<section><h2>Transfer</h2>",
        f'<div class="wide">{table(lines, head, "scores")}</div>',
        '<p class="faint">Linear probe on test images of each data set. The networks stay frozen as they were pre-trained; a linear classifier is fitted to the other data set\'s training images.</p></section>',
    ]


def _likeness(rows: Sequence[Row]) -> list[str]:
    """Cosine and CKA of each arm."""
    found = likeness(rows)
    lines = [
        (figures.arm_name(arm), *(_likeness_of(found[arm].get(metric)) for metric in (COSINE, CKA)))
        for arm in figures.ARM_NAMES
        if arm in found
    ]
    if not lines:
        return []
    return [
        "<section><h2>Likeness to the teacher</h2>",
        f'<div class="wide">{table(lines, ("Pre-trained on", "Mean cosine", "Linear CKA"), "scores")}</div>',
        "<p class=\"faint\">On test images. Cosine: between the network's representation and the teacher's, both centred. CKA (Kornblith et al. 2019): whether they find the same images alike, whatever the axes. 1 is alike.</p></section>",
    ]


def _likeness_of(row: Row | None) -> str:
    return formats.NOTHING if row is None else formats.likeness(row.mean, row.std, row.n)


def pictures(first: Preview, final: Preview) -> list[str]:
    """The bases, and what real images became: at the start, by the bases alone, and now. first, final: kept previews."""
    parts = []
    if "bases" in final.views:
        bases = final.views["bases"]
        shown = "" if len(bases) <= figures.MAX_IMAGES else f", the first {figures.MAX_IMAGES} of them"
        png = figures.grid_png(bases, theme="page")
        said = f"{formats.counted(len(bases), 'base')}{shown}: all images are sums of these, each with weights of its own. Grey is nothing."
        parts += [_pictured("The bases", png, "Grid of the bases that the images are sums of", said)]
    if "real" in first.views:
        rows = [("real", first.views["real"]), ("at the start", first.images), ("distilled", final.images)]
        png = figures.rows_png([(name, images[:SHOWN]) for name, images in rows], theme="page")
        said = "Real images that the distilled ones began as, what the set made of them before the first step, and what they became."
        parts += [_pictured("Reconstruction", png, "Real images above what they began as in the set and what they became", said)]  # fmt: skip
    return parts


def _pictured(title: str, png: bytes, meaning: str, caption: str) -> str:
    return (
        f'<section><h2>{title}</h2><figure class="grid"><img src="{data_url(png)}" alt="{escape(meaning)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure></section>"
    )


def analyses(store: Store, row: RunRow, charts: Charts) -> list[str]:
    """Maps, spectrum and approximation errors as far as they are known, and how the teacher learned."""
    found, epochs = store.analyses(row.id), store.teacher_epochs(row.id)
    drawn = []
    for name, way in figures.MAPS.items():
        if name in found:
            meaning = "Representations in two dimensions: real validation images by class, and the distilled ones"
            drawn.append((f"Map of the representations, by {way}", figures.representation_map(found[name]), meaning))
    if "spectrum" in found:
        meaning = "Share of the variance that the first bases explain"
        drawn.append(("Spectrum of the principal components", figures.spectrum(found["spectrum"]), meaning))
    if "approximation" in found:
        meaning = (
            "Relative error of representations under each augmentation, with and without the approximation networks"
        )
        figure = figures.approximation_errors(found["approximation"])
        drawn.append(("Representations of augmented images", figure, meaning))
    if len(epochs) > 1:
        told = "Accuracy of the teacher by nearest neighbours over its epochs"
        drawn.append(("The teacher, validation", figures.teacher_accuracy(epochs), told))
        if any(epoch.train_loss is not None for epoch in epochs):
            drawn.append(("Loss of the teacher", figures.teacher_loss(epochs), "Loss of the teacher over its epochs"))
    if not drawn:
        return []
    places = [f"<div><h3>{title}</h3>{charts.add(figure, meaning)}</div>" for title, figure, meaning in drawn]
    return ["<section><h2>Representations</h2>", '<div class="charts">', *places, "</div></section>"]
