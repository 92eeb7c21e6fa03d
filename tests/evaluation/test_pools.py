"""Pools: a set is also tested with ConvNets of other widths, depths, norms, activations and poolings."""

from __future__ import annotations

import pytest
from comparing import labelled
from test_arms import AT_RANDOM, MLP, QUICK, made, scores
from test_arms import splits as splits  # a fixture

from engine import POOLS, Context, EvaluationConfig, RunRequest, StudentConfig, UserError, resolve, students_for, titles
from engine.evaluation.plan import architectures
from engine.nets import make_student

OWN = StudentConfig(name="convnet", depth=3, width=32)


def named(key: str, config: StudentConfig = OWN) -> dict[str, StudentConfig]:
    return architectures(config, EvaluationConfig(students=(key,)))


@pytest.mark.parametrize(
    ("key", "option", "values"),
    [
        ("pool:width", "width", [64, 128, 256]),  # 32 is its own
        ("pool:depth", "depth", [1, 2, 4]),
        ("pool:norm", "norm", ["none", "batch", "layer", "group"]),
        ("pool:activation", "activation", ["sigmoid", "leaky_relu", "swish"]),
        ("pool:pooling", "pooling", ["none", "max"]),
    ],
)
def test_members_of_a_pool_differ_from_the_runs_own_convnet_in_one_setting(key, option, values):
    own, *others = named(key).values()
    assert own == OWN
    assert others == [OWN.model_copy(update={option: value}) for value in values]
    assert list(named(key))[1:] == [f"convnet, {option} {value}" for value in values]


def test_pools_are_those_of_the_published_code():
    assert {name: len(pool.values) for name, pool in POOLS.items()} == {
        "pool:width": 4,
        "pool:depth": 4,
        "pool:norm": 5,
        "pool:activation": 4,
        "pool:pooling": 3,
    }


def test_a_pool_beside_another_network_has_all_its_members_once():
    found = architectures(MLP, EvaluationConfig(students=("pool:depth", "pool:depth", "convnet")))
    assert list(found) == ["mlp", *(f"convnet, depth {depth}" for depth in (1, 2, 3, 4))]


def test_each_member_has_scores_under_its_own_name(splits, tmp_path):
    found = scores(splits, tmp_path, made(splits, AT_RANDOM), students=("pool:pooling",))
    own = {(score.arm, score.protocol) for score in found if score.student == "mlp"}
    for key in ("convnet, pooling none", "convnet, pooling max", "convnet, pooling average"):
        mine = [score for score in found if score.student == key]
        assert {(score.arm, score.protocol) for score in mine} == own
    assert len({score.value for score in found if score.seed == 0 and score.arm == "distilled"}) > 3


def test_members_are_in_the_plan_and_each_starts_from_its_own_weights(splits, tmp_path):
    evaluation = QUICK.model_copy(update={"students": ("pool:activation",)})
    compared = labelled(made(splits, AT_RANDOM), splits, MLP, evaluation, Context(cache_root=tmp_path))
    assert len({training.student for training in compared.plan()}) == 5
    one, other = (compared.bench(f"convnet, activation {name}") for name in ("swish", "sigmoid"))
    assert one.student.num_params == other.student.num_params
    assert not one.start(0).equal(other.start(0))


def test_a_member_has_a_title():
    assert titles.architecture("convnet, depth 2") == "ConvNet, depth 2"
    assert titles.architecture("convnet, activation leaky_relu") == "ConvNet, activation leaky relu"
    assert titles.architecture("pool:depth") == "ConvNets of several depths"
    assert titles.architecture("gone") == "gone"


def test_a_depth_that_the_images_do_not_allow_is_refused_in_a_sentence():
    request = RunRequest(evaluation={"students": ["pool:depth"]})
    with pytest.raises(UserError, match=r"ConvNet, depth 4: ConvNet of depth 4 halves the image 4 times, but 8 x 8"):
        resolve(request)
    resolve(RunRequest(evaluation={"students": ["pool:norm", "pool:activation"]}))


def test_an_unknown_pool_is_refused_with_the_choices():
    with pytest.raises(UserError, match=r"no student 'pool:colour'\. Choose from: .*pool:pooling\."):
        resolve(RunRequest(evaluation={"students": ["pool:colour"]}))
    assert not any(key in POOLS for key in students_for("prices"))


def test_swish_is_an_input_times_its_sigmoid(splits):
    layers = make_student(OWN.model_copy(update={"activation": "swish"}), splits.spec).module
    assert "SiLU" in {type(layer).__name__ for layer in layers}


def test_other_architectures_are_measured_on_all_images_unless_fewer_are_asked_for():
    assert EvaluationConfig().other_images == 0
