"""A request as one line for a terminal, and as the list of what was chosen in it."""

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
"""What `--preset` is told for a request that is made of the defaults alone."""


class Setting(NamedTuple):
    """One chosen value: its dotted name in a request, the value, and what it would be by itself."""

    name: str
    value: Any
    default: Any


def command_line(request: RunRequest) -> str:
    """The line that repeats a run: its preset, or none, and what differs from it, quoted for a shell.

    Repeated are the settings, the seed and the name; not that the run was one of a sweep. A request that this version
    cannot read in full is told by its file.
    """
    program = f"{COMMAND} {'pretrained record' if request.action == 'record' else 'distill'}"
    try:
        line = _words(request)
    except UserError:
        return f"{program} request.json"
    return " ".join([program, *map(shlex.quote, line)])


def settings(request: RunRequest) -> list[Setting]:
    """Every option of a request in which it differs from the defaults, in the order of the form.

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
    """Set one dotted option of a request's values. A group that the request leaves out keeps the method's defaults.

    Raises TypeError where a part of the name is a single value.
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
    """A value as `--set` reads it back: JSON, or a text that is none."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
