"""Several runs side by side: scores of every arm, curves in one chart, what differs, images in the same order;
sweeps.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from canned_runs import (
    KMEANS,
    MEANS,
    across_architectures,
    evaluated,
    failed,
    finished,
    queued,
    request,
    running,
    scored,
    words,
)

import engine
from engine.core.events import Finished, Preview, Started
from pages.ui import differences, pictures


def figure(app, number: int) -> dict:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


def names(app, number: int) -> list[str]:
    return [trace.get("name") for trace in figure(app, number)["data"]]


@pytest.fixture
def three(store) -> list[str]:
    """Runs that differ in seed, in two settings and in one preparation."""
    base = request().config
    return [
        finished(store, name="first", has_kmeans=True),
        finished(store, better=0.05, name="second", seed=5, has_kmeans=True),
        finished(
            store, better=-0.2, name="third", config={**base, "outer_lr": 0.5, "labels": "soft"}, data={"zca": True}
        ),
    ]


def test_the_address_names_the_runs_in_order(visit, three):
    app = visit("compare", run=[three[2], three[0]])
    assert app.multiselect[0].value == [three[2], three[0]]
    titles = [cell.split("  \n")[0] for cell in app.table[0].value["Run"]]
    assert titles == [f"{three[2]} · third", f"{three[0]} · first"]


def test_the_table_has_every_arm_of_each_run_with_its_interval(visit, three):
    table = visit("compare", run=three).table[0].value
    assert list(table["Distilled"])[0] == "85.1\u00a0%  \n:small[:gray[82.6\u00a0to\u00a087.6]]"
    assert [cell.split("\u00a0%")[0] for cell in table["Distilled"]] == ["85.1", "90.1", "65.1"]
    assert [cell.split("\u00a0%")[0] for cell in table["k-means real, equal bytes"]] == ["60.2", "60.2", "–"]
    assert [cell.split("\u00a0%")[0] for cell in table["Full data"]] == ["97.0"] * 3


def test_the_chart_has_each_arm_in_its_own_colour(visit, three):
    app = visit("compare", run=three)
    assert names(app, 0) == ["Distilled", "Random real, equal bytes", "k-means real, equal bytes", "Full data"]
    colours = [trace["marker"]["color"] for trace in figure(app, 0)["data"]]
    palette = engine.figures.palette.PALETTES["page"]
    assert colours == [palette.distilled, palette.random_real, palette.kmeans_real, palette.full]


def test_the_other_protocol_changes_scores_of_small_sets_and_not_of_the_full_one(visit, three):
    app = visit("compare", run=three)
    app.get("segmented_control")[0].set_value("Standard training").run()
    table = app.table[0].value
    assert list(table["Distilled"])[0].startswith("82.3\u00a0%")
    assert list(table["Full data"])[0].startswith("97.0\u00a0%")


def test_curves_of_all_runs_share_one_chart_told_apart_by_colour_and_dashes(visit, three):
    app = visit("compare", run=three)
    lines = figure(app, 2)["data"]
    assert [line["name"] for line in lines] == [f"{three[0]} · first", f"{three[1]} · second", f"{three[2]} · third"]
    assert len({line["line"]["color"] for line in lines}) == len({line["line"]["dash"] for line in lines}) == 3
    app.selectbox(key="compared quantity").set_value("validation_accuracy").run()
    assert "accuracy (%)" in figure(app, 2)["layout"]["yaxis"]["title"]["text"]
    app.toggle(key="compared log").set_value(True).run()
    assert figure(app, 2)["layout"]["yaxis"]["type"] == "log"


def test_a_run_that_did_not_measure_a_quantity_is_named(visit, store, three):
    silent = store.submit(request(), status="running")
    store.append(silent, [Started(200, {}), Finished({})])
    assert f"Not measured by {silent}." in words(visit("compare", run=[three[0], silent]))


def options(app) -> list[str]:
    return [
        cell.split("[")[-1].rstrip("]").replace("\\", "") for table in app.table[1:] for cell in table.value["Option"]
    ]


def test_only_what_differs_is_shown_at_first_with_labels_and_dotted_names(visit, three):
    app = visit("compare", run=three)
    assert options(app) == ["seed", "config.labels", "config.outer_lr", "data.zca"]
    rate = app.table[2].value.set_index("Option").filter(like="outer", axis=0)
    assert rate.index[0].startswith("Outer learning rate")
    assert list(rate.iloc[0]) == [r"0\.03", r"0\.03", r":orange-background[0\.5]"]


def test_all_options_are_shown_on_request_and_equal_ones_do_not_stand_out(visit, three):
    app = visit("compare", run=three)
    app.toggle(key="only what differs").set_value(False).run()
    shown = options(app)
    assert {"source", "config.student.depth", "data.augmentation", "evaluation.num_students"} <= set(shown)
    assert len(shown) > 40
    cells = [cell for table in app.table[1:] for column in table.value.columns[1:] for cell in table.value[column]]
    assert sum(cell.startswith(":orange") for cell in cells) == 4


def test_runs_asked_for_alike_are_said_to_be(visit, store):
    ids = [finished(store, name="one"), finished(store, name="two")]
    assert "have the same settings" in words(visit("compare", run=ids))


def test_an_option_at_its_default_differs_from_the_same_option_set_elsewhere(store):
    one = store.run(queued(store, config={}))
    other = store.run(queued(store, config={"outer_lr": 0.01}))  # the default
    third = store.run(queued(store, config={"outer_lr": 0.02}))
    assert [option.name for option in differences.options([one, other]) if option.differs] == []
    assert [option.values for option in differences.options([one, third]) if option.differs] == [(0.01, 0.02)]


def test_images_stand_in_the_class_order_of_the_first_run(visit, store):
    first, second = finished(store), finished(store)
    images = np.stack([np.full((8, 8, 1), 25 * number, np.uint8) for number in range(10)])
    store.append(first, [Preview(200, images, tuple("0123456789"))])
    store.append(second, [Preview(200, images[::-1], tuple("9876543210"))])

    def picture(run_id: str, classes: tuple[str, ...]) -> bytes:
        return pictures.drawn.__wrapped__(store.run(run_id), 200, "whole", "light", 320, classes=classes)

    order = tuple("0123456789")
    assert picture(second, order) == picture(first, ()) != picture(second, ())
    app = visit("compare", run=[first, second])
    assert len(app.image) == 2 and not app.exception


@pytest.mark.parametrize("make", [running, failed])
def test_runs_without_scores_are_compared_by_what_they_have(visit, store, make):
    app = visit("compare", run=[make(store), make(store)])
    assert "None of these runs has scores yet" in words(app)
    assert len(app.get("plotly_chart")) == 1 and len(app.image) == 2


def test_one_run_without_scores_is_a_sentence(visit, store):
    assert "has no scores yet" in words(visit("compare", run=running(store)))
    assert "0002 failed before it was scored" in words(visit("compare", run=failed(store)))


def test_a_queued_run_is_not_compared_yet_and_said_so(visit, store, three):
    waiting = queued(store)
    app = visit("compare", run=[waiting, three[0]])
    assert f"Run {waiting} has not started yet." in words(app)
    assert app.multiselect[0].value == [three[0]]


def test_the_verdict_names_k_means_where_it_was_measured(visit, three):
    said = "On 10 real images of equal bytes, chosen by k-means, it is **63.4 %** (standard training)."
    assert said in words(visit("compare", run=three[0]))
    assert "k-means" not in words(visit("compare", run=three[2]))


# ---- one run across architectures, and the numbers of the field ----


def table_of(app, column: str) -> dict:
    """The table of a page that has a column, by column."""
    (found,) = [part.value for part in app.table if column in part.value]
    return {name: list(found[name]) for name in found}


def test_architectures_are_compared_in_a_map_and_a_table(visit, store):
    app = visit("compare", run=across_architectures(store))
    (heat,) = [
        trace
        for number in range(len(app.get("plotly_chart")))
        for trace in figure(app, number)["data"]
        if trace["type"] == "heatmap"
    ]
    assert [name.replace("<br>", " ") for name in heat["y"]] == ["MLP 256-128", "ConvNet", "LeNet"]
    assert [name.replace("<br>", " ") for name in heat["x"]] == [
        "Distilled",
        "Distilled, moving average",
        "Random real, equal bytes",
        "k-means real, equal bytes",
        "Full data",
    ]
    assert heat["text"][1][1] == "<b>74.2</b><br>± 1.0<br>n = 3" and heat["text"][1][4] == ""
    table = table_of(app, "Architecture")
    assert (
        table["Distilled, moving average"][1]
        == "74.2\u00a0±\u00a01.0\u00a0% (n\u00a0=\u00a03)  \n:small[:gray[Own recipe]]"
    )
    assert table["Full data"][1:] == ["–", "–"]
    assert [entry.label for entry in app.expander if entry.label.startswith("All scores of")] == [
        "All scores of ConvNet",
        "All scores of LeNet",
    ]


def test_one_architecture_alone_has_no_map(visit, three):
    app = visit("compare", run=three[0])
    assert "Across architectures" not in words(app)
    assert not [part for part in app.get("download_button") if part.proto.label == "Download table (.csv)"]


def test_the_map_can_be_downloaded_as_a_table(visit, store):
    app = visit("compare", run=across_architectures(store))
    assert [part for part in app.get("download_button") if part.proto.label == "Download table (.csv)"]


def test_numbers_of_the_field_are_shown_with_what_they_mean(visit, store):
    app = visit("compare", run=across_architectures(store))
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Hard-label recovery"] == "11.9 points" and shown["Improvement over random"] == "32.8 points"
    expected = engine.figures.formats.percent(engine.ranking(store.scores("0001"), "mlp", "hard")[2].value)
    assert shown["Label-robust score"] == expected
    assert shown["Augmentation-robust score"].endswith(" %")
    assert "Lower is better." in words(app) and "This set has hard labels." in words(app)


def test_numbers_that_lack_an_arm_say_what_to_switch_on(visit, three):
    app = visit("compare", run=three[0])
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Hard-label recovery"] == shown["Augmentation-robust score"] == "not measured"
    assert shown["Improvement over random"] == "32.8 points"
    assert "with 'Also without augmentation'" in words(app)


def test_numbers_come_when_a_run_is_done(visit, store):
    unfinished = evaluated(store, finished(store), is_done=False)
    assert "Benchmark scores" not in words(visit("compare", run=unfinished))


def test_last_and_chosen_length_stand_side_by_side(visit, store):
    table = table_of(visit("compare", run=across_architectures(store)), "2,000 (last)")
    assert table["Trained on"][:2] == ["Distilled", "Distilled, moving average"]
    assert table["Chosen"][0] == "85.1 ± 1.0 % after 600"
    assert (
        table["300"][0] == "79.1\u00a0±\u00a01.0\u00a0%" and table["2,000 (last)"][0] == "83.1\u00a0±\u00a01.0\u00a0%"
    )


def test_training_without_augmentation_is_a_protocol_where_it_was_measured(visit, store, three):
    apart = visit("compare", run=[three[0], three[1]]).get("segmented_control")[0]
    assert "no augmentation" not in str(apart.options)
    app = visit("compare", run=[three[0], across_architectures(store, name="augmented")])
    app.get("segmented_control")[0].set_value("Own recipe, no augmentation").run()
    table = app.table[0].value
    assert [cell[:4] for cell in table["Distilled"]] == ["–", "80.5"]


# ---- sweeps ----


def swept(store: engine.Store, values: dict[str, list[str]], num_done: int) -> tuple[str, list[str]]:
    """Runs of a sweep, the first `num_done` of them scored, one running, the others queued."""
    ids = []
    requests = engine.sweep.expand(request(), values)
    for number, asked in enumerate(requests):
        ids.append(store.submit(asked, status="running" if number <= num_done else "queued"))
        if number < num_done:
            scored(store, ids[-1], MEANS | KMEANS, -0.05 * number)
            store.append(ids[-1], [Finished({})])
    return requests[0].sweep, ids


def test_a_sweep_over_a_number_is_a_line_that_fills_in_while_runs_finish(visit, store):
    sweep, ids = swept(store, {"config.outer_lr": ["0.001", "0.01", "0.1", "1"]}, 2)
    app = visit("compare", sweep=sweep)
    assert "Sweep: Outer learning rate" in words(app) and "2 of 4 runs finished" in words(app)
    drawn = figure(app, 0)
    assert names(app, 0) == ["Distilled", "k-means real, equal bytes", "Random real, equal bytes"]
    assert drawn["layout"]["xaxis"]["type"] == "log"
    table = app.table[0].value
    assert [cell[1:5] for cell in table["Run"]] == ids
    assert list(table["Outer learning rate"]) == [r"0\.001", r"0\.01", r"0\.1", "1"]
    assert list(table["State"]) == ["Done", "Done", "Running", "Queued"]
    assert [cell[:4] for cell in table["Distilled, test"]] == ["85.1", "80.1", "–", "–"]
    assert [cell[:4] for cell in table["Distilled, validation"]] == ["80.1", "75.1", "–", "–"]
    assert sorted(drawn["data"][0]["y"]) == pytest.approx([75.1, 80.1]), "drawn is what may be chosen by"
    scored(store, ids[2], MEANS)
    store.append(ids[2], [Finished({})])
    app.run()
    assert "3 of 4 runs finished" in words(app) and list(app.table[0].value["State"])[2] == "Done"


def test_a_sweep_over_two_options_is_a_map_with_numbers(visit, store):
    sweep, _ = swept(store, {"config.inner_optimiser": ["sgd", "adam"], "seed": ["0", "1"]}, 3)
    app = visit("compare", sweep=sweep)
    heat = figure(app, 0)["data"][0]
    assert heat["type"] == "heatmap"
    assert sorted(text for row in heat["text"] for text in row) == ["", "70.1 %", "75.1 %", "80.1 %"]


def test_a_sweep_before_the_first_score_says_what_will_come(visit, store):
    sweep, _ = swept(store, {"seed": ["0", "1"]}, 0)
    assert "The plot appears with the first scores." in words(visit("compare", sweep=sweep))


def test_a_sweep_of_which_nothing_is_left_is_a_sentence(visit, store):
    finished(store)
    app = visit("compare", sweep="<b>gone</b>")
    assert "All runs of this sweep were deleted." in words(app) and not app.error


def test_cards_and_runs_of_a_sweep_lead_to_it(visit, store):
    sweep, ids = swept(store, {"seed": ["0", "1"]}, 1)
    for app in (visit("runs"), visit("runs", run=ids[0])):
        link = next(link for link in app.get("page_link") if link.label == "Part of a sweep")
        assert f"sweep={sweep}" in link.proto.query_string


def test_the_runs_of_a_sweep_can_be_compared_in_full(visit, store):
    sweep, ids = swept(store, {"seed": ["0", "1", "2"]}, 2)
    app = visit("compare", sweep=sweep)
    app.button(key="compare sweep").click().run()
    assert app.multiselect[0].value == ids and not app.exception
