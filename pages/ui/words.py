"""Texts that several pages share: names of runs, sources and states, safe to show as Markdown."""

from __future__ import annotations

import math
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
"""Of each state: what it is called, its badge's colour and icon."""


_LINKED = re.compile(r"(https?:(?=//)|www(?=\.)|(?<=[\w.+-])@(?=[\w-]))", re.IGNORECASE)
"""Beginnings of addresses that Markdown makes links of, escaped or not."""


def escaped(text: str) -> str:
    """User text that Markdown must leave as it is; an invisible joiner keeps bare addresses from becoming links."""
    text = _LINKED.sub("\\1\u2060", text.replace("\n", " "))
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~<>$:^&])", r"\\\1", text)


def escaped_lines(text: str) -> str:
    """The same for text of several lines, which stay lines."""
    return "  \n".join(escaped(line.strip()) for line in text.splitlines())


def run_title(row: engine.RunRow) -> str:
    """What a run is called: the name it was given, or what it distils."""
    return engine.results.names.run_title(row)


def loaded_from(row: engine.RunRow) -> str:
    """The file that a run's result was loaded from, "" for a run of this program."""
    return row.facts.get("loaded_from", "")


def planned_train(source: engine.data.Source, data: engine.DataConfig) -> int:
    """Training images that will be left without those for validation, as far as it is known before anything is loaded.

    Of price histories, windows.
    """
    if source.kind == "prices":
        return max(1, round(source.num_train * (1 - data.windows.validation_fraction) / data.windows.stride))
    report = getattr(source, "report", None)
    if report is None:
        left = round(source.num_train * (1 - data.validation_fraction))
    elif any(report.counts["validation"]):
        left = sum(report.counts["train"])
    else:
        train = report.counts["train"]
        left = sum(train) - sum(engine.data.num_held_out(train, data.validation_fraction))
    return min(left, data.train_limit) if data.train_limit else left


def planned_storage(
    source: engine.data.Source, size: engine.Size, num_train: int, data: engine.DataConfig
) -> tuple[int, int]:
    """Bytes of a synthetic set, 4 per learned value, and of the training set, 1 per value of images and 4 of windows.

    data: how the data are prepared.
    """
    shape = engine.data.task_of(source, data).sample_shape
    bytes_a_value = 4 if source.kind == "prices" else 1
    return size.num_bytes, bytes_a_value * num_train * (math.prod(shape) + 1)


def student_name(row: engine.RunRow) -> str:
    """The network a run distils for, "ConvNet-D3" in the field's way of writing."""
    return engine.titles.student(student_config(row))


def student_config(row: engine.RunRow) -> engine.StudentConfig:
    """A run's student with all its settings; the default one where the request's cannot be read."""
    return engine.results.student_of(row)


def clock(moment: float | None) -> str:
    """A time of day, with its date where that is not today's."""
    if not moment:
        return formats.NOTHING
    then = datetime.fromtimestamp(moment)
    same_day = then.date() == datetime.fromtimestamp(time.time()).date()
    return then.strftime("%H:%M" if same_day else "%-d %b %Y %H:%M")


def progress_text(row: engine.RunRow) -> str:
    """One line on how far a run is and how long it will take."""
    if row.status == "queued":
        return "Waits for its turn"
    if row.action == "record" or is_recording(row):
        return _recording_text(row)
    if row.status == "running" and row.phase and not _is_between_steps(row):
        return f"{row.phase[:1].upper()}{row.phase[1:]}{_phase_share(row)}"
    if row.status == "running" and not row.step:
        return "Getting ready"
    parts = [f"Outer step {formats.count(row.step)} of {formats.count(row.total_steps)}"] if row.total_steps else []
    if row.status == "running":
        if row.phase:
            parts.append(f"{row.phase}{_phase_share(row)}")
        if row.seconds_per_step is not None:
            parts.append(f"{formats.duration(row.seconds_per_step)} a step")
        if row.eta_seconds is not None:
            parts.append(f"{formats.duration(row.eta_seconds)} left")
    else:
        parts.append(f"{formats.duration(row.seconds)} of work")
    return " · ".join(parts)


def is_recording(row: engine.RunRow) -> bool:
    """Whether a run has begun with its experts, or its teacher, and has not come to the end of them."""
    return row.status == "running" and not row.step and 0 < row.epochs_done < row.epochs_total


def _recording_text(row: engine.RunRow) -> str:
    if row.status == "running" and not row.epochs_total:
        return f"{row.phase[:1].upper()}{row.phase[1:]}{_phase_share(row)}" if row.phase else "Getting ready"
    whose = engine.titles.recorded(row.method)
    done = f"{formats.count(row.epochs_done)} of {formats.counted(row.epochs_total, 'epoch')} of the {whose}"
    parts = [done] if row.epochs_total else []
    if row.status != "running":
        parts.append(f"{formats.duration(row.seconds)} of work")
        return " · ".join(parts)
    if row.phase:
        parts.append(f"{row.phase}{_phase_share(row)}")
    if row.eta_seconds is not None:
        parts.append(f"{formats.duration(row.eta_seconds)} left")
    return " · ".join(parts)


def _phase_share(row: engine.RunRow) -> str:
    return f" · {formats.count(row.phase_done)} of {formats.count(row.phase_total)}" if row.phase_total else ""


def _is_between_steps(row: engine.RunRow) -> bool:
    """Whether some outer steps are done and some are not: a stretch is then part of the next one, or of going on."""
    return 0 < row.step < row.total_steps


def progress_share(row: engine.RunRow) -> float:
    """How much of the present stretch is done, 0 to 1."""
    if row.status == "done":
        return 1.0
    if row.epochs_total and (row.action == "record" or is_recording(row)):
        return row.epochs_done / row.epochs_total
    if row.status == "running" and row.phase and row.phase_total and not _is_between_steps(row):
        return min(1.0, row.phase_done / row.phase_total)
    return min(1.0, row.step / row.total_steps) if row.total_steps else 0.0
