"""Truncation windows: within their limits, drawn from the given generator alone, and spread as their names say."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.core.context import Context
from engine.meta.windows import Growth, Unroll, Window, WindowSchedule, window_at

SCHEDULES = get_args(WindowSchedule)


@st.composite
def unrolls(draw):
    length = draw(st.integers(1, 50))
    window = draw(st.integers(1, length))
    return Unroll(length, window, draw(st.integers(0, length - window)), draw(st.integers(1, 5)), 1)


def windows(schedule, unroll, steps=range(40), seed=0, growth=None):
    stream = Context(seed=seed).stream
    return [window_at(schedule, unroll, step, stream, growth or Growth(unroll.min_burn_in)) for step in steps]


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(unroll=unrolls(), step=st.integers(0, 1000), seed=st.integers(0, 100))
def test_every_window_lies_inside_the_unroll(schedule, unroll, step, seed):
    (window,) = windows(schedule, unroll, [step], seed)
    assert window.burn_in >= 0 and window.length >= 1 and sum(window) <= unroll.length
    assert window.length <= unroll.window or schedule == "full"
    if schedule.startswith("random_each") or schedule == "growing":
        assert unroll.min_burn_in <= window.burn_in <= unroll.max_burn_in


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_same_seed_gives_the_same_windows_whatever_was_drawn_before(schedule):
    unroll = Unroll(20, 5, epoch_steps=4)
    assert windows(schedule, unroll) == windows(schedule, unroll)
    assert windows(schedule, unroll, [7]) == [windows(schedule, unroll)[7]]
    torch.manual_seed(1)
    assert windows(schedule, unroll) == windows(schedule, unroll)
    if schedule.startswith("random"):
        assert windows(schedule, unroll) != windows(schedule, unroll, seed=1)


def test_random_each_step_reaches_every_place():
    unroll = Unroll(9, 5, min_burn_in=1)
    assert {w.burn_in for w in windows("random_each_step", unroll, range(200))} == {1, 2, 3, 4}


def test_random_each_epoch_keeps_its_draw_for_an_epoch():
    drawn = windows("random_each_epoch", Unroll(1000, 5, epoch_steps=4), range(12))
    assert [len(set(drawn[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(drawn)) == 3


def test_random_length_begins_at_the_start_and_reaches_every_length():
    drawn = windows("random_length", Unroll(9, 4), range(100))
    assert {w.burn_in for w in drawn} == {0} and {w.length for w in drawn} == {1, 2, 3, 4}


def test_fixed_late_and_full_end_with_the_unroll():
    unroll = Unroll(9, 4)
    assert windows("fixed_late", unroll, [0]) == [Window(5, 4)] and windows("full", unroll, [0]) == [Window(0, 9)]


def test_growing_moves_on_by_a_window_after_so_many_steps_without_a_new_lowest_loss():
    unroll = Unroll(10, 4, min_burn_in=1, patience=2)
    growth, places = Growth(unroll.min_burn_in), []
    for loss in (3.0, 2.0, 2.5, 2.5, 4.0, 3.9, 5.0, 5.0, 5.0, 5.0):
        growth = growth.after(loss, unroll)
        places.append(window_at("growing", unroll, 0, Context().stream, growth).burn_in)
    assert places == [1, 1, 1, 5, 5, 5, 5, 6, 6, 6], "two stalls, then no further than the unroll allows"


def test_growing_forgets_the_lowest_loss_of_a_shorter_training():
    assert Growth(0, lowest=0.1, stalled=0).after(0.2, Unroll(10, 4, patience=1)) == Growth(4, math.inf, 0)
