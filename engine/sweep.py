"""A sweep: values for one or two options become runs that differ in nothing else.

    expand(request, {"config.outer_lr": ["0.01", "0.03"], "seed": ["0", "1"]})    # four requests

Options are named as in `--set`: a dotted option of `config`, `data` or `evaluation`, or `seed`. Values come as typed.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from engine.config import Config, DataConfig, EvaluationConfig, RunRequest, checked
from engine.context import data_root
from engine.data import sources
from engine.errors import ConfigError
from engine.methods import METHODS
from engine.run import resolve

MAX_OPTIONS = 2
MAX_RUNS = 50
_MAX_NAME = RunRequest.model_fields["name"].metadata[0].max_length


def expand(request: RunRequest, values: Mapping[str, Sequence[str]]) -> list[RunRequest]:
    """A request for each combination of values, in order, the last option varying fastest; all share a `sweep` id.

    Args:
        values: dotted option -> values as typed, read by the option's type; several words of one value joined by "+".

    Raises:
        ConfigError: no such option, a value that it cannot take (named in the sentence), no value, or more than
            MAX_OPTIONS options or MAX_RUNS runs.
    """
    if not 1 <= len(values) <= MAX_OPTIONS:
        raise ConfigError(f"A sweep varies one or two options, not {len(values)}.")
    axes = [_axis(request, option, texts) for option, texts in values.items()]
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MAX_RUNS:
        raise ConfigError(f"These values make {count} runs. A sweep can have {MAX_RUNS}; leave some values out.")
    sweep = secrets.token_hex(4)
    return [_one(request, dict(zip(values, chosen, strict=True)), sweep) for chosen in itertools.product(*axes)]


def _axis(request: RunRequest, option: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
    """(text, value) of each value of an option, each once."""
    kind = _kind(request, option)
    name = _short(option)
    found: dict[str, tuple[str, Any]] = {}
    for text in (text.strip() for text in texts):
        if not text:
            continue
        try:
            value = _read(text, kind)
        except ValidationError as problem:
            reason = problem.errors()[0]["msg"]
            raise ConfigError(f"'{text}' is no value for {name}: {reason[:1].lower()}{reason[1:]}.") from None
        found.setdefault(repr(value), (text, value))
    if not found:
        raise ConfigError(f"There is no value for {name} yet. Type some, separated by commas.")
    return list(found.values())


def _read(text: str, kind: Any) -> Any:
    """A typed value. Raises ValidationError where the type cannot take it."""
    typed: Any = tuple(part for part in text.split("+") if part) if kind == tuple[str, ...] else text
    return TypeAdapter(kind).validate_python(typed)


def _kind(request: RunRequest, option: str) -> Any:
    """The type of an option. Raises ConfigError if there is none of this name."""
    if option == "seed":
        return int
    part, _, rest = option.partition(".")
    models = {"data": DataConfig, "evaluation": EvaluationConfig}
    if request.method in METHODS:
        models["config"] = METHODS[request.method].config
    kind: Any = models.get(part)
    for name in rest.split("."):
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, Config) else {}
        kind = fields[name].annotation if name in fields else None
    if kind is None or (isinstance(kind, type) and issubclass(kind, Config)):
        raise ConfigError(f"There is no option '{option}' to sweep over. Options of method '{request.method}' are named config.ipc, data.zca or seed.")  # fmt: skip
    return kind


def _one(request: RunRequest, chosen: Mapping[str, tuple[str, Any]], sweep: str) -> RunRequest:
    """The request with the chosen values, checked as if it stood alone."""
    said = ", ".join(f"{_short(option)} {text}" for option, (text, _) in chosen.items())
    values = request.model_dump(mode="json")
    for option, (_, value) in chosen.items():
        *path, name = option.split(".")
        place = values
        for part in path:
            place[part] = dict(place.get(part) or {})  # never the caller's own
            place = place[part]
        place[name] = value
    values |= {"name": _named(request, said), "sweep": sweep}
    if set(chosen) != {"seed"}:
        values["preset"] = ""
    try:
        made = checked(RunRequest, values, "request")
        resolve(made)
    except ConfigError as error:
        raise ConfigError(f"With {said}: {error}") from None
    return made


def _named(request: RunRequest, said: str) -> str:
    """A name that says what is special about the run, cut in front where it is too long."""
    known = sources(data_root()).get(request.source)
    base = request.name or (known.title if known else request.source)
    room = max(0, _MAX_NAME - len(said) - 3)
    return f"{base[:room]} · {said}"[:_MAX_NAME]


def _short(option: str) -> str:
    """An option's name without its part: "config.student.width" -> "student.width"."""
    return option.partition(".")[2] or option
