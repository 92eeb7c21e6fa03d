"""Texts that several pages share: states, students and times, and text escaped for Markdown."""

import re
import time
from datetime import datetime
from typing import Literal

import engine
from engine.figures import formats

STATES: dict[str, tuple[str, Literal["gray", "orange", "blue", "violet", "red", "green"], str]] = {
    "queued": ("Queued", "gray", ":material/schedule:"),
    "running": ("Running", "orange", ":material/play_circle:"),
    "stopped": ("Stopped", "blue", ":material/stop_circle:"),
    "interrupted": ("Interrupted", "violet", ":material/power_off:"),
    "failed": ("Failed", "red", ":material/error:"),
    "done": ("Done", "green", ":material/check_circle:"),
}
"""Name, badge colour and icon of each state."""


_LINKED = re.compile(r"(https?:(?=//)|www(?=\.)|(?<=[\w.+-])@(?=[\w-]))", re.IGNORECASE)
"""Beginnings of addresses that Markdown turns into links, escaped or not."""


def escaped(text: str) -> str:
    """User text with all Markdown escaped; an invisible joiner keeps bare addresses from becoming links."""
    text = _LINKED.sub("\\1\u2060", text.replace("\n", " "))
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~<>$:^&])", r"\\\1", text)


def student_name(row: engine.RunRow) -> str:
    """The network a run distils for, as papers write it: "ConvNet-D3"."""
    return engine.titles.student(engine.results.student_of(row))


def clock(moment: float | None) -> str:
    """A time of day, with its date unless that is today."""
    if not moment:
        return formats.NOTHING
    then = datetime.fromtimestamp(moment)
    same_day = then.date() == datetime.fromtimestamp(time.time()).date()
    return then.strftime("%H:%M" if same_day else "%-d %b %Y %H:%M")
