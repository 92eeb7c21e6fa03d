"""The charts of an imported data set: every image is in them, few sizes and classes as they are, many gathered."""

from __future__ import annotations

import pytest

from engine import figures
from engine.figures.samples import MAX_MARKS, gathered


def test_few_sizes_are_drawn_one_by_one_with_the_size_in_use():
    figure = figures.image_sizes([(40, 30, 7), (80, 60, 1)], used=32)
    images, used = figure.data
    assert list(zip(images.x, images.y, images.customdata, strict=True)) == [(40, 30, 7), (80, 60, 1)]
    assert (used.x, used.y) == ((32,), (32,))
    assert images.marker.size[0] > images.marker.size[1]


def test_many_sizes_are_gathered_and_no_image_is_lost():
    sizes = [(20 + number, 1000 - number // 2, 1 + number % 3) for number in range(5 * MAX_MARKS)]
    marks = gathered(sizes)
    assert len(marks) <= MAX_MARKS
    assert sum(count for _, _, count in marks) == sum(count for _, _, count in sizes)
    assert min(width for width, _, _ in marks) >= 20 and max(tall for _, tall, _ in marks) <= 1000


@pytest.mark.parametrize(("widest", "kind"), [(100, None), (5000, "log")])
def test_axes_are_logarithmic_where_sizes_differ_much(widest, kind):
    figure = figures.image_sizes([(30, 30, 1), (widest, 60, 1)])
    assert figure.layout.xaxis.type == kind and figure.layout.yaxis.type == kind


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ([f"species number {number}" for number in range(120)], "1"),
        ([f"c{number}" for number in range(120)], "c0"),
        ([f"species {number}" for number in range(12)], "species 0"),
    ],
    ids=["many long names", "many short names", "few names"],
)
def test_many_classes_are_named_below_their_bars_if_their_names_are_short(names, first):
    figure = figures.class_counts({"train": [1] * len(names)}, names)
    assert figure.layout.xaxis.ticktext[0] == first
    assert len(figure.layout.xaxis.ticktext) <= 30
    assert list(figure.data[0].customdata)[-1].startswith(names[-1][:5])
