"""The door for Python users, and configs of every kind: what is accepted runs, what is refused says why."""

from __future__ import annotations

import json
import time

import pytest
import torch
from draining import drained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import (
    SOURCES,
    Context,
    DataConfig,
    RunRequest,
    UserError,
    distill,
    evaluate,
    request_from_preset,
    resolve,
    titles,
)
from engine.core.config import checked, evenly_spread
from engine.core.events import Finished, Measured, Scored

TINY = {"student": {"name": "mlp"}, "passes": 2, "outer_steps": 2, "real_batch": 16, "num_validations": 1}
SHORT = {"num_students": 1, "ordinary_steps": 2, "full_epochs": 1}


def test_distill_and_evaluate_from_python(tmp_path):
    request = RunRequest(source="digits", config=TINY, evaluation=SHORT)
    context = Context(seed=0, cache_root=tmp_path)
    seen, moments, began = [], [], time.perf_counter()

    def watch(event):
        seen.append(event)
        moments.append(time.perf_counter() - began)

    synthetic, rows = distill(request, context, watch)
    assert {(row.arm, row.protocol) for row in rows} >= {("distilled", "as_distilled"), ("full", "ordinary")}
    assert [event.step for event in seen if isinstance(event, Measured)] == [1, 2]
    (finished,) = [event for event in seen if isinstance(event, Finished)]
    assert finished.summary["num_bytes"] == synthetic.num_bytes() and finished.summary["seconds_distilling"] > 0
    compared = next(
        moment for event, moment in zip(seen, moments, strict=True) if getattr(event, "arm", "") == "distilled"
    )
    assert finished.summary["seconds_distilling"] < compared, "without the comparison"
    json.dumps(finished.summary)
    others = request.model_copy(update={"evaluation": request.evaluation.model_copy(update={"students": ("convnet",)})})
    again = evaluate(others, synthetic, context)
    assert {row.student for row in again} == {"mlp", "convnet"}
    mine = {(row.arm, row.protocol): row.mean for row in again if row.student == "mlp"}
    assert mine == {(row.arm, row.protocol): row.mean for row in rows}


def test_live_baseline_is_scored_on_validation_data_before_the_first_step(tmp_path):
    seen = []
    distill(RunRequest(source="digits", config=TINY, evaluation=SHORT), Context(cache_root=tmp_path), seen.append)
    first_step = next(i for i, event in enumerate(seen) if isinstance(event, Measured))
    before = [event for event in seen[:first_step] if isinstance(event, Scored)]
    assert before and all(
        score.split == "validation" and score.arm in ("random_real", "random_samples") for score in before
    )


def test_a_changed_preset_is_called_changed():
    quick = request_from_preset("digits", "bilevel", "quick")
    title = titles.preset("bilevel", "digits", "quick")
    assert titles.settings(quick) == title == titles.settings(quick.model_copy(update={"seed": 3, "name": "mine"}))
    changes = (
        {"config": {**quick.config, "outer_steps": 7}},
        {"data": DataConfig(zca=True)},
        {"config": {"unknown": 1}},
    )
    for change in changes:
        assert titles.settings(quick.model_copy(update=change)) == f"{title}, changed"
    assert titles.settings(quick.model_copy(update={"preset": ""})) == "own settings"


@pytest.mark.parametrize("preset", ["quick"])
def test_presets_become_requests_that_resolve(preset):
    for key, source in SOURCES.items():
        wanted = "ohlc" if source.kind == "prices" else "bilevel"
        method, config = resolve(request_from_preset(key, wanted, preset))
        assert config.outer_steps > 0 and method.key == wanted


CHOICES = {
    "ipc": st.integers(1, 4),
    "num_batches": st.integers(1, 4),
    "passes": st.integers(1, 3),
    "initialisation": st.sampled_from(["random", "fixed", "pool"]),
    "pool_size": st.just(2),
    "pool_steps": st.just(2),
    "num_inits": st.integers(1, 2),
    "inner_optimiser": st.sampled_from(["sgd", "momentum", "adam"]),
    "student_lr": st.floats(1e-6, 0.5),
    "learn_rates": st.booleans(),
    "shared_rate": st.booleans(),
    "memory": st.sampled_from(["auto", "store", "recompute"]),
    "images_from": st.sampled_from(["noise", "real"]),
    "labels": st.sampled_from(["hard", "soft"]),
    "clamp": st.booleans(),
    "augment_synthetic": st.booleans(),
    "real_batch": st.integers(1, 3000),
    "outer_lr": st.floats(1e-6, 0.5),
    "clip": st.sampled_from([0.0, 0.1]),
    "keep": st.sampled_from(["best", "last"]),
    "num_decays": st.integers(0, 5),
    "student": st.fixed_dictionaries(
        {
            "name": st.sampled_from(["mlp", "convnet", "simpleconvnet", "convnetrgb", "lenet"]),
            "depth": st.integers(1, 4),
            "width": st.just(4),
            "norm": st.sampled_from(["instance", "batch", "layer", "group", "none"]),
            "activation": st.sampled_from(["relu", "leaky_relu", "sigmoid", "softplus"]),
            "pooling": st.sampled_from(["average", "max", "none"]),
            "init": st.sampled_from(["default", "xavier", "kaiming", "orthogonal"]),
        }
    ),
}


@pytest.fixture(scope="module")
def augmented_digits():
    return drained(SOURCES["digits"].load(DataConfig(augmentation="flip_rotate"), Context().data_root))[1]


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.fixed_dictionaries(CHOICES))
def test_any_accepted_config_runs_a_step_and_any_refused_one_says_why(augmented_digits, values):
    try:
        method, config = resolve(RunRequest(source="digits", config=values | {"outer_steps": 1, "num_validations": 1}))
    except UserError as error:
        assert len(str(error)) > 20
        return
    found = list(method.distill(augmented_digits, config, Context(seed=1)))
    (measured,) = [event for event in found if isinstance(event, Measured)]
    assert all(torch.isfinite(torch.tensor(value)) for value in measured.values.values())


@pytest.mark.parametrize(("total", "times"), [(1, 1), (7, 3), (100, 40), (39, 20), (5, 9), (4000, 20)])
def test_evenly_spread_steps_are_as_many_as_asked_and_end_at_the_end(total, times):
    chosen = [step for step in range(1, total + 1) if evenly_spread(step, total, times)]
    assert len(chosen) == min(total, times) and chosen[-1] == total
    assert not any(evenly_spread(step, total, 0) for step in range(1, total + 1))


@given(text=st.text(max_size=20))
def test_any_text_as_a_request_is_accepted_or_refused_with_a_sentence(text):
    try:
        checked(RunRequest, {"source": text, "name": text, "seed": text}, "request")
    except UserError as error:
        assert "seed" in str(error)
