"""Forms made from configs: one widget per option, advanced ones in an expander.

Bounds, unit, label, heading and conditions of an option come from `engine.core.options`. The widgets only gather
values; `engine.checked` validates them.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

import engine
from engine.figures import formats

Path = tuple[str, ...]
ACRONYMS = ("att", "clip", "cpu", "cuda", "dsa", "gsam", "mtt", "rbf", "rgb", "sam", "sgd", "tf32")
SPELT = {"relu": "ReLU", "leaky_relu": "Leaky ReLU", "float16": "float16", "float32": "float32", "simclr": "SimCLR"}
"""Choices with a spelling of their own."""


@dataclass(frozen=True)
class Entry:
    """One option as the form shows it.

    path: ("config", "student", "depth"). start: the preset's value. initial: what the widget begins with; `start`,
    unless the user chose something on another page. offered: the choices that fit the data set, if not all do.
    unread_by: the method that ignores the option, "" if it does not. holder: the option that holds the option's config,
    if that config has an effect only sometimes.
    """

    path: Path
    info: FieldInfo
    start: Any
    initial: Any
    offered: tuple[str, ...] = ()
    unread_by: str = ""
    holder: engine.options.Option = engine.options.Option()

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @property
    def option(self) -> engine.options.Option:
        return engine.options.option_of(self.info).within(self.holder, ".".join(self.path[:-2]))

    @property
    def label(self) -> str:
        return self.option.label or formats.words(self.name)

    @property
    def label_with_unit(self) -> str:
        unit = self.option.unit
        return f"{self.label} ({unit})" if unit and unit not in self.label.lower() else self.label

    def shown(self, value: Any) -> str:
        """A value of this option in words."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, list | tuple):
            return ", ".join(self.shown(part) for part in value) or "none"
        if isinstance(value, str):
            return self.option.names.get(value) or choice_name(value)
        return f"{value:,.10g}"


def choice_name(value: str) -> str:
    """A choice that its option does not name: a student's title, a special spelling, or the key in words."""
    if value in engine.STUDENTS or value in engine.POOLS:
        return engine.titles.architecture(value)
    if value in ACRONYMS:
        return value.upper()
    return SPELT.get(value) or (formats.words(value) if value.islower() else value)


def entries(
    model: type[engine.Config], start: Mapping[str, Any], chosen: Mapping[str, Any] | None = None, path: Path = ()
) -> list[Entry]:
    """The options of `model` and of the configs within it.

    start: the preset's values; others start at their defaults. chosen: values chosen before the form was opened. path:
    of the config within a request.
    """
    found: list[Entry] = []
    chosen, defaults = chosen or {}, model.scaled_defaults(start)
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, engine.Config):
            nested = start.get(name) or {}
            nested = nested.model_dump() if isinstance(nested, engine.Config) else nested
            inner = entries(kind, {**info.default.model_dump(), **nested}, chosen.get(name), (*path, name))
            holder = engine.options.option_of(info)
            found += [replace(entry, holder=holder) if holder.when else entry for entry in inner]
        else:
            begin = start.get(name, defaults.get(name, info.default))
            begin = tuple(begin) if isinstance(begin, list) else begin
            initial = chosen.get(name, begin)
            if engine.options.option_of(info).each:
                begin, initial = (engine.options.as_numbers(value) for value in (begin, initial))
            found.append(Entry((*path, name), info, begin, initial))
    return found


def fitting(fields: Iterable[Entry], source: engine.Source, method: engine.Method | None = None) -> list[Entry]:
    """The options for a kind of data set, students limited to those that take it; those `method` ignores are marked."""
    offered = engine.students_for(source.kind)
    unread = method.config.unread if method else frozenset()
    return [
        replace(
            field,
            offered=offered if field.option.among == "students" else (),
            unread_by=method.title if method and field.dotted in unread else "",
        )
        for field in fields
        if field.option.of in ("", source.kind)
    ]


def of_request(request: engine.RunRequest, data: Mapping[str, Any] | None = None) -> list[Entry]:
    """The options of a request, starting at its values; every option if its data set was deleted.

    data: preparation chosen before the form was opened.
    """
    method, source = engine.METHODS.get(request.method), engine.sources().get(request.source)
    found = entries(method.config, request.config, path=("config",)) if method else []
    found += entries(engine.DataConfig, request.data.model_dump(), data, path=("data",))
    found += entries(engine.EvaluationConfig, request.evaluation.model_dump(), path=("evaluation",))
    return fitting(found, source, method) if source else found


