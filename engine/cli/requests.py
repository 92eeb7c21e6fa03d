"""Command-line options that describe a request."""

import argparse
import json
from pathlib import Path

from engine.core.config import Action, RunRequest, checked
from engine.core.context import runs_root
from engine.core.errors import ConfigError
from engine.run import request_from_preset
from engine.runs.command import NO_PRESET, put
from engine.runs.store import Store


def store_of(options: argparse.Namespace) -> Store:
    """The store that `--runs` names."""
    return Store(options.runs or runs_root())


def request_options(parser: argparse.ArgumentParser, *, method: str = "bilevel", action: Action | None = None) -> None:
    """Add the options of a request: a file, or source, method and preset, and changes of single values.

    method: the default. action: of every request of this command; the request's own if None.
    """
    parser.set_defaults(default_method=method, action=action)
    parser.add_argument("request", nargs="?", type=Path, help="a request file (request.json of any run)")
    parser.add_argument("--source", default=None, help="data set, if no file is given")
    parser.add_argument("--method", default=None, help=f"method (default: {method})")
    parser.add_argument("--preset", default=None, help="preset of the method for the source, or none (default: quick)")
    text = "change one value, as config.outer_steps=50 or evaluation.num_students=8; repeatable"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help=text)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--name", default=None, help="how the run is shown in lists")


def requested(options) -> RunRequest:
    """The request that the options describe. Raises ConfigError if it is not valid."""
    method = options.method or options.default_method
    if options.request:
        if options.source or options.method or options.preset:
            what = "Give a request file, or --source, --method and --preset, not both."
            raise ConfigError(f"{what} Single values change with --set.")
        try:
            values = json.loads(options.request.read_text())
        except FileNotFoundError:
            raise ConfigError(f"There is no request file {options.request}.") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(f"{options.request} cannot be read as JSON: {error}.") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{options.request} must hold a JSON object, as request.json of a run does.")
        values = checked(RunRequest, values, str(options.request)).model_dump(mode="json")
    else:
        source, preset = options.source or "digits", options.preset or "quick"
        plain = RunRequest(source=source, method=method)
        base = plain if preset == NO_PRESET else request_from_preset(source, method, preset)
        values = base.model_dump(mode="json")
    for change in options.changes:
        _set(values, change)
    for name in ("seed", "name"):
        if getattr(options, name) is not None:
            values[name] = getattr(options, name)
    if options.action is not None:
        values["action"] = options.action
    return checked(RunRequest, values, "request")


def _set(values: dict, change: str) -> None:
    """Apply one KEY=VALUE; a value that is not JSON is a text."""
    key, separator, text = change.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set takes KEY=VALUE, as config.outer_steps=50, not '{change}'.")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    try:
        put(values, key, value)
    except TypeError as error:
        raise ConfigError(f"--set {change}: {error}") from None
