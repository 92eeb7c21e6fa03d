"""Estimates come near what a run then takes, count what the comparison does, and refuse what cannot fit."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from draining import drained

import engine
from engine import advice, machine
from engine.core.config import EvaluationConfig, MethodConfig, RunRequest, StudentConfig, Validation
from engine.core.context import Context
from engine.core.events import CandleView, PosterView, Preview, Progress
from engine.evaluation.labelled import LabelledComparison
from engine.methods.bilevel import bilevel
from engine.runs.estimate import Estimate, _distilling, _preview_bytes, _Steps, estimate
from engine.runs.store import Store
from engine.runs.worker import execute

GB = 10**9
SHORT = engine.request_from_preset(
    "digits",
    "bilevel",
    "quick",
    config={"student": {"name": "mlp"}, "passes": 10, "images_from": "real", "outer_steps": 60, "real_batch": 256},
    evaluation={"num_students": 2, "ordinary_steps": 25, "full_epochs": 5},
)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(cache_root=tmp_path / "cache")


def found(request: RunRequest, context: Context) -> Estimate:
    """The estimate at the end of its generator."""
    return drained(estimate(request, context))[1]


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of a moment: their figures are rough, what they are made of is the same."""
    monkeypatch.setattr("engine.runs.estimate.ENOUGH_SECONDS", 0.1)
    monkeypatch.setattr("engine.runs.estimate.SAMPLE_SECONDS", 0.02)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


# ---- against the real thing ----


@pytest.mark.slow
def test_a_short_run_takes_what_was_estimated_within_a_factor_of_two(context):
    drained(engine.SOURCES["digits"].load(SHORT.data, context.data_root))  # what is imported late is there for both
    ratios = []
    while len(ratios) < 4 and not any(0.5 < ratio < 2 for ratio in ratios):  # another program may have had the cores
        before = found(SHORT, context)
        began = time.perf_counter()
        engine.distill(SHORT, replace(context, cache_root=context.cache_root / str(len(ratios))))
        ratios.append((time.perf_counter() - began) / before.seconds)
    assert 0.5 < ratios[-1] < 2, ratios
    assert before.num_steps == 60 and before.num_timed >= 2 and not before.lower_bound


SELFSUP = engine.request_from_preset(
    "digits",
    "selfsup",
    "quick",
    config={
        "student": {"name": "convnet", "depth": 2, "width": 8, "norm": "batch"},
        "num_images": 30,
        "image_bases": 8,
        "representation_bases": 8,
        "basis_size": 6,
        "augmentations": ["blur"],
        "pool_size": 2,
        "pool_steps": 20,
        "outer_steps": 30,
        "real_batch": 64,
        "num_validations": 1,
        "validation_steps": 40,
        "approximation_steps": 20,
        "teacher": {
            "width": 8,
            "depth": 2,
            "num_dims": 16,
            "epochs": 4,
            "batch_size": 64,
            "projector_width": 32,
            "mirror": False,
        },
        "probing": {"pretrain_steps": 30, "pretrain_batch": 64, "probe_images": 300, "probe_epochs": 5},
    },
    evaluation={"num_students": 2, "full_epochs": 1},
)


@pytest.mark.slow
def test_a_self_supervised_run_is_estimated_with_its_teacher(context, monkeypatch):
    ratios = []
    while len(ratios) < 4 and not any(0.4 < ratio < 2.5 for ratio in ratios):  # another program may have had the cores
        fresh = replace(context, cache_root=context.cache_root / str(len(ratios)))
        before = found(SELFSUP, fresh)
        assert (before.num_experts, before.num_recorded) == (1, 0) and before.seconds_recording > 0
        began = time.perf_counter()
        engine.distill(SELFSUP, fresh)
        ratios.append((time.perf_counter() - began) / before.seconds)
    assert 0.4 < ratios[-1] < 2.5, ratios
    hurry(monkeypatch)  # the rest is counted, not timed
    after = found(SELFSUP, fresh)
    assert after.num_recorded == 1 and after.seconds_recording == 0
    assert after.disk_bytes < before.disk_bytes


