"""Forms made from configs: one widget a field, basic ones in sight, advanced ones folded away.

Every field of a config comes from `engine.config.option`, which says its bounds, unit, label, heading and the condition
under which it means anything. The widgets only gather values; `engine.checked` decides whether they are right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

import engine
from engine.figures import formats

OPTION_NAMES = {
    "dsa": "DSA",
    "zca": "ZCA",
    "sgd": "SGD",
    "cpu": "CPU",
    "cuda": "CUDA",
    "rgb": "RGB",
    "float32": "float32",
    "tf32": "TF32",
    "relu": "ReLU",
    "mlp": "MLP",
    "convnet": "ConvNet",
    "lenet": "LeNet",
    "alexcifarnet": "AlexCifarNet",
    "simpleconvnet": "SimpleConvNet",
    "convnetrgb": "ConvNetRGB",
    "alexnet": "AlexNet",
    "vgg11": "VGG11",
    "resnet18": "ResNet18",
    "resnet18_ap": "ResNet18-AP",
    "lstm": "LSTM",
    "gru": "GRU",
    "close": "Next close",
    "both": "Close and direction",
    "returns": "Log returns",
    "prices": "Scaled prices",
    "color": "Colour",
    "flip_crop": "Flip and crop",
    "flip_rotate": "Flip or rotate",
    "podd": "PoDD",
    "clip": "CLIP",
    "listed": "As listed",
    "features": "What a student sees",
    "names": "Letters of the names",
    "given": "Distances from a file",
    "share": "Share of the area",
    "barlow_twins": "Barlow Twins",
    "simclr": "SimCLR",
    "imagenet": "ResNet18 of ImageNet",
    "file": "From a file",
    "low_rank": "Low-rank bases",
    "rotate_90": "Rotated by 90°",
    "rotate_180": "Rotated by 180°",
    "rotate_270": "Rotated by 270°",
    "rbf": "RBF",
    "running": "Running average",
    "fixed_late": "Fixed, late",
}
DATA_SETS = {"transfer": "images", "adapt_to": "prices"}
"""Fields that name other data sets, and of which kind those are."""


@dataclass(frozen=True)
class Entry:
    """One field of a config as the form sees it.

    path: ("student", "depth") for a nested field. start: what the preset says. initial: what the widget begins with,
    the same unless the user has chosen something on another page already. offered: what there is to choose from where not
    every choice of the field fits.
    """

    path: tuple[str, ...]
    info: FieldInfo
    start: Any
    initial: Any
    offered: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def extra(self) -> dict[str, Any]:
        return self.info.json_schema_extra or {}

    @property
    def is_advanced(self) -> bool:
        return bool(self.extra.get("advanced"))

    @property
    def group(self) -> str:
        return self.extra.get("group") or ""

    @property
    def label(self) -> str:
        return self.extra.get("label") or formats.words(self.name)

    @property
    def label_with_unit(self) -> str:
        unit = self.extra.get("unit") or ""
        return f"{self.label} ({unit})" if unit and unit not in self.label.lower() else self.label


def entries(
    model: type[engine.Config], start: dict[str, Any], chosen: dict[str, Any] | None = None, path: tuple[str, ...] = ()
) -> list[Entry]:
    """The fields of `model`, nested configs opened in place.

    start: the values of the preset, defaults elsewhere. chosen: values that were chosen before the form was opened.
    """
    found, chosen = [], chosen or {}
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, engine.Config):
            nested = start.get(name) or {}
            nested = nested.model_dump() if isinstance(nested, engine.Config) else nested
            found += entries(kind, {**info.default.model_dump(), **nested}, chosen.get(name), (*path, name))
        else:
            begin = start.get(name, info.default)
            found.append(Entry((*path, name), info, begin, chosen.get(name, begin)))
    return found


def data_entries(
    source: engine.data.Source, start: dict[str, Any], chosen: dict[str, Any] | None = None
) -> list[Entry]:
    """The fields of DataConfig that mean anything for a source: of price histories those of windows, of images all others."""
    is_of_prices = source.kind == "prices"
    found = entries(engine.DataConfig, start, chosen)
    return [entry for entry in found if (entry.path[0] == "windows") == is_of_prices]


def fitting(fields: Iterable[Entry], source: engine.data.Source) -> list[Entry]:
    """The fields that mean anything for a source, those that name students offering only students that take what it is made of."""
    offered = tuple(key for key, card in engine.STUDENTS.items() if source.kind in card.takes)
    meant = (field for field in fields if (field.extra.get("of") or source.kind) == source.kind)
    return [replace(field, offered=offered) if _names_students(field) else field for field in meant]


def _names_students(field: Entry) -> bool:
    kind = field.info.annotation
    if get_origin(kind) is Literal:
        return set(engine.STUDENTS) <= set(get_args(kind))
    return kind == tuple[str, ...] and field.name not in DATA_SETS


def groups(fields: Iterable[Entry]) -> list[str]:
    """The headings of the fields in order, "" first for those that stand under none."""
    return list(dict.fromkeys(["", *(field.group for field in fields)]))


def ask(fields: Iterable[Entry], key: str, values: dict[tuple[str, ...], Any], columns: int = 3) -> None:
    """Show the widgets of `fields`, the advanced ones in an expander below; put what they hold into `values` by path."""
    fields = list(fields)
    basic = [field for field in fields if not field.is_advanced]
    advanced = [field for field in fields if field.is_advanced]
    if basic:
        with st.grid(columns, min_column_width=210, vertical_alignment="bottom"):
            for field in basic:
                values[field.path] = _widget(field, key, values)
    if advanced:
        with (
            st.expander("Advanced", icon=":material/tune:"),
            st.grid(columns, min_column_width=210, vertical_alignment="bottom"),
        ):
            for field in advanced:
                values[field.path] = _widget(field, key, values)


def nested(values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """{("student", "depth"): 3} -> {"student": {"depth": 3}}."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = value
    return tree


