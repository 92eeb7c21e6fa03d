"""Sections of results as HTML: each record of `engine.results.sections` as a piece of one page that loads nothing."""

import base64
import json
from collections.abc import Sequence
from dataclasses import astuple
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from engine.figures.palette import PALETTES, Palette, Theme
from engine.results.sections import Chart, Choice, Code, Group, Metrics, Picture, Section, Sentence, Table

_PAGE = Path(__file__).with_name("templates") / "report.html"
_TONES = {"plain": "", "caption": ' class="faint"', "note": ' class="note"', "verdict": ' class="verdict"'}


def page(title: str, sections: Sequence[Section], top: str = "") -> str:
    """A whole page. top: HTML that comes first."""
    writer = _Writer()
    body = "\n".join([top, *writer.written(sections)])
    colours = {theme: _colours(theme) for theme in THEMES}
    scripts = {"colours": _in_script(json.dumps(colours)), "charts": "\n".join(writer.scripts)}
    page = Template(_PAGE.read_text(encoding="utf-8"))
    return page.substitute(scripts, title=escape(title), body=body, plotly=get_plotlyjs())


class _Writer:
    """Writes sections one by one. A chart leaves a place in the text, and its data for the script at the end."""

    def __init__(self) -> None:
        self.scripts: list[str] = []

    def written(self, sections: Sequence[Section], level: int = 2) -> list[str]:
        return [text for section in sections for text in self._one(section, level)]

    def _one(self, section: Section, level: int) -> list[str]:
        match section:
            case Sentence():
                return [f"<p{_TONES[section.tone]}>{_marked(section.text)}</p>"]
            case Metrics():
                rows = [(metric.label, metric.value, _explained(metric.note, metric.help)) for metric in section.of]
                return [_table(rows, (), "numbers")]
            case Table():
                head, kind = tuple(section.columns), "scores"
                if not any(map(str.strip, head)):
                    head, kind = (), "facts"
                lines = list(zip(*section.columns.values(), strict=True))
                return [f'<div class="wide">{_table(lines, head, kind)}</div>']
            case Chart():
                return [f'<div class="chart-alone">{self._chart(section.draw(), section.alt)}</div>']
            case Picture():
                return [_picture(section)]
            case Code():
                return [f"<pre>{escape(section.text)}</pre>"]
            case Group():
                return self._group(section, level)
            case Choice():
                return self._choice(section, level)
        return []  # a file to download has no place here

    def _group(self, group: Group, level: int) -> list[str]:
        inner = min(level + 1, 4) if group.title else level
        if group.layout == "fold":
            written = "".join(self.written(group.of, inner))
            return [f"<details><summary>{escape(group.title)}</summary>{written}</details>"]
        title = [f"<h{level}>{escape(group.title)}</h{level}>"] if group.title else []
        if group.layout == "grid" and all(isinstance(section, Picture) for section in group.of):
            return ["<section>", *title, '<div class="strip">', *self.written(group.of, inner), "</div></section>"]
        if group.layout == "grid":
            cells = [f"<div>{''.join(self.written([section], inner))}</div>" for section in group.of]
            return ["<section>", *title, '<div class="charts">', *cells, "</div></section>"]
        return ["<section>", *title, *self.written(group.of, inner), "</section>"]

    def _choice(self, choice: Choice, level: int) -> list[str]:
        """Every option below its name; of several views of the same the first one."""
        names = list(choice.options)
        if choice.is_another_view or (len(names) == 1 and not choice.is_list):
            return self.written(choice.options[names[0]](), level)
        return [
            text
            for name, options in choice.options.items()
            for text in (f"<h{level}>{escape(name)}</h{level}>", *self.written(options(), level))
        ]

    def _chart(self, figure: go.Figure, alt: str) -> str:
        figure.layout.template = None  # the page's script has one for light and one for dark
        name = f"chart-{len(self.scripts)}"
        self.scripts.append(f'<script type="application/json" id="{name}">{_in_script(figure.to_json())}</script>')
        height = figure.layout.height
        return f'<div data-chart="{name}" role="img" aria-label="{escape(alt)}" style="height: {height}px"></div>'


def _marked(text: str) -> str:
    """Plain text in which `**` begins and ends emphasis; line breaks stay."""
    parts = escape(text).split("**")
    return "".join(f"<strong>{part}</strong>" if place % 2 else part for place, part in enumerate(parts))


def _explained(note: str, explanation: str) -> str:
    return ". ".join(part for part in (note[:1].upper() + note[1:], explanation) if part)


def _table(lines: Sequence[Sequence[str]], head: Sequence[str], kind: str) -> str:
    def cells(tag: str, texts: Sequence[str]) -> str:
        broken = (escape(text).replace("\n", '<br><span class="faint">', 1) for text in texts)
        closed = (f"{text}</span>" if '<br><span class="faint">' in text else text for text in broken)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in closed) + "</tr>"

    top = f"<thead>{cells('th', head)}</thead>" if head else ""
    return f'<table class="{kind}">{top}<tbody>{"".join(cells("td", line) for line in lines)}</tbody></table>'


def _picture(picture: Picture) -> str:
    source = "data:image/png;base64," + base64.b64encode(picture.png()).decode()
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f'<figure class="grid"><img src="{source}" alt="{escape(picture.alt)}">{caption}</figure>'


def _in_script(text: str) -> str:
    """JSON inside an HTML script, which must not see a tag."""
    return text.replace("<", "\\u003c")


THEMES: tuple[Theme, ...] = ("light", "dark")


def _colours(theme: Theme) -> dict[str, str]:
    """What a theme shows for each colour of a figure that was made for any page."""

    def listed(palette: Palette) -> list[str]:
        parts: tuple[Any, ...] = astuple(palette)
        return [colour for part in parts for colour in ([part] if isinstance(part, str) else part)]

    return dict(zip(listed(PALETTES["page"]), listed(PALETTES[theme]), strict=True))
