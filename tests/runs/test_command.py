"""The line that repeats a run is read back by the command line as the same request."""

from __future__ import annotations

import shlex
from typing import Literal, get_args, get_origin

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import engine
from engine.cli import main as cli
from engine.cli.requests import requested
from engine.core.config import DataConfig, EvaluationConfig, RunRequest, StudentConfig
from engine.methods import METHODS
from engine.runs import command

PRESETS = [
    (method.key, "folder:plants" if preset.source == "folder" else preset.source, preset.key)
    for method in METHODS.values()
    for preset in method.presets
    if preset.source
]


def parsed(line: str) -> RunRequest:
    """What the command line's own parser makes of a line."""
    program, module, name, *arguments = shlex.split(line)
    assert (program, module, name) == ("python", "-m", "engine")
    return requested(cli._parser().parse_args(arguments))


def in_full(request: RunRequest) -> dict:
    """A request with every default written out; the key of a preset it only began from says nothing."""
    config = engine.checked(METHODS[request.method].config, request.config, "config").model_dump()
    return request.model_dump(exclude={"preset", "sweep"}) | {"config": config}


def drawn(model):
    """Any allowed value of some of a config's options: texts of the choices, numbers within their bounds."""
    options = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        bounds = {key: value for part in field.metadata for key, value in _bounds(part)}
        if kind is bool:
            options[name] = st.booleans()
        elif kind is int:
            options[name] = st.integers(bounds.get("ge", 0), bounds.get("le", 100))
        elif kind is float:
            options[name] = st.floats(bounds.get("ge", 0), bounds.get("le", 1), allow_nan=False)
        elif get_origin(kind) is tuple and get_args(choices := get_args(kind)[0]):
            options[name] = st.lists(st.sampled_from(get_args(choices)), min_size=1).map(tuple)
        elif get_origin(kind) is Literal:
            options[name] = st.sampled_from(kind.__args__)
    return st.fixed_dictionaries({}, optional=options)


def _bounds(part) -> list[tuple[str, float]]:
    return [(key, getattr(part, key)) for key in ("ge", "le") if getattr(part, key, None) is not None]


def configs(key: str):
    """Configs that the method accepts."""

    def is_accepted(values: dict) -> bool:
        try:
            engine.checked(METHODS[key].config, values, "config")
        except engine.UserError:
            return False
        return True

    student = st.fixed_dictionaries({}, optional={"student": drawn(StudentConfig)})
    return st.builds(lambda own, net: own | net, drawn(METHODS[key].config), student).filter(is_accepted)


@st.composite
def requests(draw) -> RunRequest:
    method, source, preset = draw(st.sampled_from(PRESETS))
    tested = st.lists(st.sampled_from(list(engine.STUDENTS)), unique=True).map(tuple)
    evaluation = draw(drawn(EvaluationConfig)) | {"students": draw(tested)}
    return RunRequest(
        source=source,
        method=method,
        preset=draw(st.sampled_from([preset, "", "of another version"])),
        config=draw(configs(method)),
        data=DataConfig(**draw(drawn(DataConfig))),
        evaluation=EvaluationConfig(**evaluation),
        name=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=120)),
        seed=draw(st.integers(0, 2**31 - 1)),
        device=draw(st.sampled_from(["auto", "cpu"])),
        action=draw(st.sampled_from(["distill", "evaluate", "record"])),
        start=draw(st.sampled_from(["", "0007"])),
        sweep=draw(st.sampled_from(["", "s1"])),
    )


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(requests())
@example(RunRequest(source="simulated_prices", method="ohlc", config={"student": {"name": "lstm"}}))
@example(RunRequest(source="simulated_prices", method="ohlc", config={"student": {"name": "mlp", "init": "default"}}))
@example(RunRequest(method="trajectory", config={"stored_as": "poster", "outer_lr": 100.0}))
@example(RunRequest(method="trajectory", preset="quick", config={"stored_as": "poster"}))
def test_line_is_read_back_as_the_same_request(request):
    assert in_full(parsed(command.command_line(request))) == in_full(request)


@pytest.mark.parametrize(("method", "source", "preset"), PRESETS)
def test_preset_as_it_is_needs_no_settings(method, source, preset):
    request = engine.request_from_preset(source, method, preset, seed=3)
    line = command.command_line(request)
    assert line == f"python -m engine distill --source {source} --method {method} --preset {preset} --seed 3"
    assert parsed(line) == request


def test_only_what_differs_is_said_and_quoted_for_the_shell():
    quick = engine.request_from_preset("digits", "bilevel", "quick")
    request = quick.model_copy(update={"config": quick.config | {"outer_steps": 50}, "name": "it's $HOME; *"})
    line = command.command_line(request)
    assert line.count("--set") == 1 and "--set config.outer_steps=50" in line
    assert """--name 'it'"'"'s $HOME; *'""" in line


def test_request_of_an_unknown_method_is_told_by_its_file():
    assert command.command_line(RunRequest(method="magic")) == "python -m engine distill request.json"


def test_settings_are_those_that_differ_from_the_defaults():
    request = RunRequest(config={"ipc": 2, "passes": 3, "student": {"width": 16}}, data=DataConfig(zca=True))
    assert [tuple(setting) for setting in command.settings(request)] == [
        ("config.ipc", 2, 1),
        ("config.student.width", 16, 64),
        ("data.zca", True, False),
    ]


def test_the_default_of_a_form_is_no_setting_and_that_of_pixels_is_one_on_another_form():
    def said(**config) -> list:
        found = command.settings(RunRequest(method="trajectory", config={"stored_as": "low_rank"} | config))
        return [tuple(setting) for setting in found][1:]

    assert said() == said(outer_lr=10.0) == [] and said(outer_lr=100.0) == [("config.outer_lr", 100.0, 10.0)]
