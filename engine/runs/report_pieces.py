"""What the sections of a report are made of: charts, tables, pictures inside the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures import formats


class Charts:
    """Figures of one page: each leaves a place in the text, and its data for the script at the end."""

    def __init__(self) -> None:
        self.scripts: list[str] = []

    def add(self, figure: go.Figure, meaning: str) -> str:
        figure.layout.template = None  # the page's script has one for light and one for dark
        name = f"chart-{len(self.scripts)}"
        self.scripts.append(f'<script type="application/json" id="{name}">{in_script(figure.to_json())}</script>')
        height = figure.layout.height
        return f'<div data-chart="{name}" role="img" aria-label="{escape(meaning)}" style="height: {height}px"></div>'


def table(lines: Sequence[Sequence[str]], head: Sequence[str], kind: str) -> str:
    """Rows of plain text; escaped here."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    top = f"<thead>{cells('th', head)}</thead>" if head else ""
    return f'<table class="{kind}">{top}<tbody>{"".join(cells("td", line) for line in lines)}</tbody></table>'


def accuracy(row: Row | None) -> str:
    """Mean and deviation of a row of scores; nothing where there is none."""
    return formats.NOTHING if row is None else formats.percent_spread(row.mean, row.std, row.n)


def data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def in_script(text: str) -> str:
    """JSON inside an HTML script, which must not see a tag."""
    return text.replace("<", "\\u003c")
