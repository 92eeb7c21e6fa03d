"""A result file is taken back in on the runs page."""

from __future__ import annotations

from canned_runs import words

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


def test_another_file_gives_a_sentence_and_no_run(visit, store):
    app = loaded(visit, "x.safetensors", b"\x80\x04 a pickle")
    assert any("cannot be read as a distilled set" in error.value for error in app.error)
    assert store.runs() == [] and not app.exception
