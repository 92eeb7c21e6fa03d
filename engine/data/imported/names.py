"""File names from outside: cleaned, or rejected with a reason. No name from outside is ever used on disk."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

MAX_TITLE = 80
MAX_PART_BYTES = 255
MAX_NAME_BYTES = 4096
MAX_SHOWN = 120
HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})

Parts = tuple[str, ...]


def printable(text: str) -> str:
    """A title in Unicode's composed form. Raises ValueError if it has control characters or lone surrogates."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("a name is one line of printable characters")
    return unicodedata.normalize("NFC", text)


_ONE_LINE = StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE)
Title = Annotated[str, _ONE_LINE, AfterValidator(printable)]


class Skipped(Exception):
    """A file that is left out; the message says why."""


def cleaned(name: str) -> Parts:
    """Folders and file of a relative path with "/" or "\\". Raises Skipped if it is absolute or leads upwards."""
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise Skipped("its name contains control characters")
    name = name.encode("utf-8", "replace").decode("utf-8").replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise Skipped("its name is an absolute path")
    parts = tuple(unicodedata.normalize("NFC", part) for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Skipped("its name leads out of the folder")
    if not parts:
        raise Skipped("it has no name")
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts) or len("/".join(parts).encode()) > MAX_NAME_BYTES:
        raise Skipped("its name is too long")
    return parts


def is_hidden(parts: Parts) -> bool:
    """Whether an operating system created it: .DS_Store, __MACOSX, Thumbs.db and the like."""
    return any(part.startswith(".") or part.casefold() in HIDDEN for part in parts)


def shown(name: str) -> str:
    """A name on one line for messages and lists, truncated if very long."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def slug(title: str, fallback: str = "images") -> str:
    """A folder name of lower-case letters, digits and hyphens. fallback: for a title without ASCII letters."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    short = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or fallback
    return f"{short}-set" if re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", short) else short
