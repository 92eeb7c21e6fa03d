"""A data set of price histories: each token's history with its split, returns, windows and files."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results.sections import Metric
from pages.ui import imported, parts, sections, services, words

Prices = engine.prices.PriceSource | engine.prices.SimulatedPrices
NUM_SAMPLES = 6
MUCH_MEMORY = 500_000_000
"""Bytes of windows above which they are made only on request."""


def look(source: Prices) -> None:
    """Sizes, histories, returns, windows and, if it was imported, the files of a price source."""
    own = source if isinstance(source, engine.prices.PriceSource) else None
    st.markdown(f"{words.escaped(source.summary)} Source: {words.escaped(source.origin)}.")
    if own:
        imported.show_actions(own)
    else:
        st.info("These prices are simulated. Import real ones with “Add your own”.", icon=":material/casino:")
    found = source.availability(engine.data_root())
    if found.state != "present":
        parts.missing(source, found.message)
        return
    bars = source.bars(engine.data_root())
    _show_sizes(bars)
    with st.container(border=True):
        st.subheader("Price history", anchor=False)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            names, key = [each.token for each in bars], f"token {source.key}"
            chosen = st.selectbox("Token", names, key=key, persist_state="session", width=220)
            token = names.index(chosen) if chosen in names else 0
            log = st.toggle("Log scale", value=True, key=f"log prices {source.key}", persist_state="session")
        chart = st.container()
    _show_returns(bars, token, source.key)
    splits = _ask_windows(source)
    with chart:
        _show_history(bars[token], splits, log, source)
    if splits is not None:
        _show_windows(splits, token, source)
    if own:
        _show_files(own)


def greeting(source: engine.prices.PriceSource) -> str:
    """What an import brought, in one line."""
    bars = source.bars(engine.data_root())
    count = sum(len(file.repairs) for file in source.report.files)
    repaired = f" {formats.counted(count, 'repair')} made while reading, see below." if count else ""
    tokens, total = formats.counted(len(bars), "token"), formats.counted(sum(map(len, bars)), "bar")
    return f"{words.escaped(source.title)} is imported: {tokens}, {total}.{repaired}"


def _show_sizes(bars: Sequence[engine.prices.Bars]) -> None:
    first, last = min(int(each.times[0]) for each in bars), max(int(each.times[-1]) for each in bars)
    names = ", ".join(each.token for each in bars[:4]) + (" …" if len(bars) > 4 else "")
    lengths = sorted(len(each) for each in bars)
    each = formats.count(lengths[0]) if lengths[0] == lengths[-1] else f"{lengths[0]:,} to {lengths[-1]:,}"
    rows = [
        Metric("Tokens", formats.count(len(bars)), words.escaped(names)),
        Metric("Bars", formats.count(sum(lengths)), f"{each} per token"),
        Metric("First bar", day(first), "UTC"),
        Metric("Last bar", day(last), "UTC"),
        Metric("Bar length", engine.prices.distance(bars[0].seconds), "from bar to bar"),
    ]
    sections.show_metrics(rows)


def day(seconds: int) -> str:
    """The date of a bar in UTC: "3 Mar 2021"."""
    return f"{datetime.fromtimestamp(seconds, UTC):%-d %b %Y}"


def _show_history(
    bars: engine.prices.Bars, splits: engine.prices.WindowSplits | None, log: bool, source: Prices
) -> None:
    """All bars of a token, with the parts of the split shaded and their dates."""
    split = figures.history_parts(bars, splits) if splits is not None else []
    what = "Prices" if isinstance(source, engine.prices.PriceSource) else "Simulated prices"
    alt = f"{what} of {bars.token} over time with their volume; training, validation, test and embargoes are shaded"
    sections.show_chart(figures.history(bars, split, log=log), f"history {source.key}", alt)
    if splits is None:
        return
    dates = "; ".join(
        f"**{part.name.capitalize()}** {day(part.first)} to {day(part.last)}, {formats.counted(part.num_bars, 'bar')}"
        for part in split
        if part.name != "embargo"
    )
    embargo = formats.counted(splits.config.embargo, "bar")
    st.caption(
        f"{dates}. All tokens are split at the same dates. An **embargo** of {embargo} after each split date keeps "
        "windows from overlapping two parts."
    )


def _show_returns(bars: Sequence[engine.prices.Bars], token: int, key: str) -> None:
    """The distribution of one token's returns, and statistics of all tokens."""
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.subheader("Returns", anchor=False)
        alt = f"Histogram of the returns of {bars[token].token} beside a normal distribution"
        sections.show_chart(figures.return_histogram(bars[token]), f"returns {key}", alt)
        st.caption("Bars outside the dashed line are fat tails: more large moves than in a normal distribution.")
    with right, st.container(border=True, height="stretch"):
        st.subheader("Tokens", anchor=False)
        _show_statistics(bars)
        st.caption("Log returns, close to close. A normal distribution has excess kurtosis 0; fat tails have more.")


