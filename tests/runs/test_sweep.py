"""A sweep: typed values become requests that differ in the swept options alone, or one sentence says why not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from engine.core.errors import ConfigError
from engine.runs.sweep import MAX_EXTREMES, MAX_RUNS, expand, extremes


def request(**changes) -> engine.RunRequest:
    return engine.request_from_preset("digits", "bilevel", "quick", **changes)


def test_each_value_becomes_a_run_and_nothing_else_changes():
    base = request(name="rates", seed=4)
    found = expand(base, {"config.outer_lr": ["0.01", " 0.03 "]})
    assert [each.config["outer_lr"] for each in found] == [0.01, 0.03]
    assert [each.name for each in found] == ["rates · Outer learning rate 0.01", "rates · Outer learning rate 0.03"]
    changed = {"config", "name", "sweep", "preset"}
    for each in found:
        assert each.model_dump(exclude=changed) == base.model_dump(exclude=changed)
        assert {**each.config, "outer_lr": base.config["outer_lr"]} == base.config
        assert each.preset == ""


def test_the_runs_of_a_sweep_share_an_id_that_no_other_has():
    first, second = (expand(request(), {"seed": ["0", "1"]}) for _ in range(2))
    assert len({each.sweep for each in first}) == 1 != len({each.sweep for each in first + second})
    assert first[0].sweep


def test_two_options_make_every_pair_and_the_second_varies_fastest():
    found = expand(request(), {"data.zca": ["off", "on"], "config.student.name": ["mlp", "convnet"]})
    pairs = [(each.data.zca, engine.resolve(each)[1].student.name) for each in found]
    assert pairs == [(False, "mlp"), (False, "convnet"), (True, "mlp"), (True, "convnet")]
    assert found[-1].name.endswith("ZCA whitening on, Student convnet")


@pytest.mark.parametrize(
    ("option", "typed", "values"),
    [
        ("config.ipc", ["1", "02"], [1, 2]),
        ("config.outer_lr", ["1e-3", ".5"], [0.001, 0.5]),
        ("config.learn_rates", ["true", "no"], [True, False]),
        ("config.labels", ["soft", "hard"], ["soft", "hard"]),
        ("evaluation.students", ["convnet", "convnet+mlp"], [("convnet",), ("convnet", "mlp")]),
        ("data.dsa_operations", ["flip", "flip+scale"], [("flip",), ("flip", "scale")]),
        ("seed", ["0", "2147483647"], [0, 2**31 - 1]),
    ],
)
def test_values_are_read_by_the_options_type(option, typed, values):
    found = expand(request(), {option: typed})
    part, _, name = option.partition(".")
    got = [getattr(each, part) for each in found]
    if part == "config":
        got = [inner[name] for inner in got]
    elif name:
        got = [getattr(inner, name) for inner in got]
    assert got == values


def test_equal_values_and_empty_ones_count_once_and_not_at_all():
    assert len(expand(request(), {"config.outer_lr": ["0.01", "", "1e-2", " "]})) == 1


def test_a_sweep_over_seeds_keeps_the_preset():
    assert {each.preset for each in expand(request(), {"seed": ["1", "2"]})} == {"quick"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"config.outer_lr": ["0.1", "fast"]}, "^'fast' is not a number for Outer learning rate.$"),
        ({"config.ipc": ["1", "zwei"]}, "^'zwei' is not a whole number for Images per class.$"),
        ({"data.dsa_operations": ["flip+blur"]}, "^'flip\\+blur' is none of color, .* and rotate for DSA operations.$"),
        ({"data.zca": ["maybe"]}, "^'maybe' is neither on nor off for ZCA whitening.$"),
        ({"config.outer_lr": ["0.1", "5000"]}, "With Outer learning rate 5000: .* less than or equal to 10"),
        ({"config.images_from": ["dreams"]}, "^'dreams' is none of noise, real and result for Images start from.$"),
        (
            {"config.ipc": ["3"], "config.num_batches": ["2"]},
            r"With Images per class 3, Batches \(S\) 2: .* must divide 3",
        ),
        ({"evaluation.students": ["resnet99"]}, "With Other architectures resnet99: .* no student 'resnet99'"),
        ({"seed": ["-1"]}, "With Seed -1: "),
        ({"config.nothing": ["1"]}, "no option 'config.nothing'"),
        ({"config.student": ["mlp"]}, "no option 'config.student'"),
        ({"config.ipc.more": ["1"]}, "no option 'config.ipc.more'"),
        ({"name": ["a"]}, "no option 'name'"),
        ({"seed": ["", " "]}, "no value for Seed yet"),
        ({}, "one or two options, not 0"),
        ({"seed": ["1"], "config.ipc": ["1"], "data.zca": ["on"]}, "one or two options, not 3"),
        ({"seed": [str(seed) for seed in range(MAX_RUNS + 1)]}, "make 51 runs"),
        ({"seed": list("12345678"), "config.previews": list("1234567")}, "make 56 runs"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence_that_names_it(values, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        expand(request(), values)
    assert "\n" not in str(caught.value)


def test_the_request_that_was_given_stays_as_it_is():
    base = request()
    before = base.model_dump_json()
    expand(base, {"config.student.depth": ["2", "3"], "config.ipc": ["1", "2"]})
    assert base.model_dump_json() == before


def test_long_names_are_cut_in_front_of_what_tells_the_runs_apart():
    found = expand(request(name="n" * 120), {"config.outer_lr": ["0.01", "0.02"]})
    assert all(len(each.name) <= 120 for each in found)
    assert [each.name[-22:] for each in found] == ["ter learning rate 0.01", "ter learning rate 0.02"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"config.ipc": ["2", "9", "1"]}, [(9, "mlp"), (1, "mlp")]),
        ({"config.ipc": ["2", "9", "1"], "seed": ["0"]}, [(9, "mlp"), (1, "mlp")]),
        ({"config.student.name": ["mlp", "convnet"]}, [(1, "mlp"), (1, "convnet")]),
        (
            {"config.student.name": ["mlp", "convnet"], "config.ipc": ["1", "2", "3"]},
            [(3, "mlp"), (3, "convnet"), (1, "mlp"), (1, "convnet")],
        ),
    ],
)
def test_the_extremes_of_a_sweep_have_each_number_at_its_least_or_greatest(values, found):
    base = request()
    base = base.model_copy(update={"config": base.config | {"student": {"name": "mlp"}}})
    asked = [engine.resolve(each)[1] for each in extremes(expand(base, values))]
    assert [(config.ipc, config.student.name) for config in asked] == found


def test_two_numbers_have_four_extremes_and_no_sweep_has_more():
    corners = extremes(expand(request(), {"config.ipc": ["1", "2", "3"], "config.passes": ["4", "5", "6"]}))
    assert [(each.config["ipc"], each.config["passes"]) for each in corners] == [(3, 6), (3, 4), (1, 6), (1, 4)]
    sizes = {"config.student.name": ["mlp", "convnet", "simpleconvnet"], "config.ipc": ["1", "2"]}
    assert len(extremes(expand(request(), sizes))) == MAX_EXTREMES


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(max_size=12), max_size=4),
    st.sampled_from(["config.outer_lr", "config.ipc", "data.zca", "config.labels", "seed"]),
)
def test_whatever_is_typed_gives_requests_or_a_sentence(texts, option):
    try:
        found = expand(request(), {option: texts})
    except ConfigError:
        return
    assert 1 <= len(found) <= len(texts)
    for each in found:
        engine.resolve(each)


def test_a_value_within_a_group_keeps_the_methods_other_defaults():
    request = engine.RunRequest(source="simulated_prices", method="ohlc")
    first, second = expand(request, {"config.student.depth": ["1", "2"]})
    assert first.config["student"] | {"depth": 2} == second.config["student"]
    assert (second.config["student"]["name"], second.config["student"]["width"]) == ("lstm", 32)
