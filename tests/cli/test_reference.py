"""The reference of all options says what the configs say."""

from __future__ import annotations

import json

from engine.cli.main import main
from engine.cli.reference import PLACE, option_rows, reference
from engine.core.config import RunRequest, checked
from engine.methods import METHODS


def test_reference_in_the_repository_is_current():
    assert PLACE.read_text(encoding="utf-8") == reference(), "run make docs"


def test_every_option_of_every_method_is_in_the_reference_with_its_default():
    text = reference()
    for method in METHODS.values():
        for row in option_rows(method.config, "config."):
            shown = row.default if isinstance(row.default, str) else json.dumps(row.default)
            assert f"| `{row.name}` | `{shown}` |" in text, f"{method.key}: {row.name}"
            assert row.text and row.values


def test_a_default_in_the_reference_is_what_a_request_without_the_option_gets():
    request = checked(RunRequest, {"source": "digits", "method": "bilevel"}, "request")
    values = {row.name: row.default for row in option_rows(RunRequest, made=request)}
    assert (
        values["data.zca_eps"] == request.data.zca_eps
        and values["evaluation.batch_size"] == request.evaluation.batch_size
    )


def test_docs_writes_the_reference(capsys, tmp_path):
    assert main(["docs"]) == 0 and capsys.readouterr().out == reference()
    assert main(["docs", "--to", str(tmp_path / "R.md")]) == 0 and (tmp_path / "R.md").read_text() == reference()
