"""A result file is taken back in on the runs page."""

from __future__ import annotations

import pytest
from canned_runs import words
from store_tools import rebuild

import engine

TINY = {"student": {"name": "mlp"}, "passes": 2, "outer_steps": 1, "real_batch": 16, "num_validations": 0}


def result_file(tmp_path) -> bytes:
    request = engine.RunRequest(config=TINY, evaluation={"num_students": 1, "ordinary_steps": 1, "compare_full": False})
    synthetic, _ = engine.distill(request, engine.Context(cache_root=tmp_path))
    synthetic.save(tmp_path / "r.safetensors")
    return (tmp_path / "r.safetensors").read_bytes()


def loaded(visit, name: str, content: bytes):
    app = visit("runs")
    app.file_uploader(key="result file").upload(name, content, "application/octet-stream").run()
    return app.button(key="load it").click().run()


def test_an_exported_result_becomes_a_finished_run_and_is_shown(visit, store, tmp_path):
    app = loaded(visit, "best digits.safetensors", result_file(tmp_path))
    (row,) = store.runs()
    assert row.status == "done" and row.name == "best digits" and store.previews(row.id)
    assert app.query_params["run"] == row.id and not app.exception
    assert "best digits" in words(app)


def test_a_loaded_result_shows_what_is_known_of_it_and_offers_to_measure_it(visit, store, tmp_path):
    app = loaded(visit, "best_digits.safetensors", result_file(tmp_path))
    text = words(app)
    assert "Loaded from best_digits.safetensors. Evaluate it again to score it." in text
    assert [metric.label for metric in app.metric] == ["Distilled images", "Storage"]
    assert "Distilled images 10 as after outer step 1" in text and "of the full data" in text and "1 : " in text
    for absent in ("Outer loss", "not measured", "Time", "\N{EN DASH}"):
        assert absent not in text
    assert app.button(key="evaluate again").proto.type == "primary"
    assert "compare" not in [button.key for button in app.button]
    app.button(key="evaluate again").click().run()
    assert app.number_input(key="evaluate count")


@pytest.mark.parametrize("source", ["digits", "folder:gone"])
def test_a_loaded_result_whose_data_set_is_not_here_is_shown_without_a_compression(visit, store, tmp_path, source):
    engine.adopt(store, result_file(tmp_path), "r.safetensors")
    asked = store.run("0001").request.model_copy(update={"source": source})
    (store.folder("0001") / "request.json").write_text(asked.model_dump_json())
    rebuild(store)
    assert ("of the full data" in words(visit("runs", run="0001"))) == (source == "digits")


def test_the_list_says_which_file_a_result_was_loaded_from(visit, store, tmp_path):
    engine.adopt(store, result_file(tmp_path), "best_digits.safetensors")
    text = words(visit("runs"))
    assert "loaded from best_digits.safetensors" in text and "of work" not in text


def test_another_file_gives_a_sentence_and_no_run(visit, store):
    app = loaded(visit, "x.safetensors", b"\x80\x04 a pickle")
    assert any("cannot be read as a distilled set" in error.value for error in app.error)
    assert store.runs() == [] and not app.exception
