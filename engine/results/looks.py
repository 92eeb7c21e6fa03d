"""Pictures of a run: whole images, a poster, or price sequences; its bases, and the real images it started from."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from engine import figures
from engine.core.errors import DataError
from engine.core.events import Preview
from engine.core.run_row import RunRow
from engine.figures import formats
from engine.figures.palette import Theme
from engine.results.run import Run
from engine.results.sections import Chart, Group, Picture, Section, Sentence
from engine.synthetic import load

STRIP = 6  # pictures of the set along the run
MAX_SEQUENCES = 12  # that a report draws
RECONSTRUCTED = 8  # images per row that shows what became of real ones
IMAGES, POSTER, SEQUENCES = "Synthetic images", "Poster", "Distilled sequences"


def name_of(preview: Preview) -> str:
    """What a picture shows, as a heading."""
    if preview.poster is not None:
        return POSTER
    return IMAGES if preview.candles is None else SEQUENCES


def result_step(row: RunRow, steps: Sequence[int]) -> int:
    """The kept picture that shows the result: the step that was chosen, or the newest while there is none."""
    return next((step for step in steps if step == row.summary.get("step")), steps[-1])


def caption(row: RunRow, step: int, name: str) -> str:
    """What a picture shows, after which outer step, and whether that one was chosen. name: as `name_of` has it."""
    if not row.total_steps:
        return f"The result as it was after step {step:,}"
    moment = "before the first step" if step == 0 else f"after step {step:,}"
    is_chosen = step == row.summary.get("step") and step != row.total_steps
    return f"{name} {moment} of {row.total_steps:,}{', best on validation data' if is_chosen else ''}"


def alt(row: RunRow, step: int, name: str) -> str:
    """The same for those who cannot see the picture."""
    what = {POSTER: "The poster {}", IMAGES: "Grid of the synthetic images {}"}
    text = what.get(name, "The distilled sequences {} as small candle charts")
    return text.format(f"of run {row.id} at step {step}")


def picture(
    preview: Preview,
    theme: Theme = "page",
    width: int = 1000,
    *,
    classes: Sequence[str] = (),
    overlay: bool = False,
    patch_grid: bool = False,
) -> bytes:
    """A PNG of a preview: a poster in its true aspect, or else a grid.

    classes: sort the images into this order of class names, those of other classes last; as they are if empty.
    overlay, patch_grid: what is drawn over a poster.
    """
    if preview.poster is not None:
        ground: Theme = "light" if theme == "page" else theme
        return figures.poster_png(preview.poster, ground, width, overlay=overlay, patch_grid=patch_grid)
    images, labels = preview.images, preview.labels
    if classes:
        place = {name: number for number, name in enumerate(classes)}
        order = sorted(range(len(labels)), key=lambda index: place.get(labels[index], len(place)))
        images, labels = images[order], tuple(labels[index] for index in order)
    return figures.grid_png(images, labels, theme=theme, width=width)


def bases(preview: Preview, theme: Theme = "page", width: int = 1000) -> bytes:
    """The bases of a preview: every image is a weighted sum of them."""
    return figures.grid_png(preview.views["bases"], theme=theme, width=width)


def reconstruction(first: Preview, now: Preview, theme: Theme = "page", width: int = 1000) -> bytes:
    """Real images, the synthetic images that started from them, and what these have become."""
    rows = [("Real", first.views["real"])]
    if "bases" in first.views:
        rows.append(("From the bases, before the first step", first.images))
    if now.step != first.step:
        rows.append((f"After step {now.step:,}", now.images))
    count = min(RECONSTRUCTED, *(len(images) for _, images in rows))
    return figures.rows_png([(name, images[:count]) for name, images in rows], theme=theme, width=width)


def animation(previews: Sequence[Preview], theme: Theme, kind: Literal["gif", "webp"]) -> bytes:
    """Previews of a run as frames of one file."""
    posters = [preview.poster for preview in previews if preview.poster is not None]
    if posters:
        return figures.poster_timelapse(posters, kind)
    return figures.timelapse([preview.images for preview in previews], previews[-1].labels, kind, theme)


def pictures(run: Run) -> list[Section]:
    """The result in large, the set along the run, and what it is made of."""
    steps = run.store.previews(run.row.id)
    if not steps:
        return []
    final = run.store.preview(run.row.id, result_step(run.row, steps))
    shown: list[Section] = [*_poster(final), *(_sequences(run, final) if final.candles else _grid(run, final))]
    if len(steps) > 1:
        chosen = np.unique(np.linspace(0, len(steps) - 1, STRIP).round().astype(int))
        strip = [_small(run.store.preview(run.row.id, steps[place])) for place in chosen]
        shown.append(Group("Along the run", strip, "grid"))
    return [*shown, *_made_of(run.store.preview(run.row.id, steps[0]), final)]


def _grid(run: Run, final: Preview) -> list[Section]:
    noun = ("image",) if final.poster is None else ("patch", "patches")
    made = f"{formats.counted(len(final.images), *noun)}: {caption(run.row, final.step, name_of(final))}"
    title = "The distilled images" if final.poster is None else "The patches as a student sees them"
    png = partial(figures.grid_png, final.images, final.labels, theme="page")
    named = ", with class names" if any(final.labels) else ""
    return [Group(title, [Picture(png, f"Grid of the distilled images{named}", made + _cut(len(final.images)))])]


def _cut(count: int, most: int = figures.MAX_IMAGES) -> str:
    """How many of them are shown, where not all are."""
    return f", the first {most} of them" if count > most else ""


def _poster(final: Preview) -> list[Section]:
    """The poster in large, plain and with its classes."""
    if final.poster is None:
        return []
    height, width, _ = final.poster.pixels.shape
    plain, named = f"The poster, {height} x {width} pixels", "The poster with the area of each class"
    drawn = partial(figures.poster_png, final.poster, overlay=True)
    shown = [Picture(partial(figures.poster_png, final.poster), plain, plain), Picture(drawn, named, named)]
    return [Group("The distilled poster", shown)]


def _small(preview: Preview) -> Picture:
    png = partial(picture, Preview(preview.step, preview.images, (), preview.poster), width=400)
    return Picture(png, f"The set after outer step {preview.step}", f"outer step {preview.step:,}")


def _made_of(first: Preview, final: Preview) -> list[Section]:
    """The bases, and what real images became."""
    parts: list[Section] = []
    if "bases" in final.views:
        count = len(final.views["bases"])
        text = f"{formats.counted(count, 'base')}{_cut(count)}: every image is a weighted sum of them. Grey is zero."
        parts.append(Group("The bases", [Picture(partial(bases, final), "Grid of the bases", text)]))
    if "real" in first.views:
        text = "Real images that the set was initialised with, and what has become of them."
        what = "Real images above the distilled images that were initialised with them"
        parts.append(Group("Reconstruction", [Picture(partial(reconstruction, first, final), what, text)]))
    return parts


def _sequences(run: Run, final: Preview) -> list[Section]:
    """The distilled sequences as candles, each with its target in words."""
    view = final.candles
    assert view is not None
    told = figures.target_words(view, *_scaling(run))
    shown = list(zip(view.tokens, told, view.bars, strict=True))[:MAX_SEQUENCES]
    charts = [_candles(number, *each) for number, each in enumerate(shown, start=1)]
    made = f"{formats.counted(len(told), 'sequence')}: {caption(run.row, final.step, name_of(final))}"
    about = "Hollow candles rise, filled ones fall. The sequences were learned; they are no market history."
    note = Sentence(f"{made}{_cut(len(told), MAX_SEQUENCES)}. {about}", "caption")
    return [Group("The distilled sequences", charts, "grid"), note]


def _candles(number: int, token: str, told: str, bars: np.ndarray) -> Chart:
    title = f"{token}: {told}"
    draw = partial(figures.candles, bars, title=title, height=230)
    return Chart(draw, f"candles {number}", f"Candlesticks and volume of distilled sequence {number}, {title}")


def _scaling(run: Run) -> tuple[object, Sequence[str]]:
    """How the windows of a run were prepared, and its tokens; nothing without a result that can be read."""
    path = run.store.result(run.row.id)
    try:
        synthetic = load(path) if path else None
    except DataError:
        synthetic = None
    return (synthetic.preparation, synthetic.spec.class_names) if synthetic else (None, ())
