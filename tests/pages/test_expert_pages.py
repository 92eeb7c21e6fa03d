"""Recordings of experts on the pages: in every state a run of its own kind, before a start, and on disk."""

from __future__ import annotations

from dataclasses import replace

import canned_runs as canned
import pytest
from streamlit.testing.v1 import AppTest

import engine
from engine.core.events import Failed, Stopped
from engine.pretrained.store import Manifest, Network, Point, Recording


def buttons(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def charts(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def test_live_recording_shows_epochs_curves_and_no_loss(store, visit):
    run_id = canned.recording(store)
    app = visit("runs", run=run_id)
    text = canned.words(app)
    assert "24 of 40 epochs of the experts · record expert 3 of 4, epoch 5 of 10, 3 of 11" in text
    assert "Experts recorded 2 of 4, 1 earlier" in text and "Outer loss" not in text
    assert charts(app) == 1
    assert "Stop" in buttons(app) and not buttons(app) & {"Compare", "Gallery"}


def test_finished_recording_offers_distilling_and_nothing_of_a_result(store, visit):
    run_id = canned.recorded(store)
    app = visit("runs", run=run_id)
    text = canned.words(app)
    assert "Expert 4 of 4 did not learn" in text and "Experts recorded 4 of 4" in text
    assert "Distil with these experts" in buttons(app)
    assert not buttons(app) & {"Compare", "Gallery", "Edit and start again"} and "Downloads" not in text
    app.button(key="distil with these").click().run()
    assert not app.exception and app.selectbox(key=f"distil method {run_id} images").value == "trajectory"


@pytest.mark.parametrize(
    ("ending", "sentence", "button"),
    [
        (Stopped(0), "The epochs recorded so far are kept", "Resume"),
        (Failed("The disk is full.", "", 0), "The disk is full.", "Resume"),
    ],
)
def test_ended_recording_says_what_is_kept_and_can_go_on(store, visit, ending, sentence, button):
    run_id = canned.recording(store)
    store.append(run_id, [ending])
    app = visit("runs", run=run_id)
    assert sentence in canned.words(app) and button in buttons(app)
    assert "The run failed at step" not in canned.words(app)


def test_recording_before_its_first_epoch_and_in_the_queue_has_no_chart(store, visit):
    waiting = store.submit(canned.request().model_copy(update=canned.TRAJECTORY | {"action": "record"}))
    app = visit("runs", run=waiting)
    assert charts(app) == 0 and "The curves appear here with the first epochs." in canned.words(app)


def test_list_home_and_filters_take_recordings_for_runs_without_a_score(store, visit):
    canned.recorded(store)
    canned.recording(store, name="a recording")
    canned.finished(store)
    canned.following(store)
    for page in ("runs", "home", "system"):
        assert (
            "experts only"
            in canned.words(visit(page))
            + " ".join(link.proto.label for link in visit(page).get("page_link")).replace("\\", "")
            or page == "system"
        )
    app = visit("runs")
    assert "4 experts" in canned.words(app)
    app.selectbox(key="run order").set_value("Score").run()
    assert not app.exception


def test_gallery_and_compare_have_no_place_for_recordings(store, visit):
    run_id = canned.recorded(store)
    assert "distilled samples of your runs appear here" in canned.words(visit("gallery"))
    app = visit("gallery", run=canned.finished(store))
    assert run_id not in app.selectbox[0].options[0]
    app = visit("compare", run=run_id)
    assert f"Run {run_id} only trained its experts, so it has no scores." in canned.words(app)
    assert [option[:4] for option in app.multiselect[0].options] == ["0002"]


def test_compare_of_nothing_but_recordings_says_what_the_page_is_for(store, visit):
    canned.recorded(store)
    assert "Compare training on a distilled set" in canned.words(visit("compare"))


def test_distilling_run_shows_the_experts_until_its_first_step_and_in_a_tab_then(store, visit):
    early = canned.following(store, num_steps=0)
    app = visit("runs", run=early)
    assert "Networks trained on the real data" in canned.words(app)
    late = canned.following(store)
    app = visit("runs", run=late)
    assert [tab.label for tab in app.tabs] == ["Result", "Curves", "Student's path", "Experts"]
    text = canned.words(app)
    assert "Step of the student nearest to the expert" in text and "The student trains for 20 steps" in text
    assert "Accuracy of the moving average" not in text, "it is drawn beside the accuracy of the images"


def test_runs_of_other_methods_have_no_tab_of_experts(store, visit):
    assert [tab.label for tab in visit("runs", run=canned.running(store)).tabs] == ["Result", "Curves"]


def form(visit) -> AppTest:
    app = visit("distill")
    app.selectbox(key="distil method  images").set_value("trajectory").run()
    return app


def test_distil_page_records_experts_only(store, visit):
    app = form(visit)
    assert "Needs 5 experts, " in canned.words(app).replace("**", "")
    app.button(key="record experts").click().run()
    (row,) = store.runs()
    assert (row.action, row.method, row.status, row.start) == ("record", "trajectory", "queued", "")
    assert not app.exception


def test_methods_without_experts_have_no_such_button(store, visit):
    assert "Record experts only" not in buttons(visit("distill"))


@pytest.mark.parametrize(
    ("num_recorded", "sentence"),
    [
        (0, "10 experts to record: 9.00 MB and about 1 min."),
        (3, "3 of 10 experts recorded already; 7 experts to record: 9.00 MB and about 1 min."),
        (10, "All 10 experts are recorded already."),
    ],
)
def test_plan_tells_what_experts_are_still_to_record(store, visit, monkeypatch, num_recorded, sentence):
    found = replace(
        engine.Trials.answer, num_experts=10, num_recorded=num_recorded, seconds_recording=60.0, expert_bytes=9_000_000
    )
    monkeypatch.setattr(engine.Trials, "answer", found)
    text = canned.words(form(visit)).replace("**", "")
    assert sentence in text and "1 min to train the experts" in text


def keep_recording(store: engine.Store) -> str:
    curve = (Point(epoch=3, train_loss=0.1, accuracy=0.8, seconds=1.0),)
    networks = {0: Network(file="expert-0000.safetensors", hash="ab", curve=curve)}
    manifest = Manifest(
        kind="experts", key={}, source="Digits", title="mlp", num_params=100, num_epochs=3, networks=networks
    )
    Recording(store.root / "cache" / "experts" / "0123abcd", manifest).write()
    return "0123abcd"


def asking(store: engine.Store) -> AppTest:
    """The dialog alone, kept open."""

    def script():
        import engine
        from pages.ui import pretrained, services

        for found in engine.pretrained.recordings(services.store().root / "cache"):
            pretrained.delete(found)

    return AppTest.from_function(script, default_timeout=60).run()


def test_system_page_lists_recordings_and_deletes_one_after_asking(store, visit):
    assert "No experts or teachers yet." in canned.words(visit("system"))
    digest = keep_recording(store)
    app = visit("system")
    assert "1 expert trained for 3 epochs · 80.0 % on validation images" in canned.words(app)
    app.button(key=f"delete pretrained {digest}").click().run()
    assert app.button(key="confirm delete pretrained") and engine.pretrained.recordings(store.root / "cache")
    asked = asking(store)
    asked.button(key="confirm delete pretrained").click().run()
    assert not asked.exception and not engine.pretrained.recordings(store.root / "cache")


def test_recordings_that_a_waiting_run_may_use_are_not_deleted(store, visit):
    digest = keep_recording(store)
    canned.recording(store)
    app = visit("system")
    app.button(key=f"delete pretrained {digest}").click().run()
    assert app.button(key="confirm delete pretrained").disabled and "0001" in canned.words(app)


def test_experts_can_go_while_a_run_waits_that_follows_a_teacher(store):
    keep_recording(store)
    store.submit(engine.RunRequest(source="digits", method="selfsup"))
    assert not asking(store).button(key="confirm delete pretrained").disabled
