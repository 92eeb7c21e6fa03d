"""Pages of runs that make a poster: live, in the gallery, compared; and what pages of other runs no longer need to
say.
"""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from canned_runs import finished, poster_finished, poster_running, words
from PIL import Image
from posters import GRID, poster_view

from engine import figures
from engine.core.events import Analysed
from pages.ui import pictures


def traces(app, number: int) -> list[dict]:
    return json.loads(app.get("plotly_chart")[number].proto.spec)["data"]


def heading(app, text: str) -> bool:
    return text in [found.value.replace("\\", "") for found in app.subheader]


def test_a_live_run_shows_its_poster_in_place_of_a_grid(visit, store):
    app = visit("runs", run=poster_running(store))
    assert heading(app, "Poster") and not heading(app, "Synthetic images")
    assert "Poster after step 120 of 200" in app.image[0].captions[0]
    assert app.select_slider[0].value == 120
    app.select_slider[0].set_value(60).run()
    assert "Poster after step 60 of 200" in app.image[0].captions[0]


def test_areas_grid_and_patches_are_shown_when_asked_for(visit, store):
    run_id = poster_running(store)
    app = visit("runs", run=run_id)

    def shown() -> str:
        return app.image[0].proto.imgs[0].url

    first = shown()
    app.toggle(key=f"class areas {run_id}").set_value(False).run()
    bare = shown()
    app.toggle(key=f"patch grid {run_id}").set_value(True).run()
    marked = shown()
    app.toggle(key=f"patches {run_id}").set_value(True).run()
    assert len({first, bare, marked, shown()}) == 4 and not app.exception


def test_a_run_of_whole_images_has_none_of_it(visit, store):
    run_id = finished(store)
    app = visit("runs", run=run_id)
    assert heading(app, "Synthetic images") and not [toggle for toggle in app.toggle if "Patch" in toggle.label]
    assert visit("gallery", run=run_id).get("segmented_control")[0].options == ["Images", "Time-lapse"]


def test_the_picture_is_the_poster_in_true_aspect(store):
    run_id = poster_running(store)
    picture = Image.open(io.BytesIO(pictures.drawn.__wrapped__(store.run(run_id), 120, "whole", "light", 640)))
    assert picture.width / picture.height == GRID["width"] / GRID["height"]


@pytest.mark.parametrize("way", ["Poster", "Patches", "Labels", "Time-lapse"])
@pytest.mark.parametrize("make", [poster_running, poster_finished])
def test_the_gallery_shows_a_poster_in_every_way(visit, store, make, way):
    app = visit("gallery", run=make(store))
    app.get("segmented_control")[0].set_value(way).run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == (11 if way == "Labels" else 0)
    assert len(app.image) == (0 if way == "Labels" else 1)
    names = [button.label for button in app.get("download_button")]
    assert {"Download GIF", "Download WebP"} <= set(names) if way == "Time-lapse" else "Download GIF" not in names


def test_a_learned_label_map_is_shown_whole_and_by_class(visit, store):
    view = dataclasses.replace(poster_view(), label_map=np.eye(10, dtype=np.float16).reshape(10, 2, 5))
    app = visit("gallery", run=poster_running(store, view=view))
    app.get("segmented_control")[0].set_value("Labels").run()
    assert heading(app, "The learned map") and len(app.get("plotly_chart")) == 12
    assert shape(traces(app, 0)[0]["z"]) == (6, 12)
    app.get("segmented_control")[1].set_value("Learned map").run()
    assert shape(traces(app, 0)[0]["z"]) == (2, 5) and not app.exception


def shape(sent: dict) -> tuple[int, ...]:
    """Of the values of a heat map, sent packed."""
    return tuple(int(number) for number in sent["shape"].split(","))


def test_the_gallery_says_how_large_the_poster_is(visit, store):
    text = words(visit("gallery", run=poster_finished(store)))
    assert "25 × 61 pixels · 72 patches of 8 × 8 pixels in 6 rows of 12 · 10 classes" in text


def test_patches_can_be_pointed_at(visit, store):
    app = visit("gallery", run=poster_finished(store))
    app.get("segmented_control")[0].set_value("Patches").run()
    (shown,) = app.get("html")
    assert shown.proto.body.count("<span>Patch in row") == 72
    assert "72 patches in their order on the poster" in app.image[0].captions[0]


def test_many_classes_are_chosen_from(visit, store):
    names = tuple(f"class *{number}*" for number in range(60))
    grid = GRID | {
        "height": 80,
        "width": 120,
        "class_rows": 6,
        "class_columns": 10,
        "patch_rows": 12,
        "patch_columns": 18,
    }
    app = visit("gallery", run=poster_running(store, view=poster_view(grid, names)))
    app.get("segmented_control")[0].set_value("Labels").run()
    assert len(app.get("plotly_chart")) == 11
    assert r"**class \*" in " ".join(text.value for text in app.markdown)
    app.multiselect[0].set_value(app.multiselect[0].value[:2]).run()
    assert len(app.get("plotly_chart")) == 3 and not app.exception
    app.get("segmented_control")[0].set_value("Patches").run()
    assert "The first 200 of 216 patches" in app.image[0].captions[0]


def test_both_animations_show_the_whole_run(store):
    run_id = poster_finished(store)
    for kind in ("gif", "webp"):
        made = pictures.animation(store, run_id, tuple(store.previews(run_id)), "light", kind)
        assert Image.open(io.BytesIO(made)).n_frames == 3
    images = pictures.animation(store, finished(store), (0, 100, 200), "dark", "webp")
    assert Image.open(io.BytesIO(images)).n_frames == 3