def _show_statistics(bars: Sequence[engine.prices.Bars]) -> None:
    of = [figures.return_statistics(each) for each in bars]
    shown: dict[str, tuple[str, list[Any]]] = {
        "Bars": ("localized", [len(each) for each in bars]),
        "Mean (%)": ("%.2f", [100 * row.mean for row in of]),
        "Deviation (%)": ("%.2f", [100 * row.deviation for row in of]),
        "Lowest (%)": ("%.1f", [100 * row.lowest for row in of]),
        "Highest (%)": ("%.1f", [100 * row.highest for row in of]),
        "Kurtosis": ("%.1f", [row.kurtosis for row in of]),
    }
    columns = {"Token": [each.token for each in bars]} | {name: values for name, (_, values) in shown.items()}
    config = {name: st.column_config.NumberColumn(format=each) for name, (each, _) in shown.items()}
    alt = "Number of bars and statistics of the returns of each token"
    st.dataframe(columns, hide_index=True, width="stretch", column_config=config, alt=alt)


def _ask_windows(source: Prices) -> engine.prices.WindowSplits | None:
    """The form of splits and windows; the splits, or None if these settings make none."""
    st.header("Windows", anchor=False)
    st.caption("How price histories become windows (inputs) and targets. Everything is fitted on the training part.")
    with services.said_plainly():
        asked = parts.ask_preparation(source, "Windows")
        config = asked[-1]
        shape = engine.data.task_of(source, config).sample_shape
        needed = 4 * math.prod(shape) * (source.num_train + source.num_test) // config.windows.stride
        cost = f"These windows take {formats.num_bytes(needed)} of memory. A larger stride makes fewer windows."
        if parts.may_show(source, config, needed <= MUCH_MEMORY, cost, "Make the windows"):
            splits = services.splits(source.key, config.model_dump_json(), str(engine.data_root()))
            parts.distil_prepared("Distil with these windows", source, asked)
            return cast(engine.prices.WindowSplits, splits)
    return None


def _show_windows(splits: engine.prices.WindowSplits, token: int, source: Prices) -> None:
    with st.container(border=True):
        draw = parts.draw(f"Training windows of {words.escaped(splits.spec.class_names[token])}")
        with st.grid(3, min_column_width=280):
            for number, (title, bars) in enumerate(figures.window_samples(splits, NUM_SAMPLES, draw, token)):
                figure = figures.candles(bars, title=title, height=230)
                sections.show_chart(
                    figure, f"window {number} {source.key}", f"Candlesticks of a training window: {title}"
                )
        is_relative = splits.config.features == "returns"
        start = " The close before each window is set to 100, because students see returns." if is_relative else ""
        st.caption(f"Hollow green: the close is above the open. Filled red: it is not.{start}")
        overlap = "; neighbouring windows overlap" if splits.config.stride < splits.config.window_length else ""
        train, validation, test = (formats.count(len(part)) for part in (splits.train, splits.validation, splits.test))
        st.caption(f"{train} training, {validation} validation and {test} test windows of all tokens{overlap}.")


def _show_files(source: engine.prices.PriceSource) -> None:
    report = source.report
    st.header("Files", anchor=False)
    for note in report.notes:
        st.markdown(f"- {words.escaped(note)}")
    with st.container(border=True):
        st.subheader("How they were read", anchor=False)
        for file in report.files:
            bars = f"{formats.counted(file.num_bars, 'bar')} of {words.escaped(file.token)}"
            lines = [f"**{words.escaped(file.name)}**: {bars}. Columns: {words.escaped(columns_said(file.mapping))}."]
            lines += [f"- {words.escaped(repair)}" for repair in file.repairs or ("No repairs.",)]
            st.markdown("\n".join(lines))
        st.caption(f"Imported {words.clock(source.created)}.")
    if report.skipped:
        imported.show_skipped(report.skipped)


def columns_said(mapping: engine.prices.Mapping) -> str:
    """The column behind each role: "date, close, volume from Traded"."""
    columns = {role: column for role, column in mapping.model_dump().items() if column}
    return ", ".join(role if role == column.casefold() else f"{role} from {column}" for role, column in columns.items())
