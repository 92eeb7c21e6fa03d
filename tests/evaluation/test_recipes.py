"""Published recipes are the loops that their papers describe, and each stands under its own name."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from comparing import labelled
from test_arms import AT_RANDOM, MLP, ORDERED, QUICK, arms, made, scores
from test_arms import splits as splits  # a fixture
from torch.func import functional_call

from engine import Context, EvaluationConfig, RunRequest, StudentConfig, figures
from engine.core.events import Scored
from engine.data.source import LabelledSet
from engine.data.transforms.augment import dsa, frepo_augmentation
from engine.evaluation import recipes
from engine.evaluation.baselines import DRAWS
from engine.evaluation.plan import Training
from engine.evaluation.scores import best_by_arm, headlines, summarise
from engine.nets import make_student

COUNT = 300  # two batches of the standard recipe per epoch, the second one incomplete
SMOOTH = StudentConfig(depth=1, width=4, activation="softplus")


@pytest.fixture(scope="module")
def data(splits):
    inputs, targets = splits.train.batch(torch.arange(COUNT))
    return LabelledSet(inputs.double(), targets, lambda inputs: inputs)


def trained(splits, data, protocol, num_steps, rate, batch_size=256, soft=None):
    """Weights (P,) after a recipe, where it started, and the student."""
    student = make_student(SMOOTH, splits.spec)
    theta = student.init(torch.Generator().manual_seed(0)).double()
    training = Training("convnet", "distilled", protocol, (0,), num_steps, batch_size, len(data), 0, lr=rate)
    generator = torch.Generator().manual_seed(7)
    path = recipes.published(protocol).path(student, theta, data, training, generator)
    return list(path), theta, student


def naive(student, theta, data, batch_size, num_steps, augment, loss, optimiser, rate_of):
    """The same written with a network's own parameters and torch.optim."""
    weights = {name: part.clone().requires_grad_() for name, part in student.unflatten(theta).items()}
    generator, order, current = torch.Generator().manual_seed(7), [], None
    for step in range(num_steps):
        if not order:
            order = list(torch.randperm(len(data), generator=generator).split(batch_size))
        inputs, targets = data.batch(order.pop(0))
        made, rate = optimiser(step), rate_of(step)
        if made is not None:
            current = made(list(weights.values()))
        for group in current.param_groups:
            group["lr"] = rate
        current.zero_grad()
        loss(functional_call(student.module, weights, (augment(inputs, generator),)), targets).backward()
        current.step()
    return torch.cat([part.detach().flatten() for part in weights.values()])


@pytest.mark.parametrize("protocol", ["standard", "standard_learned_rate@1"])
def test_the_standard_recipe_is_sgd_with_weight_decay_and_a_new_optimiser_at_half(splits, data, protocol):
    path, theta, student = trained(splits, data, protocol, 8, 0.03)

    def optimiser(step):
        make = lambda weights: torch.optim.SGD(weights, lr=1.0, momentum=0.9, weight_decay=5e-4)  # noqa: E731
        return make if step in (0, 4) else None

    def reached(**changes):
        wanted = {"optimiser": optimiser, "rate_of": lambda step: 0.03 if step < 4 else 0.003} | changes
        return naive(student, theta, data, 256, 8, dsa(), F.cross_entropy, **wanted)

    torch.testing.assert_close(path[-1], reached(), rtol=1e-10, atol=1e-12)
    assert len(path) == 8

    def plain(step):
        return (lambda weights: torch.optim.SGD(weights, lr=1.0, momentum=0.9)) if step in (0, 4) else None

    for changes in ({"optimiser": plain}, {"optimiser": lambda step: None if step else optimiser(0)}):
        assert not torch.allclose(path[-1], reached(**changes), rtol=1e-6), "the test tells the recipes apart"


def test_the_frepo_recipe_is_adam_with_warm_up_and_cosine_on_half_the_squared_error(splits, data):
    path, theta, student = trained(splits, data, "frepo@1", 50, 0.02, 500)  # 50 of 5,000 steps, 5 to warm up

    def rate_of(step):
        if step < 5:
            return 0.02 * step / 5
        return 0.02 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 5) / 45)))

    def loss(outputs, targets):
        return ((outputs - (F.one_hot(targets, 10) - 0.1)) ** 2).sum(1).mul(0.5).mean()

    def optimiser(step):
        return None if step else lambda weights: torch.optim.Adam(weights, lr=1.0)

    expected = naive(student, theta, data, 500, 50, frepo_augmentation(mirrors=False), loss, optimiser, rate_of)
    torch.testing.assert_close(path[-1], expected, rtol=1e-6, atol=1e-7)  # Adam amplifies rounding
    assert path[0].equal(theta), "the first step has rate 0"


@pytest.mark.parametrize(
    ("count", "steps"),
    [(1, 1000), (10, 1000), (40, 2000), (100, 2000), (200, 20_000), (201, 5000), (500, 5000), (2000, 40_000)],
)
def test_frepo_trains_as_long_as_published(count, steps):
    assert recipes.PUBLISHED["frepo"].num_steps(count) == steps


