"""Commands that take a result back in."""

from __future__ import annotations

from pathlib import Path

from engine.core.context import runs_root
from engine.core.errors import ConfigError
from engine.runs.adopt import adopt
from engine.runs.store import Store


def register(add) -> None:
    """Add `load` to the command line."""
    add("load", _load, "Keep an exported result.safetensors as a finished run.").add_argument(
        "file", type=Path, help="the file"
    )


def _load(options) -> int:
    try:
        content = options.file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{options.file} cannot be read ({error.strerror}).") from error
    run_id = adopt(Store(options.runs or runs_root()), content, options.file.name)
    print(f"run {run_id} loaded from {options.file.name}; compare it with: python -m engine evaluate {run_id}")
    return 0
