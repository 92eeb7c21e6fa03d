"""Renders `engine.results.sections` as one HTML page that needs no network."""

import json
import re
from collections.abc import Sequence
from dataclasses import astuple
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from engine.figures import data_url
from engine.figures.palette import PALETTES, Palette, Theme
from engine.results.sections import Chart, Choice, Code, Group, Metrics, Picture, Section, Sentence, Table

_PAGE = Path(__file__).with_name("templates") / "report.html"
_TONES = {"plain": "", "caption": "faint", "note": "note", "warning": "note", "verdict": "verdict"}  # classes


def page(title: str, sections: Sequence[Section], top: str = "") -> str:
    """A whole page. top: HTML that comes first."""
    writer = _Writer()
    body = f"{top}\n{writer.written(sections)}"
    colours = {theme: _colours(theme) for theme in THEMES}
    scripts = {"colours": _in_script(json.dumps(colours)), "charts": "\n".join(writer.scripts)}
    page = Template(_PAGE.read_text(encoding="utf-8"))
    return page.substitute(scripts, title=escape(title), body=body, plotly=get_plotlyjs())


class _Writer:
    """Writes sections as HTML. A chart is a placeholder in the text, and its data are a script at the end."""

    def __init__(self) -> None:
        self.scripts: list[str] = []

    def written(self, sections: Sequence[Section], level: int = 2) -> str:
        return "\n".join(self._one(section, level) for section in sections)

    def _one(self, section: Section, level: int) -> str:
        match section:
            case Sentence():
                look = f' class="{_TONES[section.tone]}"' if _TONES[section.tone] else ""
                return f"<p{look}>{_marked(section.text)}</p>"
            case Metrics():
                rows, told = [], ""
                for metric in section.of:  # what several rows in turn have in common is explained in the first
                    explanation, told = "" if metric.help == told else metric.help, metric.help
                    rows.append((metric.label, metric.value, _explained(metric.note, explanation)))
                return _table(rows, (), "numbers")
            case Table():
                head, kind = tuple(section.columns), "scores"
                if not any(map(str.strip, head)):
                    head, kind = (), "facts"
                lines = list(zip(*section.columns.values(), strict=True))
                return f'<div class="wide">{_table(lines, head, kind)}</div>'
            case Chart():
                return f'<div class="chart-alone">{self._chart(section.draw(), section.alt)}</div>'
            case Picture():
                return _picture(section)
            case Code():
                return f"<pre>{escape(section.text)}</pre>"
            case Group():
                return self._group(section, level)
            case Choice():
                return self._choice(section, level)
        return ""  # a file to download has no place here

    def _group(self, group: Group, level: int) -> str:
        inner = min(level + 1, 4) if group.title else level
        if group.layout == "fold":
            return f"<details><summary>{escape(group.title)}</summary>{self.written(group.of, inner)}</details>"
        title = f"<h{level}>{escape(group.title)}</h{level}>\n" if group.title else ""
        if group.layout != "grid":
            body = self.written(group.of, inner)
        elif all(isinstance(section, Picture) for section in group.of):
            body = f'<div class="strip">{self.written(group.of, inner)}</div>'
        else:
            cells = (f"<div>{self.written([section], inner)}</div>" for section in group.of)
            body = f'<div class="charts">{"".join(cells)}</div>'
        return f"<section>\n{title}{body}\n</section>"

    def _choice(self, choice: Choice, level: int) -> str:
        """Every option under its name, or the first of several views."""
        written = {name: self.written(options(), level) for name, options in choice.shown_at_once().items()}
        if len(written) == 1 and not choice.is_list:
            return next(iter(written.values()))
        return "\n".join(f"<h{level}>{escape(name)}</h{level}>\n{text}" for name, text in written.items())

    def _chart(self, figure: go.Figure, alt: str) -> str:
        figure.layout.template = None  # the page's script sets a light or a dark one
        name = f"chart-{len(self.scripts)}"
        self.scripts.append(f'<script type="application/json" id="{name}">{_in_script(figure.to_json())}</script>')
        height = figure.layout.height
        return f'<div data-chart="{name}" role="img" aria-label="{escape(alt)}" style="height: {height}px"></div>'


def _marked(text: str) -> str:
    """Plain text in which `**` begins and ends emphasis."""
    parts = escape(text).split("**")
    return "".join(f"<strong>{part}</strong>" if place % 2 else part for place, part in enumerate(parts))


def _explained(note: str, explanation: str) -> str:
    return ". ".join(part for part in (note[:1].upper() + note[1:], explanation) if part)


def _table(lines: Sequence[Sequence[str]], head: Sequence[str], kind: str) -> str:
    top = f"<thead>{_row('th', head)}</thead>" if head else ""
    return f'<table class="{kind}">{top}<tbody>{"".join(_row("td", line) for line in lines)}</tbody></table>'


def _row(tag: str, cells: Sequence[str]) -> str:
    """A row of a table; the second line of a cell is a remark on the first."""
    written = (re.sub(r"\n(.*)", r'<br><span class="faint">\1</span>', escape(cell), flags=re.DOTALL) for cell in cells)
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in written)}</tr>"


def _picture(picture: Picture) -> str:
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f'<figure class="grid"><img src="{data_url(picture.png())}" alt="{escape(picture.alt)}">{caption}</figure>'


def _in_script(text: str) -> str:
    """JSON for an HTML script, without anything that looks like a tag."""
    return text.replace("<", "\\u003c")


THEMES: tuple[Theme, ...] = ("light", "dark")


def _colours(theme: Theme) -> dict[str, str]:
    """{colour of a figure made for any page: colour in this theme}."""

    def listed(palette: Palette) -> list[str]:
        parts: tuple[Any, ...] = astuple(palette)
        return [colour for part in parts for colour in ([part] if isinstance(part, str) else part)]

    return dict(zip(listed(PALETTES["page"]), listed(PALETTES[theme]), strict=True))
