"""A sweep: runs that differ in one or two options.

    expand(request, {"config.outer_lr": ["0.01", "0.03"], "seed": ["0", "1"]})    # four requests

Options are named as in `--set`: a dotted option of `config`, `data` or `evaluation`, or `seed`. Values are texts.
"""

import itertools
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from engine.core.config import Config, DataConfig, EvaluationConfig, RunRequest, checked
from engine.core.errors import ConfigError
from engine.core.options import option_of
from engine.data import find_source
from engine.figures import formats
from engine.methods import METHODS
from engine.run import resolve
from engine.runs.command import dotted, put

MAX_OPTIONS = 2
MAX_RUNS = 50
MAX_EXTREMES = 4
UNJUDGED = (
    "A sweep compares settings on validation images, but data.validation_fraction is 0; set a share for validation, or "
    "vary only the seed."
)
_MAX_NAME = RunRequest.model_fields["name"].metadata[0].max_length


def expand(request: RunRequest, values: Mapping[str, Sequence[str]]) -> list[RunRequest]:
    """One request per combination of values, the last option varying fastest; all share a `sweep` id.

    values: dotted option -> values as typed. Several choices of one value are joined by "+".
    Raises ConfigError for an unknown option, a wrong value, no values, more than MAX_OPTIONS options or MAX_RUNS runs,
    and for settings that only a validation set could judge where there is none.
    """
    if not 1 <= len(values) <= MAX_OPTIONS:
        raise ConfigError(f"A sweep varies one or two options, not {len(values)}.")
    axes = [_axis(request, option, texts) for option, texts in values.items()]
    count = math.prod(len(axis) for axis in axes)
    if count > MAX_RUNS:
        what = f"These values make {count} runs. A sweep can have at most {MAX_RUNS}"
        raise ConfigError(f"{what}; leave some values out.")
    sweep = secrets.token_hex(4)
    return [_one(request, dict(zip(values, chosen, strict=True)), sweep) for chosen in itertools.product(*axes)]


def extremes(requests: Sequence[RunRequest]) -> list[RunRequest]:
    """The requests of a sweep that may need most resources: every swept number is at an end of its range.

    At most MAX_EXTREMES, the largest numbers first.
    """
    values = [dotted(request.model_dump(mode="json", exclude={"name"})) for request in requests]
    asked = [{name: value for name, value in options if isinstance(value, int | float)} for options in values]
    common = [name for name in asked[0] if all(name in numbers for numbers in asked)]
    ends = {name: {pick(numbers[name] for numbers in asked) for pick in (min, max)} for name in common}
    found = [number for number, numbers in enumerate(asked) if all(numbers[name] in ends[name] for name in ends)]
    found.sort(key=lambda number: [asked[number][name] for name in ends], reverse=True)
    return [requests[number] for number in found[:MAX_EXTREMES]]


def _axis(request: RunRequest, option: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
    """(text, value) of each different value of an option."""
    name = _label(request, option)
    kind: Any = _field(request, option).annotation
    found: dict[str, tuple[str, Any]] = {}
    for text in filter(None, map(str.strip, texts)):
        parts: Any = tuple(filter(None, text.split("+"))) if get_origin(kind) is tuple else text
        try:
            value = TypeAdapter(kind).validate_python(parts)
        except ValidationError:
            raise ConfigError(f"'{text}' is {_missed(kind)} for {name}.") from None
        found.setdefault(repr(value), (text, value))
    if not found:
        raise ConfigError(f"There is no value for {name} yet. Type values separated by commas.")
    return list(found.values())


def _missed(kind: Any) -> str:
    """What is wrong with a value of the wrong kind, to follow "is"."""
    if get_origin(kind) is tuple:
        return _missed(get_args(kind)[0])
    if get_origin(kind) is Literal:
        *first, last = get_args(kind)
        return f"none of {', '.join(first)} and {last}"
    return {int: "not a whole number", float: "not a number", bool: "neither on nor off"}.get(kind, "not allowed")


def _label(request: RunRequest, option: str) -> str:
    """The label of an option in the form. Raises ConfigError for an unknown one."""
    return option_of(_field(request, option)).label or formats.words(option.rpartition(".")[2])


def _field(request: RunRequest, option: str) -> FieldInfo:
    """The declaration of an option. Raises ConfigError for an unknown one."""
    if option == "seed":
        return RunRequest.model_fields["seed"]
    part, _, rest = option.partition(".")
    kind: Any = {"data": DataConfig, "evaluation": EvaluationConfig}.get(part)
    if part == "config" and request.method in METHODS:
        kind = METHODS[request.method].config
    field = None
    for name in rest.split("."):
        field = kind.model_fields.get(name) if _is_config(kind) else None
        kind = field.annotation if field else None
    if field is None or _is_config(kind):
        raise ConfigError(f"There is no option '{option}' to sweep. Name options as config.ipc, data.zca or seed.")
    return field


def _is_config(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Config)


def _one(request: RunRequest, chosen: Mapping[str, tuple[str, Any]], sweep: str) -> RunRequest:
    """The checked request with the chosen values, which end its name."""
    said = ", ".join(f"{_label(request, option)} {text}" for option, (text, _) in chosen.items())
    values = request.model_dump(mode="json")
    for option, (_, value) in chosen.items():
        put(values, option, value)
    known = find_source(request.source)
    base = request.name or (known.title if known else request.source)
    room = max(0, _MAX_NAME - len(said) - 3)
    values |= {"name": f"{base[:room]} · {said}"[:_MAX_NAME], "sweep": sweep}
    if set(chosen) != {"seed"}:
        values["preset"] = ""
    try:
        made = checked(RunRequest, values, "request")
        resolve(made)
        if set(chosen) != {"seed"} and known and known.kind == "images" and not made.data.validation_fraction:
            raise ConfigError(UNJUDGED)
    except ConfigError as error:
        raise ConfigError(f"With {said}: {error}") from None
    return made
