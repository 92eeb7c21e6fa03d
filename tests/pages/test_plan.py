"""Beside Start stands what the run will take; a start that cannot fit is refused with the setting to change."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import engine
from engine.data.source import TaskSpec
from engine.data.transforms.prepare import split_indices


@pytest.fixture
def answers(store, monkeypatch: pytest.MonkeyPatch):
    """answers(x): what trials answer from now on."""

    def answer(found) -> None:
        monkeypatch.setattr(engine.Trials, "answer", found)

    return answer


def text(app) -> str:
    return " ".join(str(element.value) for element in [*app.markdown, *app.caption, *app.error, *app.warning])


def test_an_estimate_shows_time_memory_disk_and_where_they_come_from(visit):
    app = visit("distill")
    shown = text(app)
    for part in (
        "About 27 s",
        "800 outer steps of 20\\.0 ms",
        "About 200 MB** memory",
        "8\\.00 GB free",
        "About 300 kB** disk",
    ):
        assert part in shown, part
    assert "Measured on this machine with 30 outer steps and a few students\\." in shown
    assert not app.button(key="start").disabled


def test_beside_a_running_run_the_estimate_says_so(visit, answers):
    answers(replace(engine.Trials.answer, beside=True))
    assert "a few students while another run was working" in text(visit("distill"))


def test_a_lower_bound_is_worded_as_one(visit, answers):
    answers(replace(engine.Trials.answer, lower_bound=True))
    shown = text(visit("distill"))
    assert "At least 27 s" in shown and "was stopped after a minute" in shown


def test_while_it_is_pending_a_start_waits_for_it_and_then_starts(visit, answers, store, monkeypatch):
    fits = engine.Trials.answer
    answers(engine.Pending("try students"))
    monkeypatch.setattr(engine.Trials, "wait", lambda self, request, asker: fits)
    app = visit("distill")
    assert "Time …" in text(app) and not app.button(key="start").disabled
    app.button(key="start").click().run()
    assert [row.status for row in store.runs()] == ["queued"]


def test_while_it_is_pending_a_start_that_turns_out_too_large_is_refused(visit, answers, store, monkeypatch):
    too_large = replace(engine.Trials.answer, memory_bytes=10**12)
    answers(engine.Pending())

    def wait(self, request, asker):
        answers(too_large)
        return too_large

    monkeypatch.setattr(engine.Trials, "wait", wait)
    app = visit("distill")
    app.button(key="start").click().run()
    assert not store.runs() and app.button(key="start").disabled
    assert "Start with" in app.error[0].value


def test_settings_are_tried_only_once_they_stand_still(visit, answers, monkeypatch):
    answers(engine.Pending())
    asked = []
    monkeypatch.setattr(
        engine.Trials, "ask", lambda self, request, asker: asked.append(request) or engine.Pending("load")
    )
    app = visit("distill")
    next(box for box in app.number_input if box.label == "Images per class").set_value(2).run()
    assert not asked
    monkeypatch.setattr("pages.ui.plan.SETTLED_SECONDS", 0.0)
    app.run()
    assert {request.config["ipc"] for request in asked} == {2}
    assert "Load …" in text(app)


def test_what_cannot_fit_is_refused_with_the_setting_to_change(visit, answers):
    answers(replace(engine.Trials.answer, is_out_of_memory=True, lower_bound=True, memory_bytes=30 * 10**9))
    app = visit("distill")
    assert app.button(key="start").disabled
    assert "More than 30\\.0 GB" in text(app) and "a smaller real batch \\(now 256\\)" in app.error[0].value


def test_without_an_estimate_a_run_can_still_be_started(visit, answers, store):
    answers(engine.Refusal("The trial step ended by itself with status 3."))
    app = visit("distill")
    assert "status 3" in app.warning[0].value and not app.button(key="start").disabled
    app.button(key="start").click().run()
    assert len(store.runs()) == 1


def test_what_the_run_itself_would_refuse_is_refused(visit, answers):
    answers(engine.Refusal("This result is *not* at hand.", is_final=True))
    app = visit("distill")
    assert app.error[0].value == "This result is \\*not\\* at hand\\." and app.button(key="start").disabled


def test_estimate_again_drops_the_answer(visit, monkeypatch):
    dropped = []
    monkeypatch.setattr(engine.Trials, "forget", lambda self, request: dropped.append(request.source), raising=False)
    app = visit("distill")
    app.button(key="estimate again").click().run()
    assert dropped == ["digits"]


def sweep_over(app, option: str, values: str):
    """The form with a sweep asked for."""
    box = next(box for box in app.multiselect if box.label == "Options to vary")
    box.set_value([option]).run()
    return next(box for box in app.text_input if box.label.startswith("Values: ")).set_value(values).run()


def test_a_sweep_says_how_long_all_its_runs_take_together(visit, answers):
    app = sweep_over(visit("distill"), "config.ipc", "1, 2, 4")
    assert "3 runs, one after the other, about 1 min 21 s in total." in text(app)
    answers(replace(engine.Trials.answer, lower_bound=True))
    assert "at least 1 min 21 s in total" in text(app.run())
    answers(engine.Refusal("The trial step ended by itself with status 3."))
    assert "3 runs, one after the other. " in text(app.run())


def test_a_sweep_with_a_run_that_cannot_fit_is_refused_by_its_name(visit, store, monkeypatch):
    fits, tried = engine.Trials.answer, []

    def wait(self, request, asker):
        tried.append(request.config.get("ipc"))
        return replace(fits, memory_bytes=10**12) if request.config.get("ipc") == 40 else fits

    monkeypatch.setattr(engine.Trials, "wait", wait)
    app = sweep_over(visit("distill"), "config.ipc", "2, 40, 5")
    app.button(key="start").click().run()
    assert not store.runs() and 40 in tried and 5 not in tried
    assert "Images per class 40 cannot start" in app.error[0].proto.title and "Start with" in app.error[0].value


def test_a_sweep_whose_extremes_fit_is_started(visit, store):
    app = sweep_over(visit("distill"), "config.ipc", "2, 40, 5")
    app.button(key="start").click().run()
    assert [row.request.config["ipc"] for row in store.runs()] == [5, 40, 2]


@pytest.mark.parametrize("swept", [True, False])
def test_only_a_name_that_a_person_gave_is_carried_on(visit, store, swept):
    asked = engine.request_from_preset("digits", "bilevel", "quick", name="mine")
    if swept:
        asked = engine.sweep.expand(asked, {"config.ipc": ["2"]})[0]
    app = visit("distill", **{"from": store.submit(asked)})
    name = next(box for box in app.text_input if box.label == "Name (optional)")
    assert name.value == ("" if swept else "mine")


@pytest.mark.parametrize(
    ("train", "validation", "data"),
    [
        ([3, 4, 2], [0, 0, 0], {}),
        ([30, 41, 9], [0, 0, 0], {"validation_fraction": 0.2}),
        ([30, 40, 20], [5, 1, 2], {}),
        ([30, 40, 20], [0, 0, 0], {"train_limit": 12}),
        ([30, 40, 20], [5, 1, 2], {"validation_fraction": 0}),
    ],
)
def test_planned_training_images_of_an_imported_set_are_those_that_a_run_gets(train, validation, data):
    config = engine.DataConfig(**data)
    report, num_train = SimpleNamespace(counts={"train": train, "validation": validation}), sum(train + validation)
    source = SimpleNamespace(kind="images", report=report, num_train=num_train)
    classes = torch.arange(3)
    targets = torch.cat([classes.repeat_interleave(torch.tensor(counts)) for counts in (train, validation)])
    given = torch.arange(sum(train), len(targets)) if any(validation) else None
    kept, _ = split_indices(targets, TaskSpec("classification", (1, 8, 8), 3, ("a", "b", "c")), "T", config, given)
    assert engine.describe.planned_images(source, config) == len(kept)


def test_data_that_must_be_downloaded_first_have_no_estimate(visit, monkeypatch):
    class Downloadable(type(engine.SOURCES["digits"])):
        def availability(self, data_root):
            return engine.data.Availability("downloadable", "It is downloaded when first used.")

    monkeypatch.setitem(engine.SOURCES, "digits", Downloadable())
    app = visit("distill")
    assert "No estimate yet" in text(app) and "About 27 s" not in text(app)
    assert not app.button(key="start").disabled
