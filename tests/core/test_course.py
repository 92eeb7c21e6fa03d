"""One bar from the start of a run to its end: it never goes back, its time left does not jump, and it counts the
comparison.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.core.course import Course, Outlook
from engine.figures import formats

RECORDED = Path(__file__).parents[1] / "reference" / "course.jsonl"
"""The log of a quick run on digits, on a busy machine: 800 outer steps, then 35 trainings. Times count from 1000."""


def replayed(records: list[dict]) -> list[tuple[float, str, Outlook]]:
    """(seconds since the start, kind of line, what the bar shows) after each line."""
    course, found = Course(), []
    for record in records:
        course.apply(record)
        found.append((record["time"] - 1000, record["kind"], course.outlook()))
    return found


@pytest.fixture(scope="module")
def recorded():
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


@pytest.fixture(scope="module")
def shown(recorded):
    return replayed(recorded)


def test_the_bar_never_goes_back_and_ends_full(shown):
    shares = [outlook.share for _, _, outlook in shown]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert [outlook.part for _, kind, outlook in shown if kind in ("measured", "finished")][-1] == "done"


def test_time_left_falls_without_jumps(shown):
    """Within a second it never rises by more than a tenth of itself once steps are under way."""
    known = [(when, outlook.seconds_left) for when, _, outlook in shown if outlook.seconds_left is not None]
    settled = [(when, left) for when, left in known if when > known[0][0] + 8]
    for when, left in settled:
        later = [other for moment, other in settled if when < moment <= when + 1]
        assert all(other <= 1.1 * left + 1 for other in later), when
    assert len(settled) > 100 and known[-1][1] == 0


def test_the_share_at_the_end_of_distilling_counts_the_comparison(shown):
    total = shown[-1][0]
    when, share = [(when, outlook.share) for when, kind, outlook in shown if kind == "measured"][-1]
    assert share == pytest.approx(when / total, abs=0.15) and share < 0.9


def test_without_a_planned_comparison_the_bar_is_that_of_the_steps(recorded):
    """Logs of versions that planned none still read."""
    old = [line for line in recorded if line["kind"] != "planned" and line.get("part") != "compare"]
    shares = [outlook.share for _, _, outlook in replayed(old)]
    assert shares == sorted(shares) and max(shares[:-1]) > 0.95


def test_a_run_that_goes_on_counts_the_work_before(recorded):
    lines = [{"kind": "rewound", "time": 1000.0, "seconds": 500.0}]
    lines += [line for line in recorded if line["kind"] in ("started", "measured", "planned")]
    assert replayed(lines)[-1][2].share > 0.9


def test_epochs_of_a_recording_have_a_pace_and_those_from_the_cache_do_not_count():
    def told(epoch, time, cached=False):
        return {"kind": "teacher_epoch", "time": time, "epoch": epoch, "num_epochs": 4, "cached": cached}

    lines = [{"kind": "claimed", "time": 1000.0}, told(1, 1000.0, cached=True), told(2, 1006.0)]
    (*_, (_, _, outlook)) = replayed(lines)
    assert outlook.part == "prepare" and outlook.seconds_left == pytest.approx(12.0)
    distils = [{"kind": "started", "time": 1000.0, "total_steps": 10}, *lines]
    (*_, (_, _, outlook)) = replayed(distils)
    assert outlook.seconds_left is None and 0 < outlook.share <= 0.3, "nothing is known of the steps yet"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a few seconds"),
        (12, "about 10 s"),
        (42, "about 40 s"),
        (58, "about 1 min"),
        (110, "about 2 min"),
        (1500, "about 25 min"),
        (5300, "about 1.5 h"),
        (90_000, "about 25 h"),
        (400_000, "about 5 days"),
    ],
)
def test_time_left_is_rounded_to_one_unit(seconds, text):
    assert formats.about(seconds) == text
