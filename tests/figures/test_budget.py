"""What accuracy costs: points told apart by shape and name, published ones by being hollow."""

from __future__ import annotations

import pytest

from engine import figures
from engine.core.events import Scored
from engine.evaluation.scores import summarise

PUBLISHED = [
    figures.Published("DM", 1, 0.26, "score of a fixed last step; second-hand", 122_880, True),
    figures.Published("ATT", 10, 0.677, "best test score kept", 1_228_800, False),
]


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


def test_numbers_of_runs_with_neighbouring_scores_stand_on_different_sides():
    runs = [
        figures.Budgeted(f"000{place}", "", "Synthetic images", {"distilled": row("distilled", 2600, (score, score))})
        for place, score in enumerate((0.6, 0.9, 0.61, 0.7))
    ]
    (trace,) = figures.accuracy_against_bytes(runs).data
    assert trace.textposition == ("middle right", "middle left", "middle left", "middle right")


def test_bytes_are_on_a_log_axis_that_holds_every_point_and_names_its_ticks(runs):
    axis = figures.accuracy_against_bytes(runs, PUBLISHED).layout.xaxis
    assert axis.type == "log"
    assert 10 ** axis.range[0] < 1280 and 10 ** axis.range[1] > 1_228_800
    assert len(axis.tickvals) <= 5 and set(axis.ticktext) >= {"10 kB", "100 kB"}


def test_published_results_are_hollow_and_second_hand_ones_say_so(runs):
    traces = {trace.name: trace for trace in figures.accuracy_against_bytes(runs, PUBLISHED).data}
    for name, mark in (("Published, second-hand", PUBLISHED[0]), ("Published by its authors", PUBLISHED[1])):
        assert traces[name].marker.symbol.endswith("-open")
        assert (list(traces[name].x), list(traces[name].y)) == ([mark.num_bytes], [100 * mark.value])
        assert traces[name].customdata[0][2] == mark.marks


def test_the_full_data_set_is_a_star_at_its_bytes_and_sets_of_unknown_bytes_are_left_out(runs):
    arms = {"distilled": row("distilled", 1300), "full": row("full", 138_000_000), "start": row("start", 0)}
    figure = figures.accuracy_against_bytes([*runs, figures.Budgeted("0003", "third", "Poster", arms)])
    traces = {trace.name: trace for trace in figure.data}
    assert (traces["Full data"].marker.symbol, list(traces["Full data"].x)) == ("star", [138_000_000])
    assert "Starting set" not in traces and 10 ** figure.layout.xaxis.range[1] > 138_000_000


def test_widths_are_points_at_their_bytes_and_the_stored_one_is_larger():
    widths = {32: (4000, 0.9), 8: (1000, 0.897), 2: (250, 0.5)}
    arms = {"random_real": row("random_real", 990, (0.4, 0.44))}
    run = figures.Budgeted("", "0001 · digits", "Synthetic images", arms, widths, 8)
    widths_drawn, random = figures.bits_against_bytes([run], "accuracy").data
    assert list(widths_drawn.x) == [250, 1000, 4000] and list(widths_drawn.y) == pytest.approx([50, 89.7, 90])
    assert list(widths_drawn.text) == ["2 bits", "8 bits", "32 bits"]
    assert max(widths_drawn.marker.size) == widths_drawn.marker.size[1] > widths_drawn.marker.size[0]
    assert list(random.x) == [990] and list(random.y) == pytest.approx([42])
    other = figures.Budgeted("", "0002 · digits", "Synthetic images", {}, widths, 2)
    first, second = figures.bits_against_bytes([run, other], "accuracy").data[:2]
    assert first.line.color != second.line.color


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
