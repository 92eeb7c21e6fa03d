"""What a run is called where it has no name of its own."""

from engine.core.config import MethodConfig, Size
from engine.core.context import data_root
from engine.core.errors import UserError
from engine.core.run_row import RunRow
from engine.data import Source, sources, task_of
from engine.figures import formats
from engine.methods import config_of
from engine.results import titles
from engine.results.kinds import kind_of

LONGEST = 24


def run_title(row: RunRow) -> str:
    """The name that a run was given, or what it distils."""
    if row.name:
        return row.name
    title = f"{titles.source(row.source)} · {titles.method(row.method)}"
    if row.action == "record":
        return f"{title} · {titles.recorded(row.method)} only"
    size = size_in_words(row)
    return f"{title} · {size}" if size else title


def size_in_words(row: RunRow) -> str:
    """ "1 image per class, 698 B": of a run's synthetic set; "" where its request, or its data, cannot be read here."""
    source = sources(data_root()).get(row.source)
    size = planned_size(row, source)
    if source is None or size is None or row.action == "record":
        return ""
    stored = formats.num_bytes(row.summary.get("num_bytes", size.num_bytes))
    return f"{kind_of(row.method).size(row.request, size, task_of(source))}, {stored}"


def short_name(row: RunRow) -> str:
    """A run in a legend: its number and the beginning of its title, or the end, which tells runs of a sweep apart."""
    title = run_title(row)
    if kind_of(row.method).group(row.request) and not row.name:
        title = title.rpartition(" · ")[2]  # the target and the size tell more than the data set
    if len(title) > LONGEST:
        title = f"…{title[1 - LONGEST :]}" if row.sweep else f"{title[: LONGEST - 1]}…"
    return f"{row.id} · {title}"


def planned_size(row: RunRow, source: Source | None) -> Size | None:
    """How large a run's synthetic set is meant to be; None where its request, or its data set, cannot be read here."""
    config = method_config(row)
    if source is None or config is None:
        return None
    try:
        return config.size(task_of(source, row.request.data))
    except UserError:
        return None


def method_config(row: RunRow) -> MethodConfig | None:
    """A run's own hyperparameters with every default; None where its request cannot be read here."""
    try:
        return config_of(row.request)
    except UserError:
        return None
