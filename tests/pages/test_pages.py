"""Each page in each state: it shows no exception and says what it should."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
import streamlit as st
from canned_runs import failed, finished, queued, request, running, scored, stopped, training_students, words
from streamlit.testing.v1 import AppTest

import engine
from engine.core import checkpoint
from engine.core.events import Finished, Progress, Warned
from engine.runs import doctor

NAMES = ("home", "data", "distill", "runs", "compare", "gallery", "system")


@pytest.mark.parametrize("name", NAMES)
def test_empty_store(visit, name):
    assert visit(name).title


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_every_state(visit, store, name):
    for make in (finished, failed, stopped, queued, training_students):
        make(store)
    visit(name)


def test_home_explains_and_offers_the_first_run(visit, store):
    app = visit("home")
    assert "compresses a data set into a few synthetic images" in words(app)
    assert "No runs yet" in words(app)
    drawn = base64.b64decode(app.image[0].proto.imgs[0].url.partition("base64,")[2]).decode()
    assert "84.2 kB" in drawn and "658 B" in drawn, "10 images of 64 values in 8 bits with their labels and codes"

    app.button(key="distil the digits").click().run()

    (row,) = store.runs()
    assert (row.status, row.source, row.method, row.preset) == ("queued", "digits", "bilevel", "quick")
    assert row.request == engine.request_from_preset("digits", "bilevel", "quick")
    assert app.query_params["run"] == row.id
    assert "starts in a moment" in words(app)


def test_a_card_says_how_far_a_recipe_is_shortened_once(visit, store):
    scored(store, finished(store), {("distilled", "standard@10"): 0.96, ("random_real", "standard@10"): 0.6})
    text = words(visit("runs"))
    assert "distilled (DC/DSA/MTT recipe, shortened: 100 of 1,000 epochs) · random" in text
    assert "random (equal bytes) 60.0 % (DC/DSA/MTT recipe)" in text


def test_home_lists_recent_runs_with_their_score(visit, store):
    finished(store, name="first try")
    assert "85.1 ± 1.0 %" in words(visit("home"))
    assert "first try" in [link.label for link in visit("home").get("page_link")]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (queued, "starts in a moment"),
        (running, "Distilling · outer step 120 of 200"),
        (training_students, "Comparing · 3 of 10 trainings · train ConvNet on random real images · about 2 min left"),
        (stopped, "You stopped this run after 120 outer steps"),
        (failed, "became NaN at inner step 3"),
        (finished, "85.1 %"),
    ],
)
def test_run_says_how_it_stands(visit, store, make, said):
    assert said in words(visit("runs", run=make(store)))


def test_interrupted_run_says_what_is_left_of_it(visit, store):
    run_id = running(store)
    store.append(run_id, [{"kind": "interrupted", "time": time.time()}])
    assert "It has no checkpoint yet; start it again." in words(visit("runs", run=run_id))
    checkpoint.save(store.folder(run_id) / "checkpoints", 100, {"step": 100})
    assert "Its last checkpoint is kept; resume to continue from there." in words(visit("runs", run=run_id))


def test_live_run_shows_better_than_what(visit, store):
    text = words(visit("runs", run=running(store)))
    assert "Random real, equal bytes 55.0 %" in text
    assert "points above" in text
    assert "1 : 128 of the full data" in text


def test_stop_is_asked_for_once(visit, store):
    run_id = running(store)
    app = visit("runs", run=run_id)
    app.button(key="stop").click().run()
    assert store.run(run_id).stop_requested
    assert app.button(key="stop").disabled


def test_stopped_run_resumes(visit, store):
    run_id = stopped(store)
    app = visit("runs", run=run_id)
    app.button(key="resume").click().run()
    assert store.run(run_id).status == "queued"


def test_failed_run_shows_sentence_step_and_details(visit, store):
    app = visit("runs", run=failed(store))
    assert "failed at step 121" in words(app)
    assert "Traceback: the last line" in [block.value for block in app.code]
    assert not app.exception


def test_running_run_cannot_be_deleted_here(visit, store):
    app = visit("runs", run=running(store))
    assert not [option for option in app.menu_button(key="more").options if "Delete" in option]


def test_warnings_are_shown(visit, store):
    assert "The test set is small." in words(visit("runs", run=finished(store)))


def test_a_note_is_a_plain_line_and_no_warning(visit, store):
    run_id = running(store)
    store.append(run_id, [Warned("Distances add up to *9*.", level="note")])
    app = visit("runs", run=run_id)
    assert not app.warning and any("Distances add up to \\*9\\*" in line.value for line in app.caption)


def test_a_stretch_within_an_outer_step_leaves_the_outer_step_in_view(visit, store):
    run_id = running(store, 120)
    store.append(run_id, [Progress("train the student", 7, 40)])
    (bar,) = visit("runs", run=run_id).progress
    assert bar.text.startswith("Distilling · outer step 120 of") and "train the student, 7 of 40" in bar.text
    assert bar.value == round(70 * 120 / store.run(run_id).total_steps), "the comparison is part of the bar"


@pytest.mark.parametrize("name", ["runs", "compare", "gallery", "distill"])
@pytest.mark.parametrize("run_id", ["9999", "../../etc", "<b>"])
def test_unknown_run_is_one_sentence(visit, store, name, run_id):
    finished(store)
    app = visit(name, **{"from" if name == "distill" else "run": run_id})
    assert len(app.error) == 1
    assert "no run" in app.error[0].value.lower()


def test_names_are_no_markdown(visit, store):
    run_id = finished(store, name="**bold** [link](http://x) $a$ :red[b]")
    title = visit("runs", run=run_id).title[0].value
    assert title == r"\*\*bold\*\* \[link\]\(http\:" + "\u2060" + r"//x\) \$a\$ \:red\[b\]"


def test_list_filters_by_state_and_text(visit, store):
    finished(store, name="apples")
    failed(store)
    stopped(store)
    finished(store, name="pears")
    app = visit("runs")
    app.text_input(key="run search").set_value("pear").run()
    assert [link.label for link in app.get("page_link")] == ["pears"]
    app.text_input(key="run search").set_value("").run()
    app.get("pills")[0].set_value(["failed"]).run()
    assert len(app.get("page_link")) == 1


def test_compare_says_the_verdict_in_words(visit, store):
    text = words(visit("compare", run=finished(store)))
    assert (
        "Test accuracy is **85.1 %** after training on 10 synthetic images, 2.61 kB (own recipe). On 10 random real "
        "images of equal bytes, it is **55.1 %** (standard training). On all 1,294 real images, it is **97.0 %** "
        "(standard training)." in text
    )
    assert "Retention 87.7 % own recipe" in text
    assert "Gap closed 71.6 % own recipe" in text
    assert "Cached scores come from an earlier run" in text


def test_compare_table_has_each_arm_and_protocol(visit, store):
    table = visit("compare", run=finished(store)).table[0].value
    assert list(table["Trained on"]) == [
        "Distilled",
        "Random real, equal bytes",
        "Distilled",
        "Random real, equal bytes",
        "Full data",
    ]
    assert list(table["Accuracy"])[0] == "85.1\u00a0±\u00a01.0\u00a0%", "on one line"
    assert list(table["95 % interval"])[0] == "82.6\u00a0to\u00a087.6\u00a0%"
    assert set(table["n"]) == {"3"}


def test_compare_puts_several_runs_together(visit, store):
    first, second = finished(store, name="one"), finished(store, name="two")
    app = visit("compare", run=first)
    app.multiselect[0].set_value([first, second]).run()
    assert not app.exception
    table = app.table[0].value
    assert [cell.split("  \n")[0] for cell in table["Run"]] == [f"{first} · one", f"{second} · two"]
    assert all("MLP 256-128, n\u00a0=\u00a03" in cell for cell in table["Run"])
    assert not {"Student", "n", "Distilling"} & set(table), "told below the run and its bytes"


def test_done_run_without_scores_is_compared_without_error(visit, store):
    run_id = running(store)
    store.append(run_id, [Finished({})])
    assert "has no scores. Evaluate it on its page" in words(visit("compare", run=run_id))


def test_gallery_time_lapse(visit, store):
    app = visit("gallery", run=finished(store))
    app.get("segmented_control")[0].set_value("Time-lapse").run()
    assert not app.exception
    assert "3 pictures from step 0 to step 200" in app.image[0].captions[0]


def test_step_slider_follows_the_newest_until_moved(visit, store):
    run_id = running(store)
    app = visit("runs", run=run_id)
    assert app.select_slider[0].value == 120
    app.select_slider[0].set_value(60).run()
    store.append(run_id, [engine.events.Preview(130, store.preview(run_id, 60).images, tuple("0123456789"))])
    app.run()
    assert app.select_slider[0].value == 60
    app.select_slider[0].set_value(130).run()
    store.append(run_id, [engine.events.Preview(140, store.preview(run_id, 60).images, tuple("0123456789"))])
    app.run()
    assert app.select_slider[0].value == 140


def test_data_page_shows_digits(visit):
    text = words(visit("data"))
    assert "Training images 1,438" in text
    assert "359 test images" in text


def test_data_page_offers_what_is_not_here(visit):
    app = visit("data", source="mnist")
    assert "is not downloaded yet" in words(app)
    assert not app.exception


def test_start_sends_the_preset_unchanged(visit, store):
    app = visit("distill")
    app.button(key="start").click().run()
    (row,) = store.runs()
    wanted = request()
    assert row.preset == "quick"
    assert engine.resolve(row.request)[1] == engine.resolve(wanted)[1]
    assert (row.request.data, row.request.evaluation) == (wanted.data, wanted.evaluation)


def test_a_changed_field_is_told_beside_the_presets_name(visit, store):
    app = visit("distill")
    ipc = next(box for box in app.number_input if box.label == "Images per class")
    ipc.set_value(2).run()
    assert "Changed: images per class" in words(app)
    app.button(key="start").click().run()
    (row,) = store.runs()
    assert row.request.config["ipc"] == 2
    assert engine.titles.settings(row.request) == f"{engine.titles.preset('bilevel', 'digits', 'quick')}, changed"


def test_impossible_settings_are_one_sentence_and_no_start(visit, store):
    app = visit("distill")
    next(box for box in app.number_input if box.label == "Batches (S)").set_value(7).run()
    assert len(app.error) == 1
    assert "batches must divide" in app.error[0].value
    assert app.button(key="start").disabled


def test_edit_and_start_again_fills_the_form_in(visit, store):
    old = queued(store, seed=11, config={**request().config, "ipc": 3})
    app = visit("distill", **{"from": old})
    assert next(box for box in app.number_input if box.label == "Images per class").value == 3
    app.button(key="start").click().run()
    assert store.runs()[0].request.config["ipc"] == 3
    assert store.runs()[0].seed == 11


def test_system_names_device_folders_and_versions(visit, store):
    app = visit("system")
    assert "Nothing is running or queued" in words(app)
    assert str(engine.runs_root()) in app.table[0].value.to_numpy()


@pytest.mark.slow
def test_health_check_lists_what_it_tried_and_finds_it_well(visit, monkeypatch):
    """With one method; the test of the command `doctor` tries them all."""
    monkeypatch.setattr(doctor, "METHODS", {"bilevel": doctor.METHODS["bilevel"]})
    app = visit("system")
    app.button(key="check").click().run()
    assert not app.exception
    assert "checks passed" in app.success[0].value
    tried = app.table[-1].value["Check"].tolist()
    assert {"double backward", "runs folder", "method bilevel"} <= set(tried)


def test_page_is_framed_after_a_click_that_interrupted_the_first_run(store, monkeypatch):
    app = AppTest.from_file(str(Path(__file__).parents[2] / "app.py"), default_timeout=60)
    with monkeypatch.context() as patched:
        patched.setattr(st, "navigation", lambda pages: st.stop())  # as the click does
        app.run()
    assert "is framed" not in app.session_state
    app.run()
    assert "is framed" in app.session_state and app.title[0].value == "Dataset Distillery"
