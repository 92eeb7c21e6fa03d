"""Folders in: a folder or a zip file becomes a data set that runs can name, and is forgotten again."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, get_args

from engine.core.config import checked
from engine.core.context import data_root
from engine.core.events import Event, Progress
from engine.data import check_title, images, prices
from engine.figures import formats

SHOWN_FILES = 20


def register(add) -> None:
    """Add `import` and `forget` to the command line."""
    parser = add("import", _import, "Make a data set of a folder or zip file with one sub-folder a class.")
    parser.add_argument("path", type=Path, help="the folder or zip file")
    for name, field in images.ImportOptions.model_fields.items():
        if name == "name":
            parser.add_argument("--name", default=None, help=f"{field.description} (default: the folder's name)")
        else:
            choices = get_args(field.annotation) or None
            flag = "--size" if name == "image_size" else f"--{name}"
            parser.add_argument(
                flag, dest=name, type=field.annotation if choices is None else str, choices=choices,
                default=field.default, help=f"{field.description} (default: {field.default})",
            )  # fmt: skip
    add("forget", _forget, "Delete an imported data set; the folder it was read from stays.").add_argument("key")


def _import(options) -> int:
    values = {name: getattr(options, name) for name in images.ImportOptions.model_fields}
    path = options.path.absolute()
    values["name"] = values["name"] or (path.name if path.is_dir() else path.stem)
    wanted = checked(images.ImportOptions, values, "import")
    check_title(wanted.name, data_root())
    source = shown(images.import_path(options.path, wanted, data_root()))
    print(f"{source.key}: {source.title}, {source.report.layout}")
    print(source.summary)
    for split, counts in source.report.counts.items():
        if any(counts):
            print(f"  {split:10} {formats.count(sum(counts)):>7} images, {min(counts):,} to {max(counts):,} a class")
    for note in source.report.notes:
        print(f"note: {note}")
    if pairs := source.report.duplicates:
        print(
            f"warning: {formats.counted(len(pairs), 'test image')} equal to a training image, as {' and '.join(pairs[0])}"
        )
    for name, reason in source.report.skipped[:SHOWN_FILES]:
        print(f"skipped: {name} {reason}")
    if more := source.report.skipped[SHOWN_FILES:]:
        print(f"skipped: {len(more):,} more")
    return 0


def shown(events: Generator[Event, None, Any]) -> Any:
    """Run an import; its progress on standard error, one line rewritten on a terminal, one line a phase elsewhere."""
    live, phase = sys.stderr.isatty(), ""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        finally:
            if live:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if isinstance(event, Progress):
            if live:
                print(f"{event.phase} {event.done:,} of {event.total:,}", end="", file=sys.stderr, flush=True)
            elif event.phase != phase:
                print(event.phase, file=sys.stderr)
            phase = event.phase


def _forget(options) -> int:
    (prices if options.key.startswith(prices.KEY_PREFIX) else images).delete(options.key, data_root())
    print(f"{options.key} deleted")
    return 0
