"""Runs that forecast prices on the pages: live, finished, compared, in the gallery, and what is left out of them."""

from __future__ import annotations

from dataclasses import replace

import canned_forecasts as forecasts
import canned_runs as canned
import pytest
from streamlit.testing.v1 import AppTest

import engine
from engine.core.events import Analysed, Finished, Started


def buttons(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def charts(app: AppTest) -> list[str]:
    return [chart.proto.id for chart in app.get("plotly_chart")]


def tables(app: AppTest) -> str:
    return " ".join(table.value.to_string() for table in app.table).replace("\\", "").replace("\u00a0", " ")


def drawn(app: AppTest, part: str) -> int:
    """How many charts have this in their key."""
    return sum(part in key for key in charts(app))


# ---- on its way ----


def test_run_that_waits_says_what_will_be_here(store, visit):
    text = canned.words(visit("runs", run=store.submit(forecasts.request(), status="running")))
    assert "The loss curve and the sequences appear here after the first outer steps." in text
    assert "next close, 1 sequence per token" in text and "images" not in text


def test_live_run_leads_with_skill_beside_random_real_and_the_naive_forecast(store, visit):
    app = visit("runs", run=forecasts.running(store))
    text = canned.words(app)
    assert "Skill, validation 2.6 % 6.8 points above random" in text
    assert "Random real, equal bytes −4.2 % validation, 1 student" in text
    assert "Naive forecast 0.0 % last close" in text
    assert "Distilled sequences" in text and "ccuracy" not in text
    assert drawn(app, "validation") == 1 and drawn(app, "loss") == 1


def test_live_run_shows_each_token_s_candles_beside_as_many_real_windows(store, visit):
    app = visit("runs", run=forecasts.running(store, per_token=2))
    assert app.selectbox(key="token of 0001 False").options == ["All tokens", *forecasts.TOKENS]
    assert drawn(app, "candles 0001 SIM-A") == 2 and drawn(app, "candles 0001 real SIM-A") == 2
    app.selectbox(key="token of 0001 False").set_value("SIM-B").run()
    assert drawn(app, "candles 0001 SIM-A") == 0 and drawn(app, "candles 0001 SIM-B") == 2


@pytest.mark.parametrize(
    ("target", "told"),
    [("close", "next close"), ("volatility", "volatility"), ("direction", "up with 63 %"), ("both", "up with 63 %")],
)
def test_learned_targets_are_told_in_words(store, visit, target, told):
    app = visit("runs", run=forecasts.running(store, target=target))
    text = canned.words(app)
    assert f"SIM-A: {told}" in text or "SIM-A: next close" in text and told in text
    assert ("standard deviations" in text) is False, "the real windows are here, so that targets are told in per cent"


def test_without_its_data_set_a_run_shows_its_sequences_alone_and_says_so(store, visit, monkeypatch):
    run_id = forecasts.running(store)
    others = {key: source for key, source in engine.sources().items() if key != "simulated_prices"}
    monkeypatch.setattr(engine, "sources", lambda: others)
    app = visit("runs", run=run_id)
    text = canned.words(app)
    assert "The data set of this run was deleted, so no real windows are shown." in text
    assert "SIM-A: next close 0.8 standard deviations above the mean" in text
    assert drawn(app, "candles") == 1 and drawn(app, "real") == 0


def test_other_windows_are_drawn_when_asked_for(store, visit):
    app = visit("runs", run=forecasts.running(store))
    before = [part.value for part in app.markdown if ", to " in part.value]
    app.button(key="other draw of 0001").click().run()
    after = [part.value for part in app.markdown if ", to " in part.value]
    assert len(before) == len(after) == 1 and before != after


def test_failed_run_keeps_what_it_reached(store, visit):
    app = visit("runs", run=forecasts.failed(store))
    text = canned.words(app)
    assert (
        "The student's weights became NaN. Lower the student learning rate." in text
        and "Start again from step 0" in buttons(app)
    )
    assert drawn(app, "candles") == 2


def test_comparison_on_its_way_shows_the_phase(store, visit):
    assert "Comparing · 3 of 10 trainings · train students" in canned.words(
        visit("runs", run=forecasts.comparing(store))
    )


# ---- how it came out ----


@pytest.mark.parametrize("target", ["close", "volatility", "direction"])
def test_finished_run_tells_every_metric_with_intervals_and_the_naive_forecasts(store, visit, target):
    app = visit("runs", run=forecasts.finished(store, target))
    text, shown = canned.words(app), tables(app)
    assert "Distilled, test skill 3.1 % ± 0.4, n = 3" in text and "Random real, equal bytes −4.2 %" in text
    assert "Last value, no network" in shown and "Training mean, no network" in shown
    assert "−1.9 to 6.1" in shown, "the bootstrap interval of the distilled arm"
    assert (
        ("Skill against last value" in shown) == (target == "volatility")
        and ("RMSE" in shown) == (target != "direction")
        and ("MCC" in shown) == (target == "direction")
    )
    naive = "training frequencies" if target == "direction" else "last value"
    assert f"{naive} " in text and shown.count("−5.0 to 3.0") == (target != "direction"), "no skill, no interval"
    assert "By token" in text and "SIM-C" in shown and "ccuracy, validation" not in text


def test_sequences_close_to_real_windows_are_warned_of_above_the_tabs_and_on_compare(store, visit):
    run_id = forecasts.finished(store, beats_naive=True)
    known = store.analyses(run_id)["privacy"]
    store.append(run_id, [Analysed("privacy", known | {"nearest": {"distilled": [0.2, 1.5, 1.7], "real": [1.0, 1.1]}})])
    app = visit("runs", run=run_id)
    (warning,) = app.warning
    assert warning.value.startswith("1 of 3 sequences is close to a copy of a real window ")
    assert "Close to a real window 1 of 3" in canned.words(app)
    assert [box.value for box in visit("compare", run=run_id).warning] == [warning.value]


def test_finished_run_says_plainly_whether_anything_beats_the_naive_forecast(store, visit):
    app = visit("runs", run=forecasts.finished(store, beats_naive=True))
    assert [box.value.replace("\\", "") for box in app.info] == [forecasts.SOMETHING]


def test_finished_run_draws_forecasts_by_date_and_as_prices(store, visit):
    app = visit("runs", run=forecasts.finished(store))
    assert "result 0001 forecast SIM-A Returns" in " ".join(
        charts(app)
    ) and "Judge it by the returns" not in canned.words(app)
    app.get("button_group")[0].set_value("Prices").run()
    assert not app.exception and "Judge it by the returns" in canned.words(app)


def test_finished_run_shows_privacy_facts_and_every_adaptation(store, visit):
    app = visit("runs", run=forecasts.finished(store))
    text = canned.words(app)
    assert "None is close to a copy of a real one." in text and "Membership inference, AUC 0.51" in text
    assert "Does it help on GOLD?" in text and "Does it help on TIN?" in text
    assert drawn(app, "distances") == drawn(app, "tails") == drawn(app, "squares") == 1
    assert drawn(app, "adaptation") == 2


def test_metric_of_the_tokens_can_be_chosen(store, visit):
    app = visit("runs", run=forecasts.finished(store, "both"))
    app.selectbox(key="result 0001 token metric").set_value("MCC").run()
    assert not app.exception and "0.062 ± 0.008" in tables(app)


def test_list_and_home_tell_skill_with_its_baselines(store, visit):
    forecasts.finished(store)
    for page in ("runs", "home"):
        text = canned.words(visit(page)).replace("*", "")
        told = "3.1 ± 0.4 % skill, distilled (own recipe) · random (equal bytes) −4.2 % (own recipe) · k-means −2.0 %"
        assert told in text


def test_sorting_by_score_keeps_runs_of_negative_skill_before_those_without(store, visit):
    for better in (-3.0, 0.0):
        forecasts.finished(store, better=better, name=f"better {better}")
    for number in range(2):
        forecasts.running(store, name=f"unscored {number}")
    app = visit("runs")
    app.selectbox(key="run order").set_value("Score").run()
    names = [
        link.proto.label
        for link in app.get("page_link")
        if "better" in link.proto.label or "unscored" in link.proto.label
    ]
    assert [name.replace("\\", "") for name in names[:2]] == ["better 0.0", "better -3.0"]


# ---- compared ----


def test_compare_leads_with_the_verdict_and_leaves_out_what_needs_classes(store, visit):
    app = visit("compare", run=forecasts.finished(store, others=("transformer",)))
    text = canned.words(app).replace("**", "")
    assert forecasts.NOTHING in text
    assert (
        "Test skill relative to the last close is 3.1 % after training on 3 distilled sequences, "
        "1.20 kB (own recipe). On 3 random real windows of equal bytes, it is −4.2 % (own recipe)." in text
    )
    assert "On all 3,500 real windows, it is 3.6 % (standard training)." in text
    assert "Relative error 100.5 % own recipe" in text and "Compression 1 : 1,100" in text
    assert "Across architectures" in text and "Privacy and fidelity" in text
    for absent in ("Benchmark scores", "Retention", "hard labels", "images", "Accuracy", "accuracy"):
        assert absent not in text, absent


def test_compare_has_a_skill_matrix_of_several_runs(store, visit):
    runs = [forecasts.finished(store), forecasts.finished(store, better=0.01, per_token=2)]
    app = visit("compare", run=runs)
    text, shown = canned.words(app), tables(app)
    assert (
        "Test skill" in text
        and "Runs and training sets" in text
        and "Skill against bytes: Simulated prices, next close" in text
    )
    assert "3.1 %" in shown and "4.1 %" in shown and "next close" in shown
    assert "Test accuracy" not in text and drawn(app, "skill matrix") == 1


def test_compare_warns_of_each_run_whose_sequences_are_close_to_real_windows(store, visit):
    close, far = forecasts.finished(store), forecasts.finished(store)
    (privacy,) = (each for each in forecasts.analyses() if each.name == "privacy")
    nearest = privacy.values["nearest"] | {"distilled": [0.2, 1.5, 1.7]}
    store.append(close, [replace(privacy, values=privacy.values | {"nearest": nearest})])
    (warning,) = visit("compare", run=[close, far]).warning
    said = warning.value.replace("\\", "")
    assert said.startswith(f"Run {close}: ") and "1 of 3 sequences is close to a copy of a real window" in said


def test_runs_of_images_and_of_forecasts_are_not_put_on_one_axis(store, visit):
    app = visit("compare", run=[forecasts.finished(store), canned.finished(store)])
    text = canned.words(app)
    assert "Test skill" in text and "Test accuracy" in text and drawn(app, "runs together") == 2


def test_settings_of_images_and_of_windows_are_not_mixed(store, visit):
    runs = [forecasts.finished(store), forecasts.finished(store, "volatility")]
    assert "data.windows.target" in tables(visit("compare", run=runs)) and "volatility" in tables(
        visit("compare", run=runs)
    )
    app = visit("compare", run=[canned.finished(store), canned.finished(store)])
    app.toggle(key="only what differs").set_value(False).run()
    assert "data.normalisation" in tables(app) and "data.windows" not in tables(app)


def test_compared_runs_show_the_candles_of_each(store, visit):
    runs = [forecasts.finished(store), forecasts.finished(store, "volatility")]
    app = visit("compare", run=runs)
    assert [drawn(app, f"candles {run_id} few") for run_id in runs] == [len(forecasts.TOKENS)] * 2
    assert not app.get("imgs")


def test_form_asks_of_prices_nothing_that_only_images_have(visit):
    asked = {}
    for source in ("digits", "simulated_prices"):
        app = visit("distill", source=source)
        asked[source] = {field.label for field in (*app.number_input, *app.toggle)}
    of_images = {"Images for other architectures", "Other architectures on full data", "Also without augmentation"}
    assert of_images <= asked["digits"] and not of_images & asked["simulated_prices"]
    assert "Epochs on the full set" in asked["simulated_prices"]


def test_sweep_is_judged_by_skill(store, visit):
    for width in (8, 16):
        config = forecasts.request().config | {"student": {"name": "lstm", "depth": 1, "width": width}}
        forecasts.finished(store, sweep="ab12cd34", config=config)
    text = canned.words(visit("compare", sweep="ab12cd34"))
    assert "Skill of LSTM on validation windows" in text and "ccuracy" not in text


# ---- gallery ----


def test_gallery_shows_the_candles_of_every_token_small_pictures_and_a_time_lapse(store, visit):
    app = visit("gallery", run=forecasts.finished(store))
    way = app.get("button_group")[0]
    assert way.options == ["Candles", "Small pictures", "Time-lapse"]
    for token in forecasts.TOKENS:
        assert drawn(app, f"candles 0001 {token} 0") == 1 and drawn(app, f"candles 0001 real {token} 0") == 1
    for other in way.options[1:]:
        app.get("button_group")[0].set_value(other).run()
        assert not app.exception and app.image


def test_bars_and_targets_can_be_taken_home_as_single_files(store, visit, monkeypatch):
    done = forecasts.finished(store)
    (store.folder(done) / "result.safetensors").write_bytes(b"set")
    monkeypatch.setattr(engine.export, "refusal", lambda store, run_id: "")
    offered = [button.label for button in visit("runs", run=done).get("download_button")]
    assert {"Bars of all sequences (.csv)", "Targets of all sequences (.csv)"} <= set(offered)


# ---- evaluated again, loaded ----


def test_evaluating_again_offers_only_students_that_take_windows(store, visit):
    done = forecasts.finished(store)
    (store.folder(done) / "result.safetensors").write_bytes(b"set")

    def script(run_id):
        from pages.ui import actions, services

        actions.evaluate_again(services.store().run(run_id))

    app = AppTest.from_function(script, default_timeout=60, kwargs={"run_id": done}).run()
    assert set(app.multiselect(key="evaluate students").options) == {"GRU", "Transformer", "Linear", "MLP 256-128"}


def test_evaluation_shows_test_skill_and_candles(store, visit):
    done = forecasts.finished(store)
    (store.folder(done) / "result.safetensors").write_bytes(b"set")
    run_id = store.submit(forecasts.request(action="evaluate", start=done), status="running")
    store.append(run_id, [Started(0, {"device": "cpu"}), forecasts.preview(canned.TOTAL)])
    forecasts.scored(store, run_id, "close")
    app = visit("runs", run=run_id)
    assert "Test skill of LSTM" in canned.words(app) and drawn(app, "candles") == 3


def test_loaded_result_says_sequences(store, visit):
    run_id = store.submit(forecasts.request(), status="running")
    store.append(run_id, [Started(200, {"loaded_from": "result.safetensors"}), forecasts.preview(200)])
    store.append(run_id, [Finished({"step": 200, "num_samples": 3, "num_bytes": 1200})])
    app = visit("runs", run=run_id)
    assert "Distilled sequences 3" in canned.words(app) and drawn(app, "candles") == 2
