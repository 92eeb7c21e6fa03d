"""Truncation windows: within their limits, drawn from the given generator alone, and spread as their names say."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.core.context import Context
from engine.meta.windows import Growth, Stage, Unroll, Window, WindowSchedule, adapted, window_at

SCHEDULES = [name for name in get_args(WindowSchedule) if name != "adaptive"]  # which has a function of its own


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


# ---- adaptive ----


def drawn(number, norms, unroll, count=400):
    generator = torch.Generator().manual_seed(0)
    return [adapted(Stage(number), unroll, torch.tensor(norms), generator) for _ in range(count)]


def test_adaptive_windows_start_early_where_gradients_are_long_and_late_where_they_are_short():
    unroll, norms = Unroll(10, 3, spread=1), [5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    early, late = drawn(1, norms, unroll), drawn(3, norms, unroll)
    assert sum(window.burn_in == 0 for window in early) > 350, "exp(5) of exp(5) + 9"
    assert sum(window.burn_in == 8 for window in late) > 350 and {window.length for window in late} == {2}
    middle = drawn(2, norms, unroll)
    assert {window.length for window in middle} == {4} and {window.burn_in for window in middle} == set(range(7))


def test_early_adaptive_windows_are_longer_where_gradients_change_more():
    """W - d + 2 d rank / T, the rank among all changes; the published code counts those that are smaller."""
    norms, unroll = [0.0, 30.0, 30.25, 31.25, 33.25, 33.5], Unroll(6, 3, spread=2)
    changes = [0.0] + [abs(after - before) for before, after in itertools.pairwise(norms)]
    expected = {
        Window(min(start, 6 - length), length)
        for start in range(6)
        for length in [3 - 2 + int(2 * 2 * sorted(changes).index(changes[start]) / 6)]
    }
    assert set(drawn(1, norms, unroll)) <= expected and len(set(drawn(1, norms, unroll))) > 1


@given(unroll=unrolls(), number=st.integers(1, 3), seed=st.integers(0, 100))
def test_every_adaptive_window_lies_inside_the_unroll(unroll, number, seed):
    spread = min(unroll.window - 1, unroll.length - unroll.window)
    unroll = dataclasses.replace(unroll, spread=spread)
    generator = torch.Generator().manual_seed(seed)
    window = adapted(Stage(number), unroll, torch.rand(unroll.length, generator=generator), generator)
    assert window.burn_in >= 0 and sum(window) <= unroll.length and abs(window.length - unroll.window) <= spread


def test_stages_change_once_accuracy_has_stalled_for_a_share_of_the_training():
    """Below 1.5 points per epoch for 0.15 T epochs, then below 1 for 0.125 T."""
    unroll, stage, numbers = Unroll(40, 10, epoch_steps=2, spread=2), Stage(), []
    for step in range(80):
        gained = 0.02 * (step // 2) if step < 20 else 0.18 + (0.012 * (step // 2 - 9) if step < 40 else 0.12)
        stage = stage.after(gained, step, unroll)
        if step % 2:
            numbers.append(stage.number)
    first, second = numbers.index(2), numbers.index(3)
    assert first == 10 + 6 - 1, "ten epochs gained 2 points each; 0.15 of 40 is 6"
    assert second == 20 + 5 - 1, "ten more gained 1.2 points each; 0.125 of 40 is 5"