def test_parts_are_told_as_soon_as_they_are_known(hasty, context):
    events, last = drained(estimate(SHORT, context))
    parts = [event for event in events if isinstance(event, Estimate)]
    assert [part.seconds_preparing > 0 for part in parts] == [False, True, True]
    assert [part.seconds_per_step > 0 for part in parts] == [False, False, True]
    assert last.seconds_evaluating > 0 and last.memory_bytes >= parts[-1].memory_bytes
    phases = [event.phase for event in events if not isinstance(event, Estimate)]
    assert list(dict.fromkeys(phases))[-2:] == ["try outer steps", "time a few training steps"]


def test_progress_within_an_outer_step_is_part_of_its_time(hasty, context, monkeypatch):
    def slow(phase, items, total):
        time.sleep(0.3)
        yield Progress(phase, 1, total)
        return list(items)[-1]

    monkeypatch.setattr(bilevel, "paced", slow)
    request = SHORT.model_copy(update={"config": SHORT.config | {"outer_steps": 1}})
    events, last = drained(estimate(request, context))
    assert last.seconds_per_step >= 0.3
    phases = [event.phase for event in events if not isinstance(event, Estimate)]
    assert list(dict.fromkeys(phases))[-2:] == ["try outer steps", "time a few training steps"], (
        "a trial that is cut short is known to be at its steps"
    )


@pytest.mark.slow
def test_the_disk_estimate_covers_what_a_run_keeps(hasty, tmp_path, context):
    config = SHORT.config | {"outer_steps": 40, "num_validations": 1}
    evaluation = EvaluationConfig(num_students=1, ordinary_steps=3, full_epochs=1)
    request = SHORT.model_copy(update={"config": config, "evaluation": evaluation})
    before = found(request, context)
    store = Store(tmp_path / "runs")
    run_id = store.submit(request, status="running")
    execute(store, run_id)
    kept = sum(path.stat().st_size for path in store.folder(run_id).rglob("*") if path.is_file())
    assert kept / 3 < before.disk_bytes < 3 * kept


def test_a_result_that_is_evaluated_again_is_estimated_without_outer_steps(hasty, context):
    evaluation = EvaluationConfig(num_students=1, ordinary_steps=3, full_epochs=1)
    request = SHORT.model_copy(update={"config": SHORT.config | {"outer_steps": 1}, "evaluation": evaluation})
    synthetic, _ = engine.distill(request, context)
    again = request.model_copy(update={"action": "evaluate", "start": "0001"})
    told = found(again, replace(context, start=synthetic))
    assert told.num_steps == told.num_timed == 0 and told.seconds_distilling == 0 and told.seconds_evaluating > 0


def test_a_picture_of_a_poster_is_counted_with_the_poster_and_its_labels():
    patches, pixels, labels = (
        np.zeros((6, 4, 4, 3), np.uint8),
        np.zeros((5, 9, 3), np.uint8),
        np.zeros((6, 2), np.float16),
    )
    view = PosterView(pixels, {}, (0, 1), ("a", "b"), labels)
    assert _preview_bytes(Preview(0, patches, ("a",) * 6, view)) == patches.nbytes + pixels.nbytes + labels.nbytes
    assert _preview_bytes(Preview(0, patches, ("a",) * 6)) == patches.nbytes


def test_a_picture_of_sequences_is_counted_with_their_bars_and_targets():
    pictures, bars, targets = np.zeros((2, 64, 9, 3), np.uint8), np.zeros((2, 2, 5), np.float32), np.zeros((2, 1))
    view = CandleView(bars, ("A", "B"), targets, ("close",))
    kept = pictures.nbytes + bars.nbytes + targets.nbytes
    assert _preview_bytes(Preview(0, pictures, ("A", "B"), candles=view)) == kept


