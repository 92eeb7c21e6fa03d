"""This program as installed: its version, its folder, and how people start it."""

import importlib.metadata
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder that holds `engine/`: a checkout, or site-packages."""
IS_INSTALLED = (ROOT / "distillery" / "app.py").exists()
"""Whether pip installed the program; otherwise it runs from a checkout."""
APP = ROOT / "distillery" / "app.py" if IS_INSTALLED else ROOT / "app.py"
COMMAND = "distillery" if IS_INSTALLED else "python -m engine"


def home() -> Path:
    """Where `data/` and `runs/` lie by default: the current folder, or the checkout."""
    return Path.cwd() if IS_INSTALLED else ROOT


def version() -> str:
    """The version in pyproject.toml, read from there in a checkout and from the package's metadata otherwise."""
    if IS_INSTALLED:
        return importlib.metadata.version("dataset-distillery")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
