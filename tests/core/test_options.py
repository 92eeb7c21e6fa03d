"""Options know when they have an effect, also under options of other configs."""

from __future__ import annotations

from typing import Literal

import pytest

from engine.core.config import checked
from engine.core.errors import ConfigError
from engine.core.options import Condition, Config, bounds, in_effect, numbers, option, option_like, option_of, unless


class Toy(Config):
    kind: Literal["a", "b", "c"] = option("a", "Which")
    only_b: int = option(1, "Of b", low=0, high=9, unit="steps", when=("kind", "b"))
    b_or_c: int = option(2, "Of both", when=("kind", ("b", "c")))
    not_a: int = option(3, "Of all but a", when=unless("kind", "a"))
    augmented: bool = option(
        True, "Of another config", when=[unless("data.augmentation", "none"), Condition("kind", ("b",))]
    )


class Scaled(Config):
    kind: Literal["a", "b"] = option("a", "Which")
    speed: float = option(2.0, "By kind", low=0.1, high=100.0, scale=("kind", {"b": 10.0}))


class Like(Config):
    only_b: int = option_like(Toy, "only_b", 5)


def unmet(name, place="", **values):
    return option_of(Toy.model_fields[name]).unmet(place, values)


def test_one_value_several_values_and_all_but_one():
    assert unmet("only_b", kind="b") is None and unmet("only_b", kind="c") == Condition("kind", ("b",))
    assert unmet("b_or_c", kind="c") is None and unmet("b_or_c", kind="a") is not None
    assert unmet("not_a", kind="c") is None and unmet("not_a", kind="a") is not None


def test_every_condition_must_hold_and_the_first_that_does_not_is_named():
    values = {"config.kind": "a", "data.augmentation": "none"}
    option_ = option_of(Toy.model_fields["augmented"])
    assert option_.unmet("config", values).path == "data.augmentation"
    assert option_.unmet("config", values | {"data.augmentation": "flip"}).path == "kind"
    assert option_.unmet("config", {"config.kind": "b", "data.augmentation": "flip"}) is None


def test_a_condition_on_an_option_that_is_not_known_counts_as_met():
    assert unmet("augmented", kind="b") is None


def test_the_values_in_effect_are_those_whose_conditions_hold():
    assert in_effect(Toy()) == {"kind": "a"}
    assert in_effect(Toy(kind="c")) == {"kind": "c", "b_or_c": 2, "not_a": 3}


def test_an_option_like_another_differs_in_its_default_alone():
    one, other = Toy.model_fields["only_b"], Like.model_fields["only_b"]
    assert (other.default, other.description, option_of(other)) == (5, one.description, option_of(one))
    assert other.metadata == one.metadata


def test_a_condition_reads_as_what_a_form_says():
    assert Condition("kind", ("a", "b", "c")).words("Kind", str.upper) == "Kind A, B or C"
    assert unless("kind", "a").words("Kind", str.upper) == "Kind other than A"
    assert unless("students", ()).words("Other architectures", str) == "a choice of Other architectures"


def test_lists_and_tuples_are_the_same_choice():
    assert not unless("students", ()).holds([]) and unless("students", ()).holds(["mlp"])


def test_a_scaled_default_depends_on_another_option_and_a_given_number_wins():
    assert Scaled().speed == 2.0 and Scaled(kind="b").speed == 20.0
    assert Scaled(kind="b", speed=2.0).speed == 2.0 and Scaled(speed=3.0).speed == 3.0


def test_what_a_request_has_to_name_gives_the_same_config():
    for config in (Scaled(), Scaled(kind="b"), Scaled(kind="b", speed=2.0), Scaled(speed=20.0)):
        assert Scaled(**config.chosen()) == config
    assert Scaled().chosen() == {} and Scaled(kind="b", speed=2.0).chosen() == {"kind": "b", "speed": 2.0}


class Listed(Config):
    strengths: tuple[float, ...] = numbers((0.4,), "Strengths", low=0.0, high=1.0)
    sides: tuple[int, ...] = numbers((), "Sides", low=3, high=31)


@pytest.mark.parametrize("given", [0.5, [0.5], "0.5", (0.5,), "0.5, 0.5"])
def test_a_list_of_one_number_is_written_as_a_number_as_before_there_were_lists(given):
    made = Listed(strengths=given)
    assert made.strengths == (0.5,) and made.model_dump(mode="json")["strengths"] == 0.5
    assert Listed.model_validate(made.model_dump(mode="json")) == made and made.chosen() == {"strengths": 0.5}


def test_a_list_of_numbers_keeps_their_order_and_each_is_checked():
    assert Listed(strengths="0.4, 0.1,1", sides="5,3").model_dump(mode="json") == {
        "strengths": [0.4, 0.1, 1.0],
        "sides": [5, 3],
    }
    assert Listed().sides == () and bounds(Listed.model_fields["sides"]) == (3, 31)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"strengths": "0.2, 2"}, "strengths: give numbers from 0 to 1, not 2"),
        ({"strengths": ""}, "strengths: give at least one number"),
        ({"strengths": "strong"}, "strengths.0: input should be a valid number"),
        ({"sides": list(range(3, 12))}, "sides: give at most 8 numbers, not 9"),
        ({"sides": 3.5}, "sides.0: input should be a valid integer"),
    ],
)
def test_a_wrong_list_of_numbers_is_refused_in_a_sentence(values, said):
    with pytest.raises(ConfigError, match=said):
        checked(Listed, values, "test")
