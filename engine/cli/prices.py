"""Prices in: CSV files, a folder or a zip file of them become one data set of several tokens."""

from __future__ import annotations

from pathlib import Path

from engine.cli.imports import shown
from engine.core.config import checked
from engine.core.context import data_root
from engine.core.errors import ConfigError
from engine.data import check_title, prices
from engine.figures import formats

COLUMNS = tuple(prices.Mapping.model_fields)


def register(add) -> None:
    """Add `import-prices` to the command line."""
    parser = add(
        "import-prices", _import, "Make a data set of price files: one CSV a token, or a folder or zip of them."
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a CSV file, a folder or a zip file")
    parser.add_argument("--name", default=None, help="How the data set is called (default: the first file's name)")
    parser.add_argument(
        "--column", action="append", default=[], dest="columns", metavar="ROLE=NAME",
        help=f"the column of every file that is its {', '.join(COLUMNS)}; repeatable (default: found by its name)",
    )  # fmt: skip
    parser.add_argument(
        "--token", action="append", default=[], dest="tokens", metavar="FILE=NAME",
        help="how the token of a file is called; repeatable (default: as its symbol column or the file says)",
    )  # fmt: skip


def _import(options) -> int:
    brought = [(path.name, path) for path in options.paths]
    mappings = _mappings(brought, _pairs(options.columns, "--column", COLUMNS))
    values = {
        "name": options.name or options.paths[0].absolute().stem,
        "mappings": mappings,
        "tokens": _pairs(options.tokens, "--token"),
    }
    wanted = checked(prices.PriceOptions, values, "import-prices")
    check_title(wanted.name, data_root())
    source = shown(prices.import_prices(brought, wanted, data_root()))
    print(f"{source.key}: {source.title}")
    print(source.summary)
    for file in source.report.files:
        print(
            f"  {file.token:12} {formats.count(file.num_bars):>9} bars of {prices.distance(file.seconds)}, "
            f"{prices.moment(file.first)} to {prices.moment(file.last)} ({file.name})"
        )
        for repair in file.repairs:
            print(f"    {repair}")
    for note in source.report.notes:
        print(f"note: {note}")
    for name, reason in source.report.skipped:
        print(f"skipped: {name} {reason}")
    return 0


def _mappings(brought: list[tuple[str, Path]], chosen: dict[str, str]) -> dict[str, dict[str, str]]:
    """The columns of each file, with those that were chosen in place of those found."""
    if not chosen:
        return {}
    files = prices.expanded(brought).files
    return {name: prices.preview(content, name).mapping.model_dump() | chosen for name, content in files}


def _pairs(texts: list[str], flag: str, names: tuple[str, ...] = ()) -> dict[str, str]:
    """{"close": "Last"} of ["close=Last"]. Raises ConfigError for anything else."""
    found = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not value or (names and name not in names):
            known = f", with one of {', '.join(names)} before it" if names else ""
            raise ConfigError(f"{flag} {text}: write it as NAME=VALUE{known}.")
        found[name] = value
    return found
