"""Runs are found, told apart by notes and tags, ticked and dealt with together, evaluated again and swept."""

from __future__ import annotations

import time

import pytest
import streamlit
from canned_runs import evaluated, failed, finished, poster_finished, queued, request, running, stopped, words
from streamlit.testing.v1 import AppTest

import engine
from pages.ui import cards


def links(app: AppTest) -> list[str]:
    """Names of the runs listed, in order."""
    return [link.label.replace("\\", "") for link in app.get("page_link")]


@pytest.fixture
def went(monkeypatch) -> list[tuple]:
    """Where a dialog that is tried by itself wanted to go: (page, query parameters)."""
    found: list[tuple] = []
    monkeypatch.setattr(streamlit, "switch_page", lambda page, query_params=None: found.append((page, query_params)))
    return found


def dialog(name: str, *run_ids: str) -> AppTest:
    """One dialog, opened for one run, or for several where it deals with several, and kept open."""

    def script(name, run_ids):
        from pages.ui import actions, services

        rows = [services.store().run(run_id) for run_id in run_ids if services.store().root.joinpath(run_id).exists()]
        if rows:
            getattr(actions, name)(rows if name in ("tag", "delete") else rows[0])

    return AppTest.from_function(script, default_timeout=60, args=(name, run_ids)).run()


def give_result(store: engine.Store, run_id: str) -> str:
    (store.folder(run_id) / "result.safetensors").write_bytes(b"set")
    return run_id


@pytest.fixture
def fruit(store) -> dict[str, str]:
    """Five runs that differ in all that can be searched for."""
    made = {
        "apples": finished(store, name="apples"),
        "pears": finished(store, better=0.05, name="pears", seed=3),
        "quinces": failed(store),
        "plums": finished(store, better=-0.2, name="plums"),
        "figs": stopped(store),
    }
    for name in ("quinces", "figs"):
        store.rename(made[name], name)
    store.annotate(made["apples"], note="Slower than expected\nbut sharp", tags=["baseline", "table 2"])
    store.annotate(made["plums"], tags=["baseline"])
    return made


# ---- the list ----


SEARCHES = {
    "PEAR": ["pears"],
    "0003": ["quinces"],
    "sharp": ["apples"],
    "table": ["apples"],
    "baseline": ["plums", "apples"],
    "baseline slower": ["apples"],
    "digits": ["figs", "plums", "quinces", "pears", "apples"],
    "nothing like it": [],
}


def test_search_looks_in_names_numbers_notes_tags_and_data_sets(visit, fruit):
    app = visit("runs")
    for text, found in SEARCHES.items():
        app.text_input(key="run search").set_value(text).run()
        assert links(app) == found, text


ORDERS = {
    "Oldest": ["apples", "pears", "quinces", "plums", "figs"],
    "Newest": ["figs", "plums", "quinces", "pears", "apples"],
    "Name": ["apples", "figs", "pears", "plums", "quinces"],
    "Score": ["pears", "apples", "plums"],
}


def test_the_list_is_sorted_as_asked_and_runs_without_a_score_come_last(visit, fruit):
    app = visit("runs")
    for order, found in ORDERS.items():
        app.selectbox(key="run order").set_value(order).run()
        assert links(app)[: len(found)] == found and len(links(app)) == 5, order


def test_time_taken_sorts_the_longest_first(visit, store):
    for seconds in (5.0, 50.0, 0.5, 7.0):
        run_id = running(store, name=f"{seconds:g} s")
        beat = {
            "kind": "pulse",
            "time": time.time(),
            "seconds": seconds,
            "step": 4,
            "memory_bytes": 9,
            "seconds_per_step": 0.5,
        }
        store.append(run_id, [beat])
    app = visit("runs")
    app.selectbox(key="run order").set_value("Time taken").run()
    assert links(app) == ["50 s", "7 s", "5 s", "0.5 s"]


def test_tags_filter_to_the_runs_that_have_them_all(visit, fruit):
    app = visit("runs")
    app.multiselect(key="run tags").set_value(["baseline"]).run()
    assert links(app) == ["plums", "apples"]
    app.multiselect(key="run tags").set_value(["baseline", "table 2"]).run()
    assert links(app) == ["apples"]