def test_an_estimate_of_forecasts_leaves_no_scores_of_a_part_of_the_data_behind(hasty, context, monkeypatch):
    monkeypatch.setattr("engine.runs.estimate.LOOKED_AT", 50)
    config = {"student": {"name": "linear"}, "outer_steps": 1, "unroll_length": 2, "real_batch": 8}
    config |= {"num_validations": 1, "validation_students": 1, "validation_steps": 2}
    brief = EvaluationConfig(num_students=1, ordinary_steps=5, inner_steps=5, full_epochs=1)
    request = RunRequest(source="simulated_prices", method="ohlc", config=config, evaluation=brief)
    assert found(request, context).num_timed == 1
    _, after_it = engine.distill(request, context)
    _, on_its_own = engine.distill(request, replace(context, cache_root=context.cache_root / "other"))
    assert [(row.arm, row.protocol, row.mean) for row in after_it] == [
        (row.arm, row.protocol, row.mean) for row in on_its_own
    ]


def test_a_poster_is_estimated_by_the_training_it_is_made_for(hasty, context):
    config = {
        "student": {"name": "mlp"},
        "unroll_length": 4,
        "window": 2,
        "order": "listed",
        "outer_steps": 40,
        "real_batch": 64,
        "validation_students": 1,
        "validation_steps": 20,
    }
    request = RunRequest(
        method="podd",
        config=config,
        evaluation=EvaluationConfig(num_students=1, ordinary_steps=3, inner_steps=10, compare_full=False),
    )
    longer = request.model_copy(update={"evaluation": request.evaluation.model_copy(update={"inner_steps": 100_000})})
    told, told_longer = found(request, context), found(longer, context)
    assert told.num_timed > 0 and 0 < told.seconds_distilling < 1000
    assert told_longer.seconds_evaluating > 10 * told.seconds_evaluating


def test_peak_memory_sees_what_is_freed_again():
    with machine.PeakMemory(torch.device("cpu")) as memory:
        held = torch.ones(50_000_000)
        time.sleep(0.05)
        del held
        assert 0.19 * GB < memory.bytes < 0.3 * GB


# ---- counting ----


