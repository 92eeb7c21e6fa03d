"""Prints `engine.results.sections` on a terminal: sentences, metrics and tables, but no pictures or charts."""

from collections.abc import Sequence

from engine.results.sections import Choice, Group, Metrics, Section, Sentence, Table


def print_sections(sections: Sequence[Section]) -> None:
    """Print what a terminal can show, a blank line between tables."""
    for line in lines(sections):
        print(line)


def lines(sections: Sequence[Section]) -> list[str]:
    """The same as lines."""
    return [line for section in sections for line in _lines(section)]


def _lines(section: Section) -> list[str]:
    match section:
        case Sentence(text, tone) if tone != "caption":
            return [text.replace("**", "")]
        case Metrics(metrics):
            return [f"{each.label}: {each.value}{f' ({each.note})' if each.note else ''}" for each in metrics]
        case Table(columns):
            return _table([[title, *cells] for title, cells in columns.items()])
        case Group(title, inside):
            found = lines(inside)
            return ["", title, *found] if title and found else found
        case Choice(is_list=is_list):
            by_name = {name: lines(options()) for name, options in section.shown_at_once().items()}
            titled = is_list or len(by_name) > 1
            return [line for name, found in by_name.items() if found for line in ([f"{name}:"] * titled + found)]
    return []


def _table(columns: Sequence[Sequence[str]]) -> list[str]:
    """Columns of texts, each as wide as its widest."""
    cells = [[text.replace("\n", ", ").replace("\u00a0", " ") for text in column] for column in columns]
    widths = [max(map(len, column)) for column in cells]
    rows = zip(*cells, strict=True)
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
