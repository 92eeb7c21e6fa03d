"""Cards list what the recorded runs of each method lose in fewer bits per value."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import widths

CARDS = Path(__file__).parents[2] / "engine" / "methods"
HEADING = "### In fewer bits per value"


@pytest.mark.parametrize("method", sorted({line["method"] for line in widths.recorded()}))
def test_cards_list_the_recorded_widths(method):
    text = (CARDS / method / "README.md").read_text()
    part = text.partition(HEADING)[2].partition("\n## ")[0].partition("\n### ")[0]
    assert widths.card(method) in part, f"put tests.benchmarks.widths.card('{method}') there"


def test_losses_are_those_against_the_same_sets_in_float32():
    line = {"source": "digits", "method": "bilevel", "preset": "quick", "is_fine_tuned": False, "num_bytes": 2610}
    exact = [line | {"seed": seed, "bits": 32, "test": [score, None, 1]} for seed, score in ((0, 0.9), (1, 0.8))]
    real = {"test": [0.6, 0.02, 3]}
    rounded = line | {"seed": 1, "bits": 8, "num_bytes": 698, "test": [0.79, None, 1], "random_real": real}
    *_, last = widths.shown([*exact, rounded])
    assert last == "| digits | bilevel | quick | 8 | 698 |  | 79.0 (n = 1) | +1.0 | 60.0 (n = 1) |"


def test_real_data_measured_once_for_all_seeds_count_their_students():
    line = {"source": "digits", "method": "bilevel", "preset": "quick", "is_fine_tuned": False, "num_bytes": 698}
    common = line | {"bits": 8, "test": [0.8, None, 1], "random_real": {"test": [0.6, 0.02, 3]}}
    *_, last = widths.shown([common | {"seed": seed} for seed in (0, 1)])
    assert last.endswith("| 60.0 ± 2.0 (3 students) |")