def test_the_verdict_speaks_of_a_poster(visit, store):
    assert "**85.1 %** after training on one poster of 72 patches" in words(
        visit("compare", run=poster_finished(store))
    )


def test_accuracies_on_the_way_are_a_chart_and_not_lines_of_the_table(visit, store):
    app = visit("compare", run=poster_finished(store))
    table = app.table[0].value
    assert len(table) == 5 and list(table["Accuracy"])[0] == "85.1\u00a0±\u00a01.0\u00a0%"
    assert heading(app, "Accuracy by inner steps")
    lines = {trace["name"]: trace for trace in traces(app, 1)}
    assert list(lines) == ["Distilled", "Random real, equal bytes"]
    assert values(lines["Distilled"]["x"]) == [300, 600, 1000, 2000]
    assert values(lines["Distilled"]["y"]) == pytest.approx([79.1, 83.1, 85.1, 84.1])
    assert not heading(visit("compare", run=finished(store)), "Accuracy by inner steps")


def values(sent: object) -> list[float]:
    """Numbers of a trace, sent as a list or packed."""
    if isinstance(sent, dict):
        import base64

        return np.frombuffer(base64.b64decode(sent["bdata"]), sent["dtype"]).tolist()
    return list(sent)


def test_poster_and_images_are_compared_against_bytes(visit, store):
    runs = [poster_finished(store, 1300), finished(store, has_kmeans=True), poster_finished(store, 5200)]
    app = visit("compare", run=runs)
    assert heading(app, "Accuracy against bytes: Digits")
    points = {trace["name"]: trace for trace in traces(app, 1)}
    assert values(points["Distilled poster"]["x"]) == [1300, 5200]
    assert list(points["Distilled poster"]["text"]) == [runs[0], runs[2]]
    assert values(points["Distilled images"]["x"]) == [2610]
    assert {"k-means real, equal bytes", "Random real, equal bytes"} <= set(points)
    steps = app.table[1].value
    assert list(steps.columns) == ["Run", "300", "600", "1,000", "2,000"] and len(steps) == 2


def test_full_data_is_at_its_bytes_and_each_data_set_has_a_chart_of_its_own(visit, store):
    first, other = finished(store), poster_finished(store, 5200, source="mnist")
    app = visit("compare", run=[first, other])
    assert heading(app, "Accuracy against bytes: Digits") and heading(app, "Accuracy against bytes: MNIST")
    points = {trace["name"]: trace for trace in traces(app, 1)}
    assert len(values(points["Full data"]["x"])) == 1 and values(points["Distilled images"]["x"]) == [2610]


def test_one_run_has_the_chart_without_its_number(visit, store):
    app = visit("compare", run=finished(store, has_kmeans=True))
    assert heading(app, "Accuracy against bytes: Digits")
    points = {trace["name"]: trace for trace in traces(app, 1)}
    assert list(points) == ["Distilled images", "k-means real, equal bytes", "Random real, equal bytes", "Full data"]
    assert list(points["Distilled images"]["text"]) == [""]
    assert "Test scores. Whiskers: 95 % interval of the mean. Each set is scored under its best protocol" in words(app)


def test_bits_that_were_tried_are_a_chart_of_validation_scores(visit, store):
    run_id = finished(store)
    widths = {"32": {"bytes": 2610, "score": 0.86, "students": 3}, "8": {"bytes": 720, "score": 0.858, "students": 3}}
    assert not heading(visit("compare", run=run_id), "Accuracy by bits per value")
    store.append(
        run_id, [Analysed("storage", {"bits": 8, "is_asked": False, "widths": widths | {"4": {"bytes": 400}}})]
    )
    app = visit("compare", run=run_id)
    assert heading(app, "Accuracy by bits per value") and "do not compare them with test scores" in words(app)
    drawn = traces(app, 2)[0]
    assert values(drawn["x"]) == [720, 2610] and values(drawn["y"]) == pytest.approx([85.8, 86])
    layout = json.loads(app.get("plotly_chart")[2].proto.spec)["layout"]
    assert layout["yaxis"]["title"]["text"] == "validation accuracy (%)"
    assert heading(visit("compare", run=[run_id, finished(store)]), "Accuracy by bits per value")


def test_published_results_are_shown_beside_with_their_doubt(visit, store):
    runs = [poster_finished(store, size, source="cifar10") for size in (36864, 61440)]
    app = visit("compare", run=runs)
    text = words(app)
    assert "Hollow marks are published results, not measured here" in text
    assert heading(app, "Published elsewhere, not measured here")
    assert "Second-hand results are taken from other authors' accounts" in text
    assert "Published, second-hand" in [trace["name"] for trace in traces(app, 1)]
    app.get("segmented_control")[1].set_value("These runs only").run()
    assert "Published, second-hand" not in [trace["name"] for trace in traces(app, 1)]
    assert "Hollow marks" not in words(app)


def test_numbers_on_a_crowded_poster_are_explained(visit, store, monkeypatch):
    monkeypatch.setattr(figures, "numbered_classes", lambda view, width: [(7, "a_b")])
    app = visit("gallery", run=poster_finished(store))
    assert app.expander[0].label == "Classes by number" and r"**7** a\_b" in app.expander[0].markdown[0].value
