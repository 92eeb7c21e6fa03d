"""What accuracy costs: points told apart by shape and name, published ones by being hollow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import figures
from engine.core.events import Scored
from engine.evaluation.scores import summarise


def row(arm: str, size: int, values: tuple[float, ...] = (0.5, 0.52)):
    (found,) = summarise(
        Scored(arm, "as_distilled", "mlp", seed, "accuracy", value, 1.0, num_bytes=size)
        for seed, value in enumerate(values)
    )
    return found


@pytest.fixture
def runs() -> list:
    poster = {"distilled": row("distilled", 1300, (0.6, 0.62)), "random_real": row("random_real", 1280)}
    images = {"distilled": row("distilled", 2600), "kmeans_real": row("kmeans_real", 2560, (0.4,))}
    return [
        figures.Budgeted("0001", "0001 · a <b>poster</b>", "Poster", poster),
        figures.Budgeted("0002", "0002 · images", "Synthetic images", images),
    ]


def test_posters_and_images_differ_in_shape_and_name_and_share_the_arms_colour(runs):
    traces = {trace.name: trace for trace in figures.accuracy_against_bytes(runs).data}
    poster, images = traces["Distilled poster"], traces["Distilled images"]
    assert poster.marker.symbol != images.marker.symbol
    assert poster.marker.color == images.marker.color == figures.palette.PALETTES["page"].distilled
    assert (list(poster.text), list(poster.x)) == (["0001"], [1300])
    assert list(poster.y) == pytest.approx([61]) and poster.error_y.array[0] == pytest.approx(12.7, abs=0.1)
    assert "<b>" not in poster.customdata[0][0]
    assert list(traces["k-means real, equal bytes"].x) == [2560]
    assert traces["k-means real, equal bytes"].error_y.array[0] == 0


def test_bytes_are_on_a_log_axis_that_holds_every_point_and_names_its_ticks(runs):
    axis = figures.accuracy_against_bytes(runs, figures.published("cifar10")).layout.xaxis
    assert axis.type == "log"
    assert 10 ** axis.range[0] < 1280 and 10 ** axis.range[1] > 122_880
    assert len(axis.tickvals) <= 5 and set(axis.ticktext) >= {"10 kB", "100 kB"}


def test_published_results_are_hollow_and_second_hand_ones_say_so(runs):
    published = figures.published("cifar10")
    assert [(one.ipc, one.value, one.is_second_hand) for one in published] == [
        (0.3, 0.423, True),
        (0.5, 0.495, True),
        (1.0, 0.591, True),
    ]
    assert [one.num_bytes for one in published] == [36_864, 61_440, 122_880]
    own = replace(published[0], is_second_hand=False)
    traces = {trace.name: trace for trace in figures.accuracy_against_bytes(runs, [*published, own]).data}
    for name in ("Published, second-hand", "Published by its authors"):
        assert traces[name].marker.symbol.endswith("-open")
    assert len(traces["Published, second-hand"].x) == 3
    assert all("GPU" in shown[2] for shown in traces["Published, second-hand"].customdata)


@pytest.mark.parametrize("source", ["digits", "mnist", "folder:plants"])
def test_nothing_is_published_for_other_data(source):
    assert figures.published(source) == []


def test_over_steps_has_a_line_an_arm():
    lengths = {
        300: {"random_real": row("random_real", 10), "distilled": row("distilled", 10)},
        1000: {"distilled": row("distilled", 10)},
        2000: {"random_real": row("random_real", 10, (0.55, 0.57))},
    }
    traces = figures.over_steps(lengths).data
    assert [trace.name for trace in traces] == ["Distilled", "Random real, equal bytes"]
    assert list(traces[0].x) == [300, 1000]
    assert list(traces[1].y) == pytest.approx([51, 56])
