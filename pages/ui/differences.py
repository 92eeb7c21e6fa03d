"""The settings of several runs, option by option, and where they differ."""

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
    """One option of several runs.

    name: dotted, as in `--set`. values: one per run, None if it has no such option. texts: the values in words.
    """

    name: str
    label: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]

    @property
    def part(self) -> str:
        head = self.name.partition(".")[0]
        return head if head in PARTS else "run"

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)


def options(rows: Sequence[engine.RunRow]) -> list[Option]:
    """Every option of the runs in the order of the form, defaults included."""
    asked = [_asked(row.request) for row in rows]
    labels = {name: label for found in asked for name, (label, _, _) in found.items()}
    merged = []
    for name, label in labels.items():
        _, values, texts = zip(*(found.get(name, ("", None, formats.NOTHING)) for found in asked), strict=True)
        merged.append(Option(name, label, values, texts))
    return merged


def varied(rows: Sequence[engine.RunRow]) -> list[Option]:
    """The options that differ between the runs of a sweep, without their presets."""
    return [option for option in options(rows) if option.differs and option.name != "preset"]


def _asked(request: engine.RunRequest) -> dict[str, tuple[str, Any, str]]:
    """The label, value and text of each option of one run, by dotted name."""
    told = {
        "source": ("Data set", engine.titles.source(request.source)),
        "method": ("Method", engine.titles.method(request.method)),
        "preset": ("Preset", engine.titles.preset(request.method, request.source, request.preset)),
        "seed": ("Seed", request.seed),
        "device": ("Device", forms.choice_name(request.device)),
        "action": ("Work", engine.titles.action(request.action, request.method)),
        "start": ("Result of run", request.start or "none"),
    }
    found: dict[str, tuple[str, Any, str]] = {name: (label, value, str(value)) for name, (label, value) in told.items()}
    for field in forms.of_request(request):
        found[field.dotted] = (field.label_with_unit, field.start, field.shown(field.start))
    return found


def show(rows: Sequence[engine.RunRow]) -> None:
    """Tables of the options, at first only those that differ; values unlike the first run's are marked."""
    st.subheader("Settings", anchor=False)
    only = st.toggle("Only what differs", value=True, key="only what differs", persist_state="session")
    found = [option for option in options(rows) if option.differs or not only]
    if not found:
        st.caption("These runs have the same settings.")
    for part, title in PARTS.items():
        mine = [option for option in found if option.part == part]
        if mine:
            st.markdown(f"**{title}**")
            _table(mine, rows, title)


def _table(found: Sequence[Option], rows: Sequence[engine.RunRow], title: str) -> None:
    names = [(words.escaped(option.label), words.escaped(option.name)) for option in found]
    columns = {"Option": [f"{label}  \n:small[:gray[{name}]]" for label, name in names]}
    for number, row in enumerate(rows):
        texts = [words.escaped(option.texts[number]) for option in found]
        differs = [option.values[number] != option.values[0] for option in found]
        columns[row.id] = [
            f":orange-background[{text}]" if is_other else text for text, is_other in zip(texts, differs, strict=True)
        ]
    st.table(columns, border="horizontal", hide_index=True, alt=f"{title} of the compared runs")