def changed(fields: Iterable[Entry], values: dict[tuple[str, ...], Any]) -> list[Entry]:
    """The fields whose value is no longer the one they started with."""
    return [field for field in fields if field.path in values and not _same(values[field.path], field.start)]


def differing(model: type[engine.Config], values: dict[str, Any]) -> dict[str, Any]:
    """What of `values` differs from the model's defaults: the part a request needs to hold."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        info = model.model_fields[name]
        if isinstance(info.annotation, type) and issubclass(info.annotation, engine.Config):
            inner = differing(info.annotation, value)
            default_inner = differing(info.annotation, info.default.model_dump())
            if inner or default_inner:
                kept[name] = inner
        elif not _same(value, info.default):
            kept[name] = value
    return kept


def option_name(value: Any) -> str:
    """A choice as people read it."""
    return OPTION_NAMES.get(value) or formats.words(str(value)) if isinstance(value, str) else str(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return one == other


def _widget(field: Entry, key: str, values: dict[tuple[str, ...], Any]) -> Any:
    """The widget of one field, by its type."""
    shared = {
        "label": field.label_with_unit,
        "key": "/".join((key, *field.path)),
        "help": _help(field),
        "disabled": not _applies(field, values),
        "persist_state": "session",
    }
    kind = field.info.annotation
    if get_origin(kind) is Literal:
        choices = list(field.offered or get_args(kind))
        return st.selectbox(
            options=choices,
            index=choices.index(field.initial) if field.initial in choices else 0,
            format_func=option_name,
            **shared,
        )
    if kind is bool:
        return st.toggle(value=bool(field.initial), **shared)
    if kind in (int, float):
        return _number(field, kind, shared)
    if get_origin(kind) is tuple:
        choices, named = _choices(field)
        chosen = [name for name in field.initial if name in choices]
        return tuple(st.multiselect(options=choices, default=chosen, format_func=named, placeholder="None", **shared))
    return st.text_input(value=str(field.initial), **shared)


def _choices(field: Entry) -> tuple[list[str], Callable[[str], str]]:
    """What a field of several choices offers, and how each is called: its own names, data sets to transfer to, or students."""
    if field.name in DATA_SETS:
        kind = DATA_SETS[field.name]
        return [key for key, source in engine.sources().items() if source.kind == kind], engine.titles.source
    own = get_args(get_args(field.info.annotation)[0])
    return list(own or field.offered or engine.STUDENTS), option_name


def _number(field: Entry, kind: type, shared: dict[str, Any]) -> Any:
    low, high = _bounds(field.info)
    if kind is int:
        return st.number_input(
            min_value=_whole(low), max_value=_whole(high), value=int(field.initial), step=1, **shared
        )
    start = float(field.initial)
    return st.number_input(min_value=low, max_value=high, value=start, step=_step(start, high), format="%g", **shared)


def _step(start: float, high: float | None) -> float:
    """A tenth of the starting value's power of ten, so that 0.02 moves by 0.001... and 0 by a hundredth of its range."""
    if start:
        return 10.0 ** (math.floor(math.log10(abs(start))) - (0 if abs(start) >= 1 else 1))
    return 0.1 if high is None or high >= 1 else high / 100


def _bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    low = next((float(rule.ge) for rule in info.metadata if getattr(rule, "ge", None) is not None), None)
    high = next((float(rule.le) for rule in info.metadata if getattr(rule, "le", None) is not None), None)
    return low, high


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _help(field: Entry) -> str:
    """The field's sentence, with its bounds where it has any."""
    low, high = _bounds(field.info)
    sentence = (field.info.description or "").rstrip(".").replace("*", "\\*")
    if low is None or high is None:
        return f"{sentence}."
    return f"{sentence}. From {_bound(low)} to {_bound(high)}."


def _bound(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _applies(field: Entry, values: dict[tuple[str, ...], Any]) -> bool:
    """Whether the field means anything under the values chosen so far; a condition on a later field is not known yet."""
    condition = field.extra.get("when")
    if not condition:
        return True
    other, wanted = condition
    path = (*field.path[:-1], other)
    if path not in values:
        return True
    return values[path] in wanted if isinstance(wanted, tuple | list) else values[path] == wanted