def test_data_sets_are_offered_once_there_are_two(visit, store, fruit):
    assert "run sources" not in [box.key for box in visit("runs").multiselect]
    store.rename(store.submit(engine.RunRequest(source="mnist")), "mine")
    app = visit("runs")
    app.multiselect(key="run sources").set_value(["mnist"]).run()
    assert links(app) == ["mine"]


def test_cards_show_tags_and_one_line_of_the_note_as_text(visit, store):
    run_id = finished(store)
    store.annotate(run_id, note="**first** line\nsecond line", tags=["[a](http://x)", "b"])
    app = visit("runs")
    text = words(app)
    assert "**first** line" in text and "second line" not in text
    assert "[a](http:\u2060//x)" in text
    assert r":gray-badge[:material/sell: \[a\]\(http\:" + "\u2060" + r"//x\)]" in [part.value for part in app.markdown]


def test_a_page_of_the_list_that_no_longer_exists_is_not_stayed_on(visit, store):
    for letter in "abcdefghijkl":
        queued(store, name=f"run {letter}")
    app = visit("runs")
    app.get("pagination")[0].set_value(2).run()
    assert links(app) == ["run b", "run a"]
    app.text_input(key="run search").set_value("a").run()
    assert "run a" in links(app)


def test_three_hundred_runs_are_redrawn_quickly(visit, store):
    for _ in range(300):
        queued(store)
    app = visit("runs")
    app.text_input(key="run search").set_value("digits").run()
    seconds = []
    for _ in range(3):
        begun = time.process_time()  # other programs may have the cores
        app.run()
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.5
    assert len(links(app)) == 10


def test_two_runs_of_the_same_number_are_not_given_each_others_score(store, visit, tmp_path, monkeypatch):
    finished(store)
    assert "85.1 ± 1.0 %" in words(visit("runs"))
    finished(engine.Store(tmp_path / "others"), better=0.1)
    monkeypatch.setenv("DISTILLERY_RUNS", str(tmp_path / "others"))
    cards.services.worker.clear()
    assert "95.1 ± 1.0 %" in words(visit("runs"))


# ---- ticks ----


def tick(app: AppTest, *run_ids: str) -> AppTest:
    for run_id in run_ids:
        app.checkbox(key=f"tick {run_id}").check().run()
    return app


def test_ticks_survive_other_pages_of_the_list_and_can_be_cleared(visit, store):
    ids = [queued(store) for _ in range(12)]
    app = tick(visit("runs"), ids[-1])
    assert "1 ticked" in words(app)
    app.get("pagination")[0].set_value(2).run()
    tick(app, ids[0])
    assert "2 ticked" in words(app)
    app.get("pagination")[0].set_value(1).run()
    assert app.checkbox(key=f"tick {ids[-1]}").value
    app.button(key="clear ticked").click().run()
    assert not app.checkbox(key=f"tick {ids[-1]}").value and "ticked" not in words(app)


def test_ticking_twice_is_no_tick(visit, fruit):
    app = tick(visit("runs"), fruit["apples"])
    app.checkbox(key=f"tick {fruit['apples']}").uncheck().run()
    assert "ticked" not in words(app)


def test_ticked_runs_are_compared_in_the_order_of_ticking(visit, fruit):
    app = tick(visit("runs"), fruit["pears"], fruit["apples"])
    app.button(key="compare ticked").click().run()
    assert not app.exception
    assert app.multiselect[0].value == [fruit["pears"], fruit["apples"]]


@pytest.mark.parametrize(("button", "widget"), [("tag ticked", "tags added"), ("delete ticked", "")])
def test_the_bar_opens_its_dialogs(visit, fruit, button, widget):
    app = tick(visit("runs"), fruit["apples"])
    app.button(key=button).click().run()
    assert app.multiselect(key=widget) if widget else app.button(key="confirm delete")


def test_ticked_runs_are_tagged_together_and_keep_their_other_tags(store, fruit):
    app = dialog("tag", fruit["apples"], fruit["pears"])
    app.multiselect(key="tags added").set_value(["new"])
    app.multiselect(key="tags removed").set_value(["baseline"]).run()
    app.button(key="save tags").click().run()
    assert store.run(fruit["apples"]).tags == ("table 2", "new")
    assert store.run(fruit["pears"]).tags == ("new",)
    assert store.run(fruit["plums"]).tags == ("baseline",)


