"""Runs that start from a result of another form, and requests that cannot."""

from __future__ import annotations

import pytest
from contract import CASES
from draining import drained

from engine import METHODS, SOURCES, Context, RunRequest
from engine.core.config import DataConfig, checked
from engine.core.errors import ConfigError
from engine.data.source import TaskSpec
from engine.run import resolve

OF_LABELS = {case.name: case for case in CASES if "raw_rates" in case.learned and case.source == "digits"}


@pytest.fixture(scope="module")
def splits():
    return drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]


@pytest.fixture(scope="module")
def results(splits):
    """A result of a poster, of bases and of canvases."""
    made = {}
    for name in ("podd", "rat_bptt low_rank", "rat_bptt canvas"):
        case = OF_LABELS[name]
        config = checked(METHODS[case.method].config, case.config | {"outer_steps": 1}, name)
        made[name] = drained(METHODS[case.method].distill(splits, config, Context(seed=1)))[1]
    return made


@pytest.mark.parametrize("result", ["podd", "rat_bptt low_rank", "rat_bptt canvas"])
@pytest.mark.parametrize("name", OF_LABELS)
def test_every_method_and_form_starts_from_the_result_of_any_form(name, result, splits, results):
    case = OF_LABELS[name]
    model = METHODS[case.method].config
    values = model.begun_from_result(case.config | {"outer_steps": 1, "num_validations": 0})
    config = checked(model, values | ({"ipc": 1} if "ipc" in values and case.method != "podd" else {}), name)
    assert config.starts_from == "result"
    if "canvas" in name and result == "rat_bptt low_rank":
        with pytest.raises(ConfigError, match="has 2 samples of class '0', fewer than the 4 needed"):
            drained(METHODS[case.method].distill(splits, config, Context(start=results[result])))
        return
    synthetic = drained(METHODS[case.method].distill(splits, config, Context(start=results[result])))[1]
    assert synthetic.step == 1 and synthetic.num_samples == config.size(splits.spec).num_samples


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"stored_as": "poster"}, "starts from tiles, .* Set config.poster.poster_from to 'result'"),
        ({"stored_as": "low_rank"}, "starts from real, .* Set config.low_rank.bases_from to 'result'"),
        ({}, "starts from noise, .* Set config.images_from to 'result'"),
    ],
)
def test_a_start_that_is_not_used_is_refused_with_the_option_to_set(config, message):
    with pytest.raises(ConfigError, match=message):
        resolve(RunRequest(source="digits", method="rat_bptt", config=config, start="0001"))


def test_a_pair_that_cannot_work_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="cut out of a canvas at random; choose pixels, poster or low_rank here"):
        checked(METHODS["bilevel"].config, {"stored_as": "canvas"}, "config")


def test_labelled_bases_are_cautioned_or_refused_where_small_images_stored_whole_would_take_less(tmp_path):
    spec = TaskSpec("classification", (1, 8, 8), 10, tuple("abcdefghij"))

    def config(**low_rank):
        return METHODS["rat_bptt"].config(stored_as="low_rank", low_rank=low_rank)

    said = config(ipc=2, num_bases=16, basis_size=6).caution(spec)
    assert said.startswith("The bases and coefficients of 20 small images take 932 numbers; stored whole, the small ")
    assert said.endswith("would take 720. Use fewer bases or more images.")
    config(ipc=2, num_bases=16, basis_size=6).check(spec, tmp_path)
    assert config(ipc=5, num_bases=10, basis_size=8).caution(spec) == ""
    assert METHODS["rat_bptt"].config().caution(spec) == ""
    with pytest.raises(ConfigError, match="take 1,436 numbers, more than the 1,280 of the images at full size"):
        config(ipc=2, num_bases=25, basis_size=6).check(spec, tmp_path)