def test_dsa_draws_one_operation_a_batch_with_numbers_of_each_image():
    images = torch.randn(1, 3, 32, 32).expand(16, -1, -1, -1)
    for seed in range(8):
        (step,) = dsa().draw(images.shape, torch.Generator().manual_seed(seed))
        assert len(step.numbers) == 16
        changed = dsa()(images, torch.Generator().manual_seed(seed))
        assert len({tuple(image.flatten().tolist()) for image in changed}) > 1


def test_a_recipe_counts_whole_epochs_and_a_shorter_one_keeps_its_proportions():
    standard = recipes.PUBLISHED["standard"]
    assert standard.num_steps(10) == standard.num_steps(256) == 1000 and standard.num_steps(257) == 2000
    assert recipes.shortened_steps(standard, 257, 30) == 600
    assert recipes.shortened_steps(recipes.PUBLISHED["frepo"], 10, 30) == 300


def test_a_shortened_recipe_says_so_in_its_name():
    assert figures.protocol_name("standard") == "DC/DSA/MTT recipe"
    assert figures.protocol_name("standard@30") == "DC/DSA/MTT recipe, shortened: 300 of 1,000 epochs"
    assert figures.protocol_name("standard_learned_rate@5").endswith("learned rate, shortened: 50 of 1,000 epochs")
    assert figures.protocol_words("frepo@10") == "FRePo recipe, shortened: 10 % of its steps"
    assert figures.protocol_words("as_distilled") == "own recipe"


OWN = "as_distilled"
ALL = ("ours", "standard", "standard_learned_rate", "frepo")


def test_each_recipe_is_a_protocol_of_every_training_set(splits, tmp_path):
    found = scores(splits, tmp_path, made(splits, AT_RANDOM, lr=0.02), recipes=ALL, recipe_percent=1, compare_full=True)
    protocols = ("as_distilled", "ordinary", "standard@1", "standard_learned_rate@1", "frepo@1")
    assert arms(found) == {
        *((arm, protocol) for arm in ("distilled", *DRAWS) for protocol in protocols),
        ("full", "ordinary"),
    }
    told = {score.protocol: score for score in found if score.arm == "random_samples"}
    assert (
        "10 epochs" in told["standard@1"].recipe and "weight decay 0.0005, rate 0.01 and" in told["standard@1"].recipe
    )
    assert told["standard@1"].recipe.endswith("last epoch; shortened: 10 of 1,000 epochs")
    assert "rate 0.02 and" in told["standard_learned_rate@1"].recipe, "the learned rate is the set's, for every arm"
    assert (
        told["frepo@1"].recipe.startswith("Adam, rate 0.0003 after a warm-up") and "10 steps" in told["frepo@1"].recipe
    )
    best = best_by_arm(found, "mlp")
    rows = {(row.arm, row.protocol): row for row in headlines(summarise(found))}
    assert all(row == rows[arm, row.protocol] for arm, row in best.items()), "the best keeps its recipe's name"


def test_the_full_set_is_trained_by_published_recipes_only_if_asked(splits, tmp_path):
    evaluation = QUICK.model_copy(
        update={"recipes": ("frepo",), "recipe_percent": 1, "compare_full": True, "recipes_full": True}
    )
    plan = labelled(made(splits, ORDERED), splits, MLP, evaluation, Context(cache_root=tmp_path)).plan()
    assert {each.protocol for each in plan if each.arm == "full"} == {"ordinary", "frepo@1"}
    assert {each.protocol for each in plan if each.arm == "distilled"} == {"as_distilled", "frepo@1"}
    assert not any(each.purpose == "choose" and each.protocol == "frepo@1" for each in plan)


def test_published_trainings_are_priced_by_steps_of_their_own(splits, tmp_path):
    evaluation = QUICK.model_copy(update={"recipes": ALL, "recipe_percent": 1})
    compared = labelled(made(splits, ORDERED), splits, MLP, evaluation, Context(cache_root=tmp_path))
    units = {unit for each in compared.plan() for unit in compared.work(compared.bench("mlp"), each)}
    assert {"step", "step, standard", "step, standard_learned_rate", "step, frepo"} <= units
    assert "train MLP 256-128 on the distilled set, FRePo recipe" in {compared.words(each) for each in compared.plan()}


def test_recipes_are_the_same_value_in_any_order_and_others_are_refused():
    assert EvaluationConfig(recipes=("frepo", "ours", "frepo")).recipes == ("ours", "frepo")
    assert EvaluationConfig().recipes == ("ours",)
    with pytest.raises(ValueError, match="recipes"):
        RunRequest(evaluation={"recipes": ["best"]})


@pytest.mark.parametrize(("percent", "counts"), [(100, "standard"), (30, "as_distilled")])
def test_without_validation_the_recipe_of_the_paper_counts_at_full_length(percent, counts):
    way = recipes.protocol_of("standard", percent)
    found = [Scored(arm, key, "mlp", 0, "accuracy", 0.5, 1.0) for arm in ("distilled", "start") for key in (OWN, way)]
    found += [Scored("random_real", key, "mlp", 0, "accuracy", 0.5, 1.0) for key in (OWN, "ordinary", way)]
    best = {arm: row.protocol for arm, row in best_by_arm(found, "mlp").items()}
    real = "standard" if counts == "standard" else "ordinary"
    assert best == {"distilled": counts, "start": counts, "random_real": real}
