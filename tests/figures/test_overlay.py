"""Several runs in one chart: told apart by more than colour, few points, every value where it belongs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from engine import figures
from engine.core.events import Scored
from engine.evaluation.scores import summarise
from engine.figures.curves import MAX_OVERLAY_POINTS


def line(values, steps=None) -> SimpleNamespace:
    values = np.asarray(values, dtype=np.float64)
    return SimpleNamespace(steps=np.arange(1, len(values) + 1) if steps is None else np.asarray(steps), values=values)


def arms(mean: float, *names: str) -> dict:
    scores = [
        Scored(arm, "ordinary", "mlp", seed, "accuracy", mean + shift, 0.1)
        for arm in names
        for seed, shift in enumerate((-0.01, 0.0, 0.01))
    ]
    return {row.arm: row for row in summarise(scores)}


def test_no_two_of_thirty_runs_look_alike_and_neighbours_differ_in_colour_and_dashes():
    styles = [figures.curves.run_style(number) for number in range(30)]
    assert len(set(styles)) == 30
    for one, other in zip(styles, styles[1:], strict=False):
        assert one[0] != other[0] and one[1] != other[1]


def test_each_run_keeps_its_style_where_another_did_not_measure_the_quantity():
    runs = [("a", {"loss": line([1, 2])}), ("b", {}), ("c", {"loss": line([3, 4])})]
    drawn = figures.overlay("loss", runs)
    assert [trace.name for trace in drawn.data] == ["a", "c"]
    assert (drawn.data[1].line.color, drawn.data[1].line.dash) == figures.curves.run_style(2)


@pytest.mark.parametrize("num_runs", [1, 3, 12])
def test_a_chart_has_few_points_and_keeps_every_peak(num_runs):
    values = np.ones(30_000)
    values[12_345] = 9.0
    drawn = figures.overlay("loss", [(str(number), {"loss": line(values)}) for number in range(num_runs)])
    assert sum(len(trace.x) for trace in drawn.data) <= MAX_OVERLAY_POINTS
    assert all(max(trace.y) == 9.0 and 12_346 in trace.x for trace in drawn.data)


def test_time_is_the_sum_of_the_steps_before():
    series = {"loss": line([5, 4, 3, 2]), "seconds_per_step": line([0.5, 1.5, np.nan, 2.0]), "sparse": line([7], [3])}
    assert list(figures.overlay("loss", [("a", series)], against="seconds").data[0].x) == [0.5, 2.0, 2.0, 4.0]
    assert list(figures.overlay("sparse", [("a", series)], against="seconds").data[0].x) == [2.0]


def test_a_run_without_times_has_no_line_over_time():
    assert not figures.overlay("loss", [("a", {"loss": line([1, 2])})], against="seconds").data


def test_accuracies_are_drawn_in_per_cent_and_a_log_axis_has_round_ticks():
    drawn = figures.overlay("validation_accuracy", [("a", {"validation_accuracy": line([0.25, 0.5])})])
    assert list(drawn.data[0].y) == [25.0, 50.0]
    drawn = figures.overlay("loss", [("a", {"loss": line([1, 1000])}), ("b", {"loss": line([0.1])})], log=True)
    assert drawn.layout.yaxis.type == "log" and {"1", "100"} <= set(drawn.layout.yaxis.ticktext)


def test_names_are_text_and_no_html():
    drawn = figures.overlay("loss", [("<b>x</b>", {"loss": line([1, 2])})])
    assert drawn.data[0].name == "&lt;b&gt;x&lt;/b&gt;"


def test_numeric_values_that_span_a_decade_stand_on_a_log_axis_with_their_intervals():
    points = [
        (value, arms(mean, "distilled", "random_real", "full"))
        for value, mean in ((0.001, 0.5), (0.01, 0.6), (0.1, 0.4))
    ]
    drawn = figures.sweep_line(points, "Outer <learning> rate")
    assert drawn.layout.xaxis.type == "log" and list(drawn.layout.xaxis.ticktext) == ["0.001", "0.01", "0.1"]
    assert drawn.layout.xaxis.title.text == "Outer &lt;learning&gt; rate"
    assert [trace.name for trace in drawn.data] == ["Distilled", "Random real, equal bytes"]
    distilled = drawn.data[0]
    assert list(distilled.y) == pytest.approx([50, 60, 40])
    row = points[0][1]["distilled"]
    assert distilled.error_y.array[0] == pytest.approx(100 * (row.high - row.mean))


def test_values_close_together_stand_on_a_linear_axis_and_words_side_by_side():
    close = figures.sweep_line([(value, arms(0.5, "distilled")) for value in (1, 2, 5)], "Images per class")
    assert close.layout.xaxis.type == "linear"
    named = figures.sweep_line([(value, arms(0.5, "distilled")) for value in ("SGD", "Adam")], "Optimiser")
    assert named.layout.xaxis.type == "category" and list(named.data[0].x) == ["SGD", "Adam"]
    assert named.data[0].mode == "markers"


def test_numbers_are_joined_from_left_to_right_however_they_were_typed():
    drawn = figures.sweep_line([(value, arms(value / 10, "distilled")) for value in (5, 1, 2)], "Images per class")
    assert list(drawn.data[0].x) == [1, 2, 5] and list(drawn.data[0].y) == pytest.approx([10, 20, 50])


def test_zero_among_the_values_keeps_the_axis_linear():
    assert figures.sweep_line([(v, arms(0.5, "distilled")) for v in (0, 1, 100)], "Clip").layout.xaxis.type == "linear"


def test_a_map_has_a_number_in_each_measured_cell_and_nothing_in_the_others():
    drawn = figures.sweep_map({("SGD", "0.1"): 0.512, ("SGD", "1"): None, ("Adam", "0.1"): 0.7}, ("Optimiser", "Rate"))
    heat = drawn.data[0]
    assert [list(row) for row in heat.text] == [["51.2 %", ""], ["70.0 %", ""]]
    assert heat.z[0][1] is None and heat.z[1][0] == pytest.approx(70)
    assert (list(heat.y), list(heat.x)) == (["SGD", "Adam"], ["0.1", "1"])
