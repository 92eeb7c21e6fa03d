"""Prints `engine.results.sections` on a terminal: sentences, metrics and tables, but no pictures or charts."""

from collections.abc import Sequence

from engine.results.sections import Choice, Group, Metrics, Section, Sentence, Table

WIDTH, GAP = 120, "  "
"""Columns of a terminal, and what stands between those of a table."""


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
            return text.replace("**", "").split("\n")
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
    """Columns of texts, each as wide as its widest; those that find no room follow below, beside the first again."""
    cells = [[text.replace("\n", ", ").replace("\u00a0", " ") for text in column] for column in columns]
    first, *others = [[text.ljust(max(map(len, column))) for text in column] for column in cells]
    blocks = [[first]]
    for column in others:
        if len(blocks[-1]) > 1 and len(GAP.join(next(zip(*blocks[-1], column, strict=True)))) > WIDTH:
            blocks.append([first])
        blocks[-1].append(column)
    return [GAP.join(row).rstrip() for block in blocks for row in zip(*block, strict=True)]
