"""Commands that import folders of images and price files as data sets, and delete them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from engine.cli.progress import shown
from engine.core.config import checked
from engine.core.context import data_root
from engine.core.errors import ConfigError
from engine.data import check_title, images, prices
from engine.figures import formats

SHOWN_FILES = 20
ROLES = tuple(prices.Mapping.model_fields)


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `import`, `import-prices` and `forget` to the command line."""
    parser = add("import", _import, "Make a data set from a folder or zip file with one sub-folder per class.")
    parser.add_argument("path", type=Path, help="the folder or zip file")
    for name, field in images.ImportOptions.model_fields.items():
        flag = "--size" if name == "image_size" else f"--{name}"
        choices = get_args(field.annotation) or None
        default = None if name == "name" else field.default
        text = f"{field.description} (default: {default or 'name of the folder'})"
        kind = str if choices or name == "name" else int
        parser.add_argument(flag, dest=name, type=kind, choices=choices, default=default, help=text)
    parser = add("import-prices", _import_prices, "Make a data set from price files: one CSV file per token.")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a CSV file, a folder or a zip file")
    parser.add_argument("--name", default=None, help="Name of the data set (default: name of the first file)")
    text = f"column of every file for {', '.join(ROLES)}; repeatable (default: detected)"
    parser.add_argument("--column", action="append", default=[], dest="columns", metavar="ROLE=NAME", help=text)
    text = "token name of a file; repeatable (default: from its symbol column or its name)"
    parser.add_argument("--token", action="append", default=[], dest="tokens", metavar="FILE=NAME", help=text)
    add("forget", _forget, "Delete an imported data set; the files it was read from stay.").add_argument("key")


def _import(options: argparse.Namespace) -> int:
    values = {name: getattr(options, name) for name in images.ImportOptions.model_fields}
    path = options.path.absolute()
    name = options.name or (path.name if path.is_dir() else path.stem)
    wanted = checked(images.ImportOptions, values | {"name": name}, "import")
    check_title(wanted.name, data_root())
    source = shown(images.import_path(options.path, wanted, data_root()))
    print(f"{source.key}: {source.title}, {source.report.layout}\n{source.summary}")
    for split, counts in source.report.counts.items():
        if any(counts):
            print(f"  {split:10} {formats.count(sum(counts)):>7} images, {min(counts):,} to {max(counts):,} per class")
    if pairs := source.report.duplicates:
        equal = f"{formats.counted(len(pairs), 'test image')} equal to a training image"
        print(f"warning: {equal}, for example {' and '.join(pairs[0])}")
    _print_report(source.report)
    return 0


def _import_prices(options: argparse.Namespace) -> int:
    brought = [(path.name, path) for path in options.paths]
    chosen, mappings = _pairs(options.columns, "--column", ROLES), {}
    if chosen:
        files = prices.expanded(brought).files
        mappings = {name: prices.preview(content, name).mapping.model_copy(update=chosen) for name, content in files}
    name = options.name or options.paths[0].absolute().stem
    values = {"name": name, "mappings": mappings, "tokens": _pairs(options.tokens, "--token")}
    wanted = checked(prices.PriceOptions, values, "import-prices")
    check_title(wanted.name, data_root())
    source = shown(prices.import_prices(brought, wanted, data_root()))
    print(f"{source.key}: {source.title}\n{source.summary}")
    for file in source.report.files:
        bars = f"{formats.count(file.num_bars):>9} bars of {prices.distance(file.seconds)}"
        print(f"  {file.token:12} {bars}, {prices.moment(file.first)} to {prices.moment(file.last)} ({file.name})")
        for repair in file.repairs:
            print(f"    {repair}")
    _print_report(source.report)
    return 0


def _print_report(report: images.ImageReport | prices.PriceReport) -> None:
    for note in report.notes:
        print(f"note: {note}")
    for name, reason in report.skipped[:SHOWN_FILES]:
        print(f"skipped: {name} {reason}")
    if more := report.skipped[SHOWN_FILES:]:
        print(f"skipped: {len(more):,} more")


def _forget(options: argparse.Namespace) -> int:
    delete = prices.delete if options.key.startswith(prices.KEY_PREFIX) else images.delete
    delete(options.key, data_root())
    print(f"{options.key} deleted")
    return 0


def _pairs(texts: list[str], flag: str, names: tuple[str, ...] = ()) -> dict[str, str]:
    """{"close": "Last"} of ["close=Last"]. Raises ConfigError for anything else."""
    found = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not value or (names and name not in names):
            known = f", where NAME is one of {', '.join(names)}" if names else ""
            raise ConfigError(f"{flag} {text}: write it as NAME=VALUE{known}.")
        found[name] = value
    return found
