"""The plan lists what a comparison does: every training, its steps, what it is measured on, and what it costs."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch
from comparing import forecasts, labelled
from draining import drained
from price_windows import MLP as FORECASTER
from price_windows import candle_set, window_splits
from test_arms import AT_RANDOM, MLP, ORDERED, QUICK, made
from test_arms import splits as splits  # a fixture

from engine import Context
from engine.core.events import Progress, Scored
from engine.evaluation import bench, comparison, supervised
from engine.evaluation import labelled as comparisons
from engine.evaluation.baselines import DRAWS
from engine.evaluation.comparison import planned_seconds, price, run
from engine.evaluation.plan import num_trainings
from engine.synthetic.base import Training

WIDE = QUICK.model_copy(update={"students": ("convnet",), "without_augmentation": True, "compare_full": True})


@pytest.mark.parametrize(("training", "soft"), [(ORDERED, True), (AT_RANDOM, True), (AT_RANDOM, False)])
def test_the_plan_is_what_a_comparison_of_labelled_samples_does(splits, tmp_path, monkeypatch, training, soft):
    """Companions, labels made hard, training without augmentation, other architectures and the full set included."""
    done = {"mlp": Counter(), "convnet": Counter()}
    unequal = dataclasses.replace(splits, validation=splits.validation.subset(torch.arange(30)))
    synthetic = made(splits, training, soft=soft)
    synthetic.beside = (made(splits, training, soft=soft, seed=1),)
    compared = labelled(synthetic, unequal, MLP, WIDE, Context(cache_root=tmp_path))
    plan, costs = compared.plan(), {}
    drained(planned_seconds(compared, plan, costs, 0.0))  # so that nothing is timed while calls are counted

    def counted(owner, function, count):
        real = getattr(owner, function)

        def call(*arguments, **options):
            count(*arguments)
            return real(*arguments, **options)

        monkeypatch.setattr(owner, function, call)

    def stepped(student, unit, number):
        done[student.name][unit] += number

    def trained(student, theta, data, recipe, *rest):
        stepped(student, "full step" if data is unequal.train else "step", recipe.num_steps)

    compared.real.cache_clear()
    counted(supervised, "ordinary", trained)
    counted(comparisons, "inner_loop", lambda student, *rest: stepped(student, "step as distilled", 4))
    counted(supervised, "at_random", lambda student, *rest: stepped(student, "step as distilled", rest[4]))
    counted(comparisons, "measured", lambda net, parts, *_: stepped(net.func, "sample", sum(map(len, parts.values()))))
    for arm, draw in DRAWS.items():
        monkeypatch.setitem(DRAWS, arm, lambda *rest, arm=arm, draw=draw: done["draws"].update([arm]) or draw(*rest))
    done["draws"] = Counter()
    events = list(run(compared, plan, costs))

    for student in ("mlp", "convnet"):
        planned = Counter()
        for training in plan:
            if training.student == student:
                planned += compared.work(compared.bench(student), training)
        assert done[student] == {unit: count for unit, count in planned.items() if not unit.startswith("draw")}
    scored = {(s.student, s.arm, s.protocol, s.seed) for s in events if isinstance(s, Scored)}
    assert scored == {(t.student, t.arm, t.protocol, t.seed) for t in plan if t.purpose == "score"}
    draws = {(t.student, t.arm, t.protocol, t.seed) for t in plan if t.draw}
    assert done["draws"] == Counter(arm for _, arm, *_ in draws), "students of one draw in a row share it"


def test_a_plan_counts_every_training_and_progress_reaches_all_of_them(splits, tmp_path):
    compared = labelled(made(splits, ORDERED), splits, MLP, QUICK, Context(cache_root=tmp_path))
    plan = compared.plan()
    told = [event for event in run(compared, plan) if isinstance(event, Progress) and event.part == "compare"]
    assert {event.total for event in told} == {num_trainings(plan)}
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert told[-1].done == num_trainings(plan) - 1, "the last message is of the last training"
    again = labelled(made(splits, ORDERED), splits, MLP, QUICK, Context(cache_root=tmp_path))
    cached = [event for event in run(again, plan) if isinstance(event, Scored) and event.cached]
    assert cached and {event.arm for event in cached} == set(DRAWS)


def test_rates_are_chosen_before_what_is_scored_with_them(splits, tmp_path):
    for synthetic in (made(splits, ORDERED), made(splits, AT_RANDOM)):
        plan = labelled(synthetic, splits, MLP, WIDE, Context(cache_root=tmp_path)).plan()
        chosen = set()
        for training in plan:
            if training.purpose == "choose":
                chosen.add(training.choice)
            elif training.choice:
                assert training.choice in chosen and training.lr is None


def test_a_training_is_all_that_its_cache_key_needs(splits, tmp_path):
    compared = labelled(made(splits, AT_RANDOM), splits, MLP, WIDE, Context(cache_root=tmp_path))
    shared = [training for training in compared.plan() if training.is_shared]
    keys = {bench.cache_path(compared.bench(training.student), training.key()) for training in shared}
    assert len(keys) == len(set(shared)) == len(shared)


def test_what_the_cache_has_is_planned_to_take_no_time(splits, tmp_path):
    def seconds():
        compared = labelled(made(splits, ORDERED), splits, MLP, QUICK, Context(cache_root=tmp_path))
        return drained(planned_seconds(compared, compared.plan(), {}, 0.0))[1]

    compared = labelled(made(splits, ORDERED), splits, MLP, QUICK, Context(cache_root=tmp_path))
    assert all(seconds().values()) and drained(run(compared, compared.plan()))
    assert {training.is_shared for training, planned in seconds().items() if not planned} == {True}
    assert not any(training.is_shared for training, planned in seconds().items() if planned)


def test_planned_seconds_are_work_times_costs(splits, tmp_path):
    compared = labelled(made(splits, ORDERED), splits, MLP, QUICK, Context(cache_root=tmp_path))
    costs = {("mlp", unit): 1.0 for unit in ("step", "step as distilled", "full step", "sample")}
    counts = {"random_real": 30, "random_samples": 10, "kmeans_real": 30}
    costs |= {("mlp", f"draw {arm} {count}"): 5.0 for arm, count in counts.items()}
    found = drained(planned_seconds(compared, compared.plan(), costs, 0.0))[1]
    first = next(training for training in found if training.arm == "distilled")
    assert found[first] == 4 + 100 + 100
    real = [found[training] for training in found if training.arm == "random_real"]
    assert real[0] == 4 + 100 + 5 and real[1] == 4 + 100, "the draw that rates are chosen with is made once"
    assert len(costs) == 7, "nothing was measured"


def test_a_comparison_of_forecasts_plans_its_students_side_by_side(tmp_path):
    windows = window_splits("volatility")
    evaluation = QUICK.model_copy(update={"compare_full": True})
    other = window_splits("volatility", tokens=("SIM-X", "SIM-Y"), seed=4)
    compared = forecasts(
        candle_set(windows), windows, FORECASTER, evaluation, Context(cache_root=tmp_path), {"simulated": other}
    )
    plan = compared.plan()
    scored = [training for training in plan if training.purpose == "score" and training.num_steps]
    assert {training.seeds for training in scored} == {(0, 1)}
    assert {training.arm for training in plan if training.purpose == "adapt"} == {"distilled", "scratch"}
    told = [event for event in run(compared, plan) if isinstance(event, Progress) and event.part == "compare"]
    assert max(event.total for event in told) == num_trainings(plan)


@pytest.mark.parametrize("start_seed", [None, 5])
def test_a_set_of_one_start_is_planned_once_with_its_own_architecture(splits, tmp_path, start_seed):
    training = Training("adam", 20, start_seed, batch_size=4)
    evaluation = QUICK.model_copy(update={"students": ("convnet",)})
    plan = labelled(made(splits, training), splits, MLP, evaluation, Context(cache_root=tmp_path)).plan()
    counted = Counter(each.student for each in plan if (each.arm, each.protocol) == ("distilled", "as_distilled"))
    assert counted == {"mlp": 2 if start_seed is None else 1, "convnet": 2}


def test_a_unit_is_measured_once_for_all_trainings(splits, tmp_path):
    compared = labelled(made(splits, ORDERED), splits, MLP, QUICK, Context(cache_root=tmp_path))
    costs: comparison.Costs = {}
    mlp = compared.bench("mlp")
    once = drained(price(compared, mlp, {"sample": 10}, costs, 0.0))[1]
    assert drained(price(compared, mlp, {"sample": 20}, costs, 0.0))[1] == pytest.approx(2 * once)
