"""What several runs were asked for, option by option, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import forms, words

PARTS = {"run": "Run", "config": "Method and student", "data": "Data preparation", "evaluation": "Evaluation"}


@dataclass(frozen=True)
class Option:
    """One option of several runs. name: dotted, as `--set` takes it. values: one a run, None where a run has no such option."""

    name: str
    label: str
    values: tuple[Any, ...]

    @property
    def part(self) -> str:
        head = self.name.partition(".")[0]
        return head if head in PARTS else "run"

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)


def options(rows: Sequence[engine.RunRow]) -> list[Option]:
    """Every option of the runs, in the order of the form. Options at their default count too."""
    asked = [_asked(row) for row in rows]
    labels = {name: label for found in asked for name, (label, _) in found.items()}
    return [
        Option(name, label, tuple(found[name][1] if name in found else None for found in asked))
        for name, label in labels.items()
    ]


def varied(rows: Sequence[engine.RunRow]) -> list[Option]:
    """The options of a sweep's runs that differ, names of runs and presets apart."""
    return [option for option in options(rows) if option.differs and option.name != "preset"]


def _asked(row: engine.RunRow) -> dict[str, tuple[str, Any]]:
    """dotted name -> (label, value) of one run."""
    request = row.request
    found: dict[str, tuple[str, Any]] = {
        "source": ("Data set", engine.titles.source(request.source)),
        "method": ("Method", engine.titles.method(request.method)),
        "preset": ("Preset", engine.titles.preset(request.method, request.source, request.preset)),
        "seed": ("Seed", request.seed),
        "device": ("Device", request.device),
        "action": ("Work", engine.titles.action(request.action, request.method)),
        "start": ("Result of run", request.start or "none"),
    }
    parts = [
        ("data", data_fields(engine.sources().get(request.source), request.data)),
        ("evaluation", forms.entries(engine.EvaluationConfig, request.evaluation.model_dump())),
    ]
    if request.method in engine.METHODS:
        parts.insert(0, ("config", forms.entries(engine.METHODS[request.method].config, request.config)))
    for part, fields in parts:
        for field in fields:
            value = tuple(field.start) if isinstance(field.start, list) else field.start
            found[".".join((part, *field.path))] = (field.label_with_unit, value)
    return found


def data_fields(source: engine.data.Source | None, data: engine.DataConfig) -> list[forms.Entry]:
    """The options of preparation that mean anything for a source; all of them where it is no longer here."""
    values = data.model_dump()
    return forms.entries(engine.DataConfig, values) if source is None else forms.data_entries(source, values)


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return formats.NOTHING
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(forms.option_name(part) for part in value) or "none"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return forms.option_name(value) if value.islower() else value


def show(rows: Sequence[engine.RunRow]) -> None:
    """Tables of the options, at first only of those that differ; values unlike the first run's stand out."""
    st.subheader("Settings", anchor=False)
    only = st.toggle("Only what differs", value=True, key="only what differs", persist_state="session")
    found = [option for option in options(rows) if option.differs or not only]
    if not found:
        st.caption("These runs were asked for with the same settings.")
    for part, title in PARTS.items():
        mine = [option for option in found if option.part == part]
        if mine:
            st.markdown(f"**{title}**")
            _table(mine, rows, title)


def _table(found: Sequence[Option], rows: Sequence[engine.RunRow], title: str) -> None:
    columns = {
        "Option": [f"{words.escaped(option.label)}  \n:small[:gray[{words.escaped(option.name)}]]" for option in found]
    }
    for number, row in enumerate(rows):
        columns[row.id] = [_cell(option, number) for option in found]
    st.table(columns, border="horizontal", hide_index=True, alt=f"{title} of the compared runs")


def _cell(option: Option, number: int) -> str:
    text = words.escaped(shown(option.values[number]))
    return f":orange-background[{text}]" if option.values[number] != option.values[0] else text
