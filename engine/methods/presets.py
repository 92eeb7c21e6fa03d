"""Presets: named requests, kept as data in a file `presets.toml` beside each method.

    [shared.short]                          values that several presets have in common
    config = { outer_steps = 300 }

    [[preset]]
    key = "quick"
    title = "Quick: one image per class"
    sources = ["mnist"]                     source keys; "folder" and "prices" are the imported ones
    kinds = [{ colours = "grey" }]          by the fields of `Kind`: also for data sets that have no preset of this key
    cost = "about 3 minutes on two cores"   the time it takes, and where that was measured
    elsewhere = ", judged by its pace"      what follows the cost for `kinds`
    use = ["short"]                         shared tables, merged in this order; they may use others
    config = { ipc = 1 }                    then the preset's own config, data and evaluation

The first preset that fits a source is its default; of `kinds`, the narrowest come first. "{where}" in a cost stands for
the source's phrase in the table [where].
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.core.options import Config
from engine.data.source import Source

PARTS = ("config", "data", "evaluation")


class Kind(Config):
    """Similar data sets: what they hold, colours, shorter side in pixels and number of classes (inclusive ranges)."""

    samples: Literal["images", "prices"] = "images"
    colours: Literal["grey", "colour", "any"] = "any"
    side: tuple[int, int] = (1, 100_000)
    classes: tuple[int, int] = (1, 100_000)

    def fits(self, source: Source) -> bool:
        """Whether a source is of this kind."""
        if source.kind != self.samples:
            return False
        if self.samples == "prices":
            return True
        channels, *sides = source.sample_shape
        has_colours = self.colours in ("any", "grey" if channels == 1 else "colour")
        has_size = self.side[0] <= min(sides) <= self.side[1]
        return has_colours and has_size and self.classes[0] <= len(source.class_names) <= self.classes[1]


@dataclass(frozen=True)
class Preset:
    """A named request: `config`, `data` and `evaluation` hold what differs from the defaults.

    source: the key of the source it is made for, or what stands before the colon ("folder"); empty for a preset made
    for `kinds`. cost: the time it takes and where that was measured, one phrase.
    """

    key: str
    title: str
    source: str
    cost: str
    config: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ()


def read_presets(method_file: str) -> tuple[Preset, ...]:
    """The presets beside a method's main file, one record per source and one for the kinds of data, in order.

    Raises KeyError, TypeError or pydantic's ValidationError for an entry with a missing, unknown or wrong field.
    """
    text = tomllib.loads(Path(method_file).with_name("presets.toml").read_text(encoding="utf-8"))
    shared, where = text.get("shared", {}), text.get("where", {})
    return tuple(preset for entry in text["preset"] for preset in _read(entry, shared, where))


def fitting(presets: tuple[Preset, ...], key: str, source: Source | None) -> dict[str, Preset]:
    """The presets for a source, by key: those made for it, then those for its kind. source: None where it is gone."""
    own = [preset for preset in presets if preset.source == key.partition(":")[0]]
    of_kind = [preset for preset in presets if source and any(kind.fits(source) for kind in preset.kinds)]
    found: dict[str, Preset] = {}
    for preset in own + of_kind:
        found.setdefault(preset.key, preset)
    return found


def _read(entry: dict[str, Any], shared: dict[str, Any], where: dict[str, str]) -> Iterator[Preset]:
    """The presets that one entry of a file stands for."""
    values = _merged(entry, shared)
    known = {"key", "title", "sources", "kinds", "cost", "elsewhere", "use", *PARTS}
    if unknown := entry.keys() - known:
        raise TypeError(f"preset '{entry['key']}' has unknown fields: {', '.join(sorted(unknown))}")
    for source in entry.get("sources", ()):
        cost = entry["cost"].replace("{where}", where.get(source, ""))
        yield Preset(entry["key"], entry["title"], source, cost, **values)
    if kinds := tuple(Kind(**kind) for kind in entry.get("kinds", ())):
        yield Preset(
            entry["key"], entry["title"], "", entry["cost"] + entry.get("elsewhere", ""), **values, kinds=kinds
        )


def _merged(table: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """The config, data and evaluation of a table over those of the shared tables that it uses."""
    found: dict[str, Any] = {}
    for name in table.get("use", ()):
        found = _over(found, _merged(shared[name], shared))
    return _over(found, {part: table[part] for part in PARTS if part in table})


def _over(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`base` updated by `more`, tables within tables too."""
    both = [name for name in base if isinstance(more.get(name), dict)]
    return base | more | {name: _over(base[name], more[name]) for name in both}
