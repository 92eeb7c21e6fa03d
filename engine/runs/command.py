"""A request as a command line, and its settings that differ from the defaults."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from engine.core.config import Config, RunRequest
from engine.core.errors import UserError
from engine.core.program import COMMAND
from engine.methods import METHODS, config_of
from engine.run import request_from_preset

NO_PRESET = "none"
"""The value of `--preset` for a request that starts from the defaults."""


class Setting(NamedTuple):
    """An option that differs from its default; name: dotted, as in `--set`."""

    name: str
    value: Any
    default: Any


def command_line(request: RunRequest) -> str:
    """The command that repeats a run: its preset, if any, and what differs from it, quoted for a shell.

    It names the request's file if this version does not know all of its options.
    """
    program = f"{COMMAND} {'pretrained record' if request.action == 'record' else 'distill'}"
    try:
        line = _words(request)
    except UserError:
        return f"{program} request.json"
    return " ".join([program, *map(shlex.quote, line)])


def settings(request: RunRequest) -> list[Setting]:
    """Every option of a request that differs from its default, in the order of the form.

    Raises UserError for a method or an option that this version does not know.
    """
    return _differences(RunRequest(source=request.source, method=request.method), request)


def dotted(values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every single value in nested groups."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value


def put(values: dict[str, Any], option: str, value: Any) -> None:
    """Set a dotted option of a request; a group that the request leaves out keeps the method's other defaults.

    Raises TypeError if a part of the name is not a group.
    """
    *path, name = option.split(".")
    method = METHODS.get(values["method"])
    if path[:1] == ["config"] and len(path) > 1 and method and path[1] in method.config.model_fields:
        group = method.config.model_fields[path[1]].default
        if isinstance(group, Config):
            values["config"].setdefault(path[1], group.model_dump(mode="json"))
    place = values
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise TypeError(f"'{part}' is a single value, not a group of options.")
    place[name] = value


def _words(request: RunRequest) -> list[str]:
    base, preset = RunRequest(source=request.source, method=request.method), NO_PRESET
    if request.method in METHODS and request.preset in METHODS[request.method].presets_for(request.source):
        base, preset = request_from_preset(request.source, request.method, request.preset), request.preset
    line = ["--source", request.source, "--method", request.method, "--preset", preset]
    for setting in _differences(base, request):
        line += ["--set", f"{setting.name}={_text(setting.value)}"]
    for name in ("device", "start") if request.action == "record" else ("device", "action", "start"):
        if getattr(request, name) != getattr(base, name):
            line += ["--set", f"{name}={_text(getattr(request, name))}"]
    line += ["--seed", str(request.seed)]
    if request.name:
        line += [f"--name={request.name}"] if request.name.startswith("-") else ["--name", request.name]
    return line


def _full(request: RunRequest) -> dict[str, Any]:
    """Dotted option -> value, of every option of config, data and evaluation."""
    parts = {"config": config_of(request), "data": request.data, "evaluation": request.evaluation}
    return dict(dotted({name: part.model_dump(mode="json") for name, part in parts.items()}))


def _differences(base: RunRequest, request: RunRequest) -> list[Setting]:
    before, values = _full(base), _full(request)
    config = config_of(request)
    defaults = {name: value for name, value in config.scaled_defaults(vars(config)).items() if name not in base.config}
    before |= {f"config.{name}": value for name, value in defaults.items()}
    return [Setting(name, value, before[name]) for name, value in values.items() if value != before[name]]


def _text(value: Any) -> str:
    """A value as `--set` reads it: JSON, or text that is not JSON."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
