"""Names of files as they came: made clean, or refused with a reason. No name that came from outside touches the disk."""

from __future__ import annotations

import re
import unicodedata

MAX_PART_BYTES = 255
MAX_NAME_BYTES = 4096
MAX_SHOWN = 120
HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})

Parts = tuple[str, ...]


class Hostile(Exception):
    """A name that is not used; the message says why."""


def cleaned(name: str) -> Parts:
    """The folders and the file of a relative name, in Unicode's composed form; "/" and "\\" both separate.

    Raises Hostile for a name that is absolute, leads upwards, holds control characters, or is too long.
    """
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise Hostile("its name holds control characters")
    name = name.encode("utf-8", "replace").decode("utf-8").replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise Hostile("its name is an absolute path")
    parts = tuple(unicodedata.normalize("NFC", part) for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Hostile("its name leads out of the folder")
    if not parts:
        raise Hostile("it has no name")
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts) or len("/".join(parts).encode()) > MAX_NAME_BYTES:
        raise Hostile("its name is too long")
    return parts


def is_hidden(parts: Parts) -> bool:
    """Whether a system put it there, not the user: .DS_Store, __MACOSX, Thumbs.db and their like."""
    return any(part.startswith(".") or part.casefold() in HIDDEN for part in parts)


def shown(name: str) -> str:
    """A name for a message or a list: on one line, its end cut if it is very long."""
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return printable if len(printable) <= MAX_SHOWN else printable[: MAX_SHOWN - 1] + "…"


def slug(title: str, otherwise: str = "images") -> str:
    """A name for a folder of our own, of small letters, digits and hyphens, never empty or reserved.

    otherwise: what one is called that has no letter or digit of these.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    short = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or otherwise
    return f"{short}-set" if re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", short) else short
