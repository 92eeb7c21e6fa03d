"""What a run will be made of is said in the same words wherever it stands, for images and posters alike."""

from __future__ import annotations

import pytest

import engine
from engine.results import names
from pages.ui import live

MLP = {"student": {"name": "mlp"}}


def text(app) -> str:
    return " ".join(str(element.value) for element in [*app.markdown, *app.caption]).replace("\\", "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": {"ipc": 2}}, " · 2 images per class, 1.31 kB"),
        ({"method": "rat_bptt", "config": {"ipc": 1}}, " · 1 image per class, 658 B"),
        ({"method": "podd", "config": {"ipc": 0.5}}, " · 0.5 images per class, 337 B"),
        ({"method": "podd", "config": {"ipc": "half"}}, ""),
        ({"method": "podd", "config": {"poster_height": 4, "poster_width": 4}}, ""),
        ({"method": "gone", "config": {}}, ""),
        ({"source": "folder:gone"}, ""),
    ],
)
def test_title_says_the_size_where_it_can_be_known(store, changes, said):
    request = engine.RunRequest(**changes)
    row = store.run(store.submit(request))
    expected = f"{engine.titles.source(request.source)} · {engine.titles.method(request.method)}{said}"
    assert names.run_title(row) == expected
    planned, _ = live.planned_storage(row)
    assert (planned is None) == (not said)


@pytest.mark.parametrize(
    ("labels", "num_bytes"), [({}, 10), ({"labels": "learned", "label_ipc": 1.0}, 2 * 10 * 10 + 10)]
)
def test_storage_of_a_poster_is_that_of_its_pixels_and_labels_not_of_its_patches(store, labels, num_bytes):
    asked = {
        "method": "podd",
        "config": {"poster_height": 16, "poster_width": 40, "class_rows": 2, "class_columns": 5} | labels,
    }
    row = store.run(store.submit(engine.RunRequest(**asked)))
    assert live.planned_storage(row)[0] == 16 * 40 + 8 + num_bytes


def test_distil_page_plans_a_poster(visit):
    app = visit("distill")
    next(box for box in app.selectbox if box.label == "Method").set_value("podd").run()
    assert not app.exception and not app.error
    shown = text(app)
    assert (
        "**One poster of " in shown
        and " images per class" in shown
        and "patches, and a label map of 100 values**" in shown
    )


def test_poster_that_no_image_fits_in_is_one_sentence_and_no_start(visit):
    app = visit("distill")
    next(box for box in app.selectbox if box.label == "Method").set_value("podd").run()
    for label, value in (("Poster height (pixels)", 4), ("Poster width (pixels)", 90)):
        next(box for box in app.number_input if box.label == label).set_value(value)
    app.run()
    assert len(app.error) == 1 and "poster" in app.error[0].value
    assert app.button(key="start").disabled


def test_distil_page_cautions_bases_that_take_more_than_small_images_stored_whole(visit, store):
    config = {"stored_as": "low_rank", "low_rank": {"ipc": 6, "num_bases": 30, "basis_size": 6}}
    old = store.submit(engine.RunRequest(method="rat_bptt", config=config))
    app = visit("distill", **{"from": old})
    assert not app.exception
    said = " ".join(warning.value for warning in app.warning)
    assert "take 2,916 numbers; stored whole, the small images would take 2,160" in said