def ask(
    fields: Iterable[Entry], key: str, values: dict[Path, Any], columns: int = 3, among: Iterable[Entry] = ()
) -> None:
    """Show the widgets of `fields` and put what they hold into `values` by path.

    Options of a config that has no effect as a whole are left out. among: all options of the form, which those of
    `fields` may depend on; `fields` themselves by default.
    """
    fields = list(fields)
    form = {field.dotted: field for field in among or fields}
    # an option's value: asked already, held by its widget, or its initial one
    known = {
        name: values.get(field.path, st.session_state.get(_key(field, key), field.initial))
        for name, field in form.items()
    }
    shown = [field for field in fields if field.holder.unmet(".".join(field.path[:-2]), known) is None]
    for is_advanced in (False, True):
        part = [field for field in shown if field.option.advanced == is_advanced]
        if not part:
            continue
        place = st.expander("Advanced", icon=":material/tune:") if is_advanced else contextlib.nullcontext()
        with place, st.grid(columns, min_column_width=210, vertical_alignment="bottom"):
            for field in part:
                begun, own_key = _scaled(field, key, form, known)
                values[field.path] = _widget(begun, own_key, _idle(field, form, known))


def _scaled(field: Entry, key: str, form: Mapping[str, Entry], known: Mapping[str, Any]) -> tuple[Entry, str]:
    """The option where its widget begins, and the widget's key: both follow the option that scales its default."""
    if field.option.scale is None:
        return field, key
    name = field.option.scale[0]
    other = ".".join((*field.path[:-1], name))
    now, start = (field.option.factor({name: value}) for value in (known[other], form[other].start))
    if now == start:
        return field, key
    return replace(field, initial=field.initial * now / start), f"{key}/{known[other]}"


def _idle(field: Entry, form: Mapping[str, Entry], known: Mapping[str, Any]) -> str:
    if field.unread_by:
        return f"{field.unread_by} does not use it"
    place = ".".join(field.path[:-1])
    condition = field.option.unmet(place, known)
    if condition is None:
        return ""
    other = form[condition.seen_from(place)]
    return f"it needs {condition.words(other.label, other.shown)}"


def nested(values: Mapping[Path, Any]) -> dict[str, Any]:
    """{("student", "depth"): 3} -> {"student": {"depth": 3}}."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = value
    return tree


def changed(fields: Iterable[Entry], values: Mapping[Path, Any]) -> list[Entry]:
    """The options whose value is no longer the one they started with."""
    return [field for field in fields if field.path in values and values[field.path] != field.start]


def _key(field: Entry, key: str) -> str:
    return "/".join((key, *field.path))


def _widget(field: Entry, key: str, idle: str) -> Any:
    """The widget of one option, by its type. idle: why the option has no effect, "" where it has one."""
    shared: dict[str, Any] = {"label": field.label_with_unit, "key": _key(field, key), "persist_state": "session"}
    shared |= {"help": _help(field, idle), "disabled": bool(idle)}
    kind = field.info.annotation
    if get_origin(kind) is Literal:
        choices = [each for each in get_args(kind) if not field.offered or each in field.offered]
        index = choices.index(field.initial) if field.initial in choices else 0
        return st.selectbox(options=choices, index=index, format_func=field.shown, **shared)
    if kind is bool:
        return st.toggle(value=bool(field.initial), **shared)
    if kind is int or kind is float:
        return _number(field, shared)
    if field.option.each:
        return _numbers(field, shared)
    if get_origin(kind) is tuple:
        own = get_args(get_args(kind)[0])
        choices = list(own or field.offered or engine.STUDENTS)
        name: Callable[[str], str] = field.shown
        if field.option.among in ("images", "prices"):
            choices = [key for key, source in engine.sources().items() if source.kind == field.option.among]
            name = engine.titles.source
        chosen = [each for each in field.initial if each in choices]
        return tuple(st.multiselect(options=choices, default=chosen, format_func=name, placeholder="None", **shared))
    return st.text_input(value=str(field.initial), **shared)


def _number(field: Entry, shared: dict[str, Any]) -> int | float:
    kind: Any = field.info.annotation
    low, high = (None if bound is None else kind(bound) for bound in engine.options.bounds(field.info))
    start = kind(field.initial)
    look = {"step": 1} if kind is int else {"step": _step(start, high), "format": "%g"}
    return st.number_input(min_value=low, max_value=high, value=start, **look, **shared)


def _numbers(field: Entry, shared: dict[str, Any]) -> tuple[float, ...] | str:
    """A list of numbers with commas between them; as typed if it is none, so that its check says what is wrong."""
    kind = get_args(field.info.annotation)[0]
    typed = st.text_input(value=", ".join(f"{value:g}" for value in field.initial), **shared)
    try:
        return tuple(kind(part) for part in engine.options.as_numbers(typed))
    except ValueError:
        return typed


def _step(start: float, high: float | None) -> float:
    """A tenth of the power of ten of the starting value (0.02 moves by 0.001); for 0, a hundredth of the range."""
    if start:
        return 10.0 ** (math.floor(math.log10(abs(start))) - (0 if abs(start) >= 1 else 1))
    return 0.1 if high is None or high >= 1 else high / 100


def _help(field: Entry, idle: str) -> str:
    low, high = engine.options.bounds(field.info)
    said = [(field.info.description or "").rstrip(".").replace("*", "\\*")]
    if low is not None and high is not None:
        several = "One or several with commas between them, each from" if field.option.each else "From"
        said.append(f"{several} {field.shown(low)} to {field.shown(high)}")
    if idle:
        said.append(f"**Has no effect now: {idle}**")
    return ". ".join(said) + "."