def test_several_runs_are_deleted_after_one_question_and_running_ones_are_left(store, fruit, went):
    live = running(store)
    app = dialog("delete", fruit["apples"], live, fruit["figs"])
    assert f"Still running and kept: {live}" in words(app) and "2 runs" in words(app)
    assert len(store.runs()) == 6
    app.button(key="confirm delete").click().run()
    assert [row.id for row in store.runs()] == [live, fruit["plums"], fruit["quinces"], fruit["pears"]]
    assert went == [("pages/runs.py", {})]


def test_a_running_run_alone_cannot_be_deleted(store):
    assert dialog("delete", running(store)).button(key="confirm delete").disabled


def test_deleting_can_be_thought_better_of(store, fruit):
    dialog("delete", fruit["apples"]).button(key="keep delete").click().run()
    assert len(store.runs()) == 5


# ---- one run ----


def test_name_note_and_tags_are_edited_in_one_dialog(visit, store):
    run_id = finished(store)
    app = dialog("edit", run_id)
    app.text_input(key="edit name").set_value(" better ")
    app.text_area(key="edit note").set_value("two\nlines")
    app.multiselect(key="edit tags").set_value(["one", "Two words"])
    app.button(key="save about").click().run()
    row = store.run(run_id)
    assert (row.name, row.note, row.tags) == ("better", "two\nlines", ("one", "Two words"))
    text = words(visit("runs", run=run_id))
    assert "better" in text and "two  \nlines" in text and "Two words" in text


def test_a_tag_that_is_too_long_is_one_sentence_and_nothing_is_saved(store):
    run_id = finished(store)
    app = dialog("edit", run_id)
    app.text_input(key="edit name").set_value("new")
    app.multiselect(key="edit tags").set_value(["t" * 31])
    app.button(key="save about").click().run()
    assert "31 characters" in app.error[0].value
    assert (store.run(run_id).name, store.run(run_id).tags) == ("", ())


@pytest.mark.parametrize(
    ("make", "has_result", "choices"),
    [
        (running, False, ["Name, note and tags"]),
        (failed, False, ["Name, note and tags", "Delete"]),
        (finished, True, ["Name, note and tags", "Evaluate again", "Start from this result", "Delete"]),
        (stopped, True, ["Name, note and tags", "Evaluate again", "Start from this result", "Delete"]),
        (poster_finished, True, ["Name, note and tags", "Evaluate again", "Start from this result", "Delete"]),
    ],
)
def test_the_menu_offers_what_this_state_allows(visit, store, make, has_result, choices):
    run_id = make(store)
    if has_result:
        give_result(store, run_id)
    options = visit("runs", run=run_id).menu_button(key="more").options
    assert [option.split(": ")[-1] for option in options] == choices


@pytest.mark.parametrize(
    ("choice", "kind", "key"),
    [
        ("Name, note and tags", "text_input", "edit name"),
        ("Evaluate again", "number_input", "evaluate count"),
        ("Delete", "button", "confirm delete"),
    ],
)
def test_the_menu_opens_its_dialogs(visit, store, choice, kind, key):
    app = visit("runs", run=give_result(store, finished(store)))
    app.menu_button(key="more").click(choice).run()
    assert key in [widget.key for widget in app.get(kind)]


def test_evaluating_again_queues_the_same_set_with_other_students(store, went):
    run_id = give_result(store, finished(store, name="mine", seed=7))
    app = dialog("evaluate_again", run_id)
    app.multiselect(key="evaluate students").set_value(["convnet"])
    app.number_input(key="evaluate count").set_value(9)
    app.multiselect(key=f"evaluate {run_id}/evaluation/recipes").set_value(["ours", "frepo"])
    app.button(key="evaluate").click().run()
    new, old = store.runs()[0], store.run(run_id)
    assert (new.action, new.start, new.name, new.status) == ("evaluate", run_id, "Evaluated again: mine", "queued")
    assert new.request.evaluation == old.request.evaluation.model_copy(
        update={"students": ("convnet",), "num_students": 9, "recipes": ("ours", "frepo")}
    )
    kept = ("source", "data", "method", "config", "seed")
    assert all(getattr(new.request, name) == getattr(old.request, name) for name in kept)
    assert (store.folder(new.id) / "start.safetensors").read_bytes() == b"set"
    assert went == [("pages/runs.py", {"run": new.id})]


