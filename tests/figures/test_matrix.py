"""The map of architectures and arms holds each score once, in words that fit, and nothing where nothing was
measured.
"""

from __future__ import annotations

import csv
import io

import pytest

from engine import figures
from engine.core.events import Scored
from engine.evaluation.scores import across


def scored(student, arm, values):
    return [
        Scored(arm=arm, protocol="ordinary", student=student, seed=seed, metric="accuracy", value=value, seconds=2.0)
        for seed, value in enumerate(values)
    ]


CELLS = across(
    scored("mlp", "full", [0.9])
    + scored("mlp", "distilled", [0.7, 0.8])
    + scored("mlp", "distilled_hard", [0.6, 0.7])
    + scored("convnet", "distilled", [0.5, 0.6])
    + scored("convnet", "distilled_ema", [0.52, 0.62])
    + scored("convnet", "random_real", [0.3, 0.3])
)


def test_arms_stand_in_their_order_and_those_of_one_architecture_alone_are_left_out():
    assert figures.matrix_arms(CELLS) == ["distilled", "distilled_ema", "random_real", "full"]


def test_a_cell_holds_mean_deviation_and_number_of_students():
    (drawn,) = figures.matrix(CELLS, ["MLP <b>", "ConvNet-D3"]).data
    assert [list(line) for line in drawn.text] == [
        ["<b>75.0</b><br>± 7.1<br>n = 2", "", "", "<b>90.0</b><br>n = 1"],
        ["<b>55.0</b><br>± 7.1<br>n = 2", "<b>57.0</b><br>± 7.1<br>n = 2", "<b>30.0</b><br>± 0.0<br>n = 2", ""],
    ]
    assert [value is None for value in drawn.z[0]] == [False, True, True, False]
    assert list(drawn.y) == ["MLP &lt;b&gt;", "ConvNet-D3"]
    assert max(len(line) for name in drawn.x for line in name.split("<br>")) <= 10


def test_ink_of_the_cells_is_the_pages():
    (drawn,) = figures.matrix(CELLS, ["MLP", "ConvNet-D3"]).data
    assert drawn.textfont.color == figures.palette.PALETTES["page"].ink


def test_the_file_has_a_line_a_cell_and_no_spread_of_one_student():
    lines = list(csv.DictReader(io.StringIO(figures.matrix_csv(CELLS))))
    assert [(line["architecture"], line["trained on"]) for line in lines] == [
        ("mlp", "distilled"),
        ("mlp", "full"),
        ("convnet", "distilled"),
        ("convnet", "distilled_ema"),
        ("convnet", "random_real"),
    ]
    assert (
        float(lines[0]["mean"]) == pytest.approx(0.75) and lines[0]["n"] == "2" and lines[0]["protocol"] == "ordinary"
    )
    assert lines[1]["std"] == lines[1]["low"] == "" and float(lines[1]["mean"]) == 0.9


def test_every_arm_and_protocol_has_a_name_and_a_colour_of_its_own():
    palette = figures.palette.PALETTES["light"]
    assert figures.arm_name("distilled_ema") == "Distilled, moving average"
    assert figures.arm_name("distilled_raw") == "Distilled, without averaging"
    assert figures.protocol_name("unaugmented") == "Own recipe, no augmentation"
    together = ["distilled", "distilled_ema", "distilled_hard", "random_real", "kmeans_real", "full"]
    assert len({palette.arm(arm) for arm in together}) == len(together)


def test_notes_are_those_of_the_protocols_that_were_used():
    rows = [row for arms in CELLS.values() for row in arms.values()]
    assert figures.protocol_notes(rows) == "Standard training: shuffled minibatches from a fresh initialisation."
