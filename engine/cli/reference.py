"""The reference of all options, `engine/REFERENCE.md`, made from the configs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from engine.core.config import Config, DataConfig, EvaluationConfig
from engine.core.options import bounds, option_of
from engine.core.program import ROOT
from engine.data.imported.limits import Limits
from engine.methods import METHODS

PLACE = ROOT / "engine" / "REFERENCE.md"
INTRODUCTION = """\
# Options

Every option of a request, by the name that `--set NAME=VALUE` takes. This file is made from the code: `make docs`.
The dashboard's forms show the same options. Presets set many of them: `distillery methods METHOD` lists the presets.
"""
METHOD_NOTE = """
# Options of the methods

Besides its own options, a method takes `config.student.*` and those groups above that its card names. If it has another
default for one of them, its table repeats the option.
"""
TITLES = {
    "StudentConfig": "Student",
    "ExpertsConfig": "Experts of trajectory matching",
    "TeacherConfig": "Teacher of self-supervised distillation",
    "ProbingConfig": "Pre-training and probing of self-supervised distillation",
    "CanvasConfig": "Canvases (`config.stored_as` is `canvas`)",
    "PosterConfig": "Posters (`config.stored_as` is `poster`)",
    "LowRankConfig": "Low-rank bases (`config.stored_as` is `low_rank`)",
}


class OptionRow(NamedTuple):
    """An option: its dotted name, the values it takes, its default and what it does."""

    name: str
    values: str
    default: Any
    text: str


def register(add) -> None:
    """Add `docs` to the command line."""
    parser = add("docs", _docs, "Write the reference of all options as Markdown.")
    parser.add_argument("--to", type=Path, default=None, metavar="FILE", help="a file (default: standard output)")


def _docs(options) -> int:
    if options.to is None:
        print(reference(), end="")
    else:
        options.to.write_text(reference(), encoding="utf-8")
        print(options.to)
    return 0


def option_rows(model: type[Config], prefix: str = "", made: Config | None = None) -> Iterator[OptionRow]:
    """Every option of a config and of the configs inside it. made: a config whose values are the defaults."""
    for name, info in model.model_fields.items():
        default = info.get_default() if made is None else getattr(made, name)
        if isinstance(default, Config):
            yield from option_rows(type(default), f"{prefix}{name}.", default)
        else:
            text = (info.description or "") + _effect(info, prefix.rstrip(".")) + _scale(info, prefix)
            yield OptionRow(f"{prefix}{name}", _values(info), default, text)


def reference() -> str:
    """All options as Markdown: a table per config, and one per method for its own options."""
    shared: dict[type[Config], str] = {}
    methods = ""
    for method in METHODS.values():
        rows = list(option_rows(method.config, "config."))
        for name, info in method.config.model_fields.items():
            if isinstance(inner := info.get_default(), Config):
                usual = {row.name: row.default for row in option_rows(type(inner), f"config.{name}.")}
                shared.setdefault(type(inner), f"config.{name}.")
                rows = [row for row in rows if row.name not in usual or row.default != usual[row.name]]
        methods += _section(f"{method.title}: `--method {method.key}`", rows)
    data = list(option_rows(DataConfig, "data."))
    windows = [row for row in data if row.name.startswith("data.windows.")]
    sections = [
        ("Images", [row for row in data if row not in windows]),
        ("Price windows", windows),
        ("Evaluation", option_rows(EvaluationConfig, "evaluation.")),
        *((TITLES.get(model.__name__, model.__name__), option_rows(model, prefix)) for model, prefix in shared.items()),
    ]
    limits = [(f"`{name}`", f"{value:,} {unit}", text) for name, value, unit, text in Limits().rows()]
    imports = _table("Limits on imports", ("environment variable", "default", "what it limits"), limits)
    return INTRODUCTION + "".join(_section(title, rows) for title, rows in sections) + METHOD_NOTE + methods + imports


def _section(title: str, rows: Iterable[OptionRow]) -> str:
    """A heading and a table of options."""
    lines = ((f"`{row.name}`", _shown(row.default), row.values, row.text) for row in rows)
    return _table(title, ("option", "default", "values", "what it does"), lines)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (f"| {' | '.join(row)} |\n" for row in [columns, *rows])
    head = next(lines)
    return f"\n## {title}\n\n{head}{'|---' * len(columns)}|\n{''.join(lines)}"


def _values(info: FieldInfo) -> str:
    """The choices or the range of an option."""
    if choices := get_args(info.annotation):
        if get_args(choices[0]):
            return f"several of {', '.join(f'`{choice}`' for choice in get_args(choices[0]))}"
        if each := option_of(info).each:
            return f"numbers from {each[0]:,g} to {each[1]:,g}"
        several = get_origin(info.annotation) is tuple
        return "names" if several else ", ".join(f"`{choice}`" for choice in choices)
    if info.annotation is bool:
        return "`true`, `false`"
    (low, high), unit = bounds(info), option_of(info).unit
    if low is None and high is None:
        return "text" if info.annotation is str else "number"
    return f"{_number(low)} to {_number(high)}{f' {unit}' if unit else ''}"


def _number(value: float | None) -> str:
    """A bound, without an exponent if it is whole."""
    if value is None:
        return "any"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _effect(info: FieldInfo, place: str) -> str:
    """A sentence on the conditions under which an option has an effect."""
    wanted = []
    for condition in option_of(info).when:
        values = " or ".join(_shown(value) for value in condition.values)
        wanted.append(f"`{condition.seen_from(place)}` is {'not ' if condition.excluded else ''}{values}")
    return f". Only if {' and '.join(wanted)}" if wanted else ""


def _scale(info: FieldInfo, prefix: str) -> str:
    """A sentence on the option that the default depends on."""
    other, factors = option_of(info).scale or ("", {})
    scaled = [f"{info.default * factor:g} if `{prefix}{other}` is `{value}`" for value, factor in factors.items()]
    return f". Default {' and '.join(scaled)}" if scaled else ""


def _shown(default: Any) -> str:
    """A default as `--set` takes it."""
    return f"`{json.dumps(default)}`" if not isinstance(default, str) else f"`{default}`"