def test_an_evaluation_that_cannot_work_is_one_sentence_and_no_run(store, went):
    app = dialog("evaluate_again", give_result(store, finished(store)))
    app.multiselect(key="evaluate students").set_value(["lenet"])
    app.button(key="evaluate").click().run()
    assert "'lenet' needs images of at least 28 x 28 pixels" in app.error[0].value.replace("\\", "")
    assert len(store.runs()) == 1 and not went


def test_a_result_is_the_start_of_a_new_run(visit, store):
    run_id = give_result(store, finished(store))
    app = visit("runs", run=run_id)
    app.menu_button(key="more").click("Start from this result").run()
    assert (app.query_params["from"], app.query_params["start"]) == (run_id, run_id)
    assert app.title[0].value == "Distil"


def test_only_settings_that_begin_from_a_result_are_said_to(visit, store):
    run_id = give_result(store, finished(store))
    address = {"from": run_id, "start": run_id}
    app = visit("distill", **address)
    began = f"Distilling starts from the result of run {run_id}."
    assert began in words(app)
    app.selectbox(key=f"distil method {run_id} images").select("podd").run()
    assert f"Filled in from run {run_id}." in words(app) and began not in words(app)


@pytest.mark.parametrize("is_done", [True, False])
def test_an_evaluation_shows_scores_and_pictures_and_no_outer_steps(visit, store, is_done):
    first = finished(store)
    app = visit("runs", run=evaluated(store, first, is_done))
    text = words(app).lower()
    assert "outer step" not in text and "outer loss" not in text and "step 0" not in text
    assert "Distilled, test 85.1 %" in words(app) and "of evaluation" in words(app)
    assert f"Evaluates the result of run {first}" in links(app)
    assert len(app.get("plotly_chart")) == 1 + is_done
    assert app.image[0].captions == ["The result as it was after step 200"]
    assert "outer step" not in words(visit("runs")).lower().replace("outer step 200 of 200", "")


def test_a_stopped_evaluation_offers_to_start_again_without_speaking_of_steps(visit, store):
    run_id = evaluated(store, finished(store), is_done=False)
    store.append(run_id, [engine.events.Stopped(0)])
    app = visit("runs", run=run_id)
    assert "You stopped this evaluation" in words(app)
    assert app.button(key="resume").label == "Start again"


def test_a_deleted_origin_is_said_and_not_linked(visit, store):
    first = finished(store)
    run_id = evaluated(store, first)
    store.delete(first)
    app = visit("runs", run=run_id)
    assert f"Evaluates the result of run {first}, which was deleted." in words(app)
    assert not app.error


# ---- sweeps ----


def ask_script():
    import streamlit as st

    import engine
    from pages.ui import sweep

    request = engine.request_from_preset("digits", "bilevel", "quick")
    st.session_state["asked"] = sweep.ask(request, "form")


def test_a_sweep_that_is_not_used_is_the_request_itself(store):
    app = AppTest.from_function(ask_script, default_timeout=60).run()
    assert app.session_state["asked"] == [request()]


def test_values_typed_for_two_options_become_runs(store):
    app = AppTest.from_function(ask_script, default_timeout=60).run()
    app.multiselect(key="form/sweep options").set_value(["config.outer_lr", "seed"]).run()
    assert app.session_state["asked"] == []
    assert "separated by commas" in words(app)
    app.text_input(key="form/sweep config.outer_lr").set_value("0.01, 0.03").run()
    app.text_input(key="form/sweep seed").set_value("0,1,2").run()
    found = app.session_state["asked"]
    assert [(each.config["outer_lr"], each.seed) for each in found][:4] == [(0.01, 0), (0.01, 1), (0.01, 2), (0.03, 0)]
    assert "6 runs (2 × 3)" in words(app)


def test_a_wrong_value_is_one_sentence_and_no_run(store):
    app = AppTest.from_function(ask_script, default_timeout=60).run()
    app.multiselect(key="form/sweep options").set_value(["config.outer_lr"]).run()
    app.text_input(key="form/sweep config.outer_lr").set_value("0.01, fast").run()
    assert app.session_state["asked"] == []
    assert "'fast' is not a number for Outer learning rate" in app.error[0].value.replace("\\", "")
