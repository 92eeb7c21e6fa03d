"""What people call the things that a run names by key; the key itself where this version does not know it."""

from __future__ import annotations

from engine.config import StudentConfig
from engine.context import data_root
from engine.data import sources
from engine.methods import METHODS
from engine.nets import STUDENTS


def source(key: str) -> str:
    """A data set's title."""
    found = sources(data_root()).get(key)
    return found.title if found else key


def method(key: str) -> str:
    """A method's title."""
    found = METHODS.get(key)
    return found.title if found else key


def recorded(method_key: str) -> str:
    """What a method follows that is trained beforehand: "experts" or "teacher"."""
    found = METHODS.get(method_key)
    return (found.recorded if found else "") or "experts"


def action(key: str, method_key: str) -> str:
    """What a run of this action and method does."""
    records = "Trains a teacher" if recorded(method_key) == "teacher" else "Records experts"
    return {"distill": "Distils", "evaluate": "Evaluates a result", "record": records}[key]


def preset(method_key: str, source_key: str, key: str) -> str:
    """A preset's title, or "own settings"."""
    found = METHODS[method_key].presets_for(source_key).get(key) if method_key in METHODS else None
    return found.title if found else "own settings"


def architecture(key: str) -> str:
    """An architecture's title without its settings."""
    card = STUDENTS.get(key)
    return card.title if card else key


def student(config: StudentConfig) -> str:
    """A network's name as papers write it, "ConvNet-D3"."""
    return f"{architecture(config.name)}{config.depth if config.name == 'convnet' else ''}"
