"""Long work is not silent, and short work says nothing."""

from __future__ import annotations

import time

import pytest
from draining import drained

from engine.core import progress
from engine.core.events import Progress


def test_one_long_piece_of_work_ticks():
    events, result = drained(progress.ticking("work", lambda: time.sleep(1.2) or "done"))
    assert result == "done"
    assert len(events) >= 3 and events[-1] == Progress("work", 1, 1)


def test_an_error_in_the_work_comes_out():
    with pytest.raises(ZeroDivisionError):
        drained(progress.ticking("work", lambda: 1 / 0))


def times(monkeypatch, *seconds: float) -> None:
    """What the clock shows at each look."""
    looks = iter(seconds)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(looks))


def test_many_pieces_speak_once_a_second_and_give_the_last(monkeypatch):
    times(monkeypatch, 0.0, 0.6, 1.2, 1.2, 1.8, 2.4, 2.4)  # a piece takes 0.6 s; there is a second look after each word
    events, last = drained(progress.paced("work", "abcd", 4))
    assert last == "d" and events == [Progress("work", 2, 4), Progress("work", 4, 4)]


def test_short_pieces_are_silent(monkeypatch):
    times(monkeypatch, 0.0, 0.3, 0.6, 0.9)
    assert drained(progress.paced("work", "abc", 3)) == ([], "c")