def counting(monkeypatch, module, names) -> dict[str, list]:
    """Calls of functions of a module, by name, with what each was given."""
    calls: dict[str, list] = {name: [] for name in names}

    def watched(name, function):
        def call(*arguments):
            calls[name].append(arguments)
            return function(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    return calls


@pytest.mark.parametrize("initialisation", ["random", "fixed"])
def test_a_validation_trains_as_many_students_as_the_config_says(monkeypatch, context, initialisation):
    calls = counting(monkeypatch, bilevel, ["as_distilled"])
    config = SHORT.config | {"outer_steps": 2, "num_validations": 1, "initialisation": initialisation}
    checked = engine.checked(bilevel.BilevelConfig, config, "config")
    splits = drained(engine.SOURCES["digits"].load(SHORT.data, context.data_root))[1]
    drained(bilevel.distill(splits, checked, context))
    assert len(calls["as_distilled"]) == checked.validation().students


class OneStudent(MethodConfig):
    """A method whose validation trains one student, without an option for their number."""

    def validation(self) -> Validation:
        return Validation(times=10, students=1, steps=100)


def test_the_time_of_a_step_is_corrected_by_one_student_where_one_is_trained(context):
    splits = drained(engine.SOURCES["digits"].load(SHORT.data, context.data_root))[1]
    steps = _Steps(None, None, num_timed=2, seconds_before=0.0, seconds=2.0, validated=1.0, kept_bytes=0)
    config = OneStudent(student=StudentConfig(name="mlp"), outer_steps=10)
    compared = LabelledComparison(splits, config, EvaluationConfig(), context)
    work = compared.validation_work(compared.bench("mlp"), config.validation())
    assert work == {"step as distilled": 100, "sample": len(splits.validation)}
    assert _distilling(steps, 1.0, config) == pytest.approx(10 * (2.0 - 1.0) + 10 * 1.0)


def test_a_trial_whose_steps_all_validate_does_not_count_validations_twice(hasty, context, monkeypatch):
    """The steps that are timed take 10 s, of which a validation takes 4 s where there is one."""
    shares = []

    def distilling(steps, validation_seconds, config):
        shares.append(steps.validated)
        return _distilling(replace(steps, seconds=10.0), 4.0, config)

    monkeypatch.setattr("engine.runs.estimate._distilling", distilling)
    config = SHORT.config | {"outer_steps": 60}
    for times, seconds in ((60, 60 * 10.0), (0, 60 * 10.0), (6, 60 * 10.0 + 6 * 4.0)):
        request = SHORT.model_copy(update={"config": config | {"num_validations": times}})
        assert found(request, context).seconds_distilling == pytest.approx(seconds), times
    assert shares == [1.0, 0.0, 0.0]


# ---- what cannot fit ----

FITS = Estimate(memory_bytes=GB, available_memory=8 * GB, disk_bytes=10**6, available_disk=GB)


def test_what_fits_is_not_refused():
    assert advice.verdict(FITS, SHORT) is None


def test_too_little_memory_names_need_stock_and_setting():
    sentence = advice.verdict(replace(FITS, memory_bytes=30 * GB), RunRequest(config={"real_batch": 100_000}))
    assert sentence.startswith("This needs about 30.0 GB of memory; ")
    assert "Start with a smaller real batch (now 100,000)" in sentence


def test_memory_kept_for_the_rest_of_the_machine_is_not_offered():
    reserve = machine.reserve(torch.device("cpu"))
    assert advice.verdict(replace(FITS, memory_bytes=8 * GB - reserve - 1), SHORT) is None
    assert advice.verdict(replace(FITS, memory_bytes=8 * GB - reserve + 1), SHORT) is not None


def test_a_trial_that_ran_out_of_memory_is_refused_whatever_it_reached():
    sentence = advice.verdict(replace(FITS, is_out_of_memory=True, lower_bound=True, beside=True), SHORT)
    assert "needs more than 1.00 GB" in sentence and sentence.endswith("Or wait until the running run has ended.")


def test_a_full_disk_is_refused():
    assert "on a disk with 500 kB free" in advice.verdict(replace(FITS, available_disk=500_000), SHORT)


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"config": {"passes": 300, "ipc": 10}}, "memory set to 'recompute'"),
        (
            {"config": {"passes": 300, "ipc": 50, "memory": "recompute", "real_batch": 16}},
            "fewer images per class (now 50)",
        ),
        (
            {"method": "rat_bptt", "config": {"ipc": 10, "batch_size": 80, "real_batch": 16}},
            "memory set to 'recompute'",
        ),
        (
            {"method": "rat_bptt", "config": {"ipc": 10, "batch_size": 10, "real_batch": 160, "window": 2}},
            "a smaller real batch (now 160)",
        ),
        (
            {
                "method": "rat_bptt",
                "config": {"ipc": 10, "batch_size": 10, "real_batch": 160, "window": 2, "window_schedule": "full"},
            },
            "memory set to 'recompute'",
        ),
        (
            {"method": "podd", "config": {"batch_size": 40, "real_batch": 16, "memory": "recompute"}},
            "a smaller synthetic batch (now 40)",
        ),
        ({"config": {"real_batch": 4096}}, "a smaller real batch (now 4,096)"),
        (
            {"source": "cifar10", "data": {"zca": True}, "config": {"student": {"name": "mlp"}, "real_batch": 1}},
            "ZCA whitening off (its matrix is 3,072 x 3,072)",
        ),
        (
            {"source": "cifar10", "config": {"student": {"name": "mlp"}, "real_batch": 1}},
            "a limit on the training images (now 50,000)",
        ),
        (
            {"config": {"student": {"width": 1024}, "real_batch": 1, "memory": "recompute"}},
            "a narrower student (now 1,024 channels)",
        ),
        ({"action": "evaluate", "evaluation": {"batch_size": 1024}}, "a smaller batch in the evaluation (now 1,024)"),
    ],
)
def test_the_setting_that_saves_most_comes_first(changes, first):
    assert advice.advice(RunRequest(**changes)).startswith(first)


def test_a_request_of_a_data_set_that_is_gone_still_gets_advice():
    assert advice.advice(RunRequest(source="folder:gone")) == "a smaller student or fewer training images"
