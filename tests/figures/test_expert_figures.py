"""Experts' curves and the steps nearest to them, as figures."""

from __future__ import annotations

import numpy as np
import pytest

from engine import figures
from engine.core.events import ExpertEpoch
from engine.figures import networks
from engine.runs.curves import Series


def epochs(num_experts: int, num_epochs: int = 4, last: int | None = None) -> list[ExpertEpoch]:
    """Experts one after the other, expert e ending 1 point above expert e - 1; of the newest only `last` epochs."""
    return [
        ExpertEpoch(expert, epoch, num_experts, num_epochs, None, 0.1 * epoch + 0.01 * expert, 1.0)
        for expert in range(num_experts)
        for epoch in range(num_epochs + 1)
        if expert < num_experts - 1 or last is None or epoch <= last
    ]


def test_newest_expert_and_mean_of_the_complete_ones_stand_out():
    figure = figures.expert_curves(epochs(4, last=2))
    thin, newest, mean = figure.data
    assert newest.name == "expert 4, the newest" and list(newest.x) == [0, 1, 2]
    assert mean.name == "mean of 3" and mean.y == pytest.approx([1, 11, 21, 31, 41])
    assert [number for number in thin.customdata if number is not None] == 5 * [1] + 5 * [2] + 5 * [3]
    assert mean.line.width > newest.line.width > thin.line.width
    assert list(figure.layout.xaxis.range) == [0, 4]


def test_one_expert_has_neither_others_nor_a_mean():
    assert len(figures.expert_curves(epochs(1)).data) == 1


def test_very_many_experts_send_few_points_and_are_all_in_the_mean():
    figure = figures.expert_curves(epochs(200, num_epochs=50))
    thin, _, mean = figure.data
    assert len(thin.x) <= networks.MAX_EXPERT_POINTS + 60 and "of the others" in thin.name
    assert mean.name == "mean of 200"


def test_matched_steps_have_a_dot_an_outer_step_a_median_and_the_last_step():
    line = Series(np.arange(1, 101), np.where(np.arange(100) % 10 == 0, 20.0, 7.0))
    dots, median, last = figures.matched_steps(line, 20).data
    assert len(dots.x) == 100 and set(last.y) == {20} and last.line.dash == "dash"
    assert set(median.y) == {7.0}, "single steps do not move it"


def test_matched_steps_of_a_long_run_are_few_points():
    line = Series(np.arange(1, 60_001), np.random.default_rng(0).integers(1, 81, 60_000).astype(float))
    figure = figures.matched_steps(line, 80)
    assert sum(len(trace.x) for trace in figure.data) <= 2000


def test_matched_steps_of_a_run_that_has_just_begun_have_no_median():
    assert len(figures.matched_steps(Series(np.arange(1, 3), np.array([4.0, 5.0])), 20).data) == 2


def test_moving_average_is_drawn_beside_the_accuracy_of_the_images():
    names = ["outer_loss", "expert", "validation_accuracy", "ema_validation_accuracy", "matched_step"]
    assert figures.chart_names(names) == ["outer_loss", "validation_accuracy", "matched_step"]
    assert figures.chart_names(["ema_validation_accuracy"]) == ["ema_validation_accuracy"]
    series = {name: Series(np.arange(1, 6), np.full(5, 0.5)) for name in names}
    figure = figures.curve("validation_accuracy", series)
    assert [trace.name for trace in figure.data] == ["images as they are", "moving average"]
    alone = figures.curve("validation_accuracy", {"validation_accuracy": series["validation_accuracy"]})
    assert [trace.name for trace in alone.data] == ["accuracy, validation"]


def test_an_axis_can_be_named_by_what_is_drawn():
    series = {"outer_loss": Series(np.arange(1, 6), np.arange(5.0))}
    assert figures.curve("outer_loss", series, axis="distance").layout.yaxis.title.text == "distance"
    assert figures.curve("outer_loss", series).layout.yaxis.title.text == "outer loss"
