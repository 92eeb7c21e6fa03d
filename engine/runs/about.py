"""The user's note and tags of a run, `about.json` in its folder."""

import logging
from pathlib import Path

from pydantic import Field, ValidationError

from engine.core.checkpoint import write_atomically
from engine.core.config import Config
from engine.core.errors import RunError

MAX_NOTE = 2000
MAX_TAGS = 20
MAX_TAG = 30
_FILE = "about.json"
_LOG = logging.getLogger(__name__)


class About(Config):
    """note: any text. tags: short names, each once, in the order given."""

    note: str = Field(default="", max_length=MAX_NOTE)
    tags: tuple[str, ...] = Field(default=(), max_length=MAX_TAGS)


def checked(note: str, tags: tuple[str, ...]) -> About:
    """Tidy up tags: no space around them, none empty, each once whatever its case. Raises RunError if too long."""
    if len(note) > MAX_NOTE:
        raise RunError(f"This note has {len(note):,} characters. Shorten it to at most {MAX_NOTE:,}.")
    first: dict[str, str] = {}
    for tag in (" ".join(tag.split()) for tag in tags):
        if tag:
            first.setdefault(tag.casefold(), tag)
    kept = tuple(first.values())
    for tag in kept:
        if len(tag) > MAX_TAG:
            raise RunError(f"The tag '{tag[:MAX_TAG]}…' has {len(tag)} characters. Choose one of at most {MAX_TAG}.")
    if len(kept) > MAX_TAGS:
        raise RunError(f"These are {len(kept)} tags. A run can have {MAX_TAGS}; remove some.")
    return About(note=note, tags=kept)


def read(folder: Path) -> About:
    """The note and tags of the run in `folder`; empty if there is no file or it cannot be read."""
    path = folder / _FILE
    try:
        return About.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return About()
    except ValidationError as problem:
        _LOG.warning("The note and tags in %s cannot be read and are left out: %s", path, problem)
        return About()


def write(folder: Path, said: About) -> None:
    """Write the file atomically."""
    write_atomically(folder / _FILE, said.model_dump_json(indent=2).encode())
