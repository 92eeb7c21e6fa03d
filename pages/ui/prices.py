"""A data set of price histories, looked at: each token's history with its split, its returns, windows of it, how it was read."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import forms, frame, imported, live, services, words

NUM_SAMPLES = 6
MUCH_MEMORY = 500_000_000
"""Bytes of windows beyond which a button makes them."""


def look(source: Any) -> None:
    """A price source as it is: sizes, histories, returns, windows, and what an imported one came from."""
    st.markdown(f"{words.escaped(source.summary)} Source: {words.escaped(source.origin)}.")
    is_imported = is_own(source)
    if is_imported:
        imported.show_actions(source)
    else:
        st.info("These prices are simulated. Bring your own histories with “Add your own”.", icon=":material/casino:")
    found = source.availability(engine.data_root())
    if found.state != "present":
        st.error(
            words.escaped(found.message),
            title=f"{words.escaped(source.title)} is not here",
            icon=":material/folder_off:",
        )
        return
    bars = source.bars(engine.data_root())
    show_sizes(bars)
    with st.container(border=True):
        st.subheader("Price history", anchor=False)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            token = _token(bars, f"token {source.key}")
            log = st.toggle("Log scale", value=True, key=f"log prices {source.key}", persist_state="session")
        chart = st.container()
    _show_returns(bars, token, source.key)
    splits = _ask_windows(source)
    with chart:
        _show_history(bars[token], splits, log, source)
    if splits is not None:
        _show_windows(splits, token, source)
    if is_imported:
        show_report(source)


def is_own(source: Any) -> bool:
    """Whether somebody imported it."""
    return source.key not in engine.SOURCES


def greet(source: Any) -> None:
    """What an import brought, in one line."""
    bars = source.bars(engine.data_root())
    count = sum(len(file.repairs) for file in source.report.files)
    repaired = f" {formats.counted(count, 'repair')} made while reading; see below." if count else ""
    st.success(
        f"{words.escaped(source.title)} is here: {formats.counted(len(bars), 'token')}, "
        f"{formats.counted(sum(map(len, bars)), 'bar')}.{repaired}",
        icon=":material/check_circle:",
    )


def show_sizes(bars: Any) -> None:
    """Tokens, bars and the time they span."""
    first, last = min(int(each.times[0]) for each in bars), max(int(each.times[-1]) for each in bars)
    names = ", ".join(each.token for each in bars[:4]) + (" …" if len(bars) > 4 else "")
    lengths = sorted(len(each) for each in bars)
    each = formats.count(lengths[0]) if lengths[0] == lengths[-1] else f"{lengths[0]:,} to {lengths[-1]:,}"
    with st.grid(5, min_column_width=165):
        for label, value, note in (
            ("Tokens", formats.count(len(bars)), words.escaped(names)),
            ("Bars", formats.count(sum(lengths)), f"{each} a token"),
            ("First bar", day(first), "UTC"),
            ("Last bar", day(last), "UTC"),
            ("Distance", engine.prices.distance(bars[0].seconds), "between two bars"),
        ):
            st.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch")


def day(seconds: int) -> str:
    """The date of a bar in UTC: "3 Mar 2021"."""
    return f"{datetime.fromtimestamp(seconds, UTC):%-d %b %Y}"


def _token(bars: Any, key: str) -> int:
    """The place of the token that is looked at."""
    names = [each.token for each in bars]
    chosen = st.selectbox("Token", names, key=key, persist_state="session", width=220)
    return names.index(chosen) if chosen in names else 0


def _show_history(bars: Any, splits: Any, log: bool, source: Any) -> None:
    """All bars of a token with the parts of the split shaded, and what the parts are in words."""
    parts = figures.history_parts(bars, splits) if splits is not None else []
    simulated = "" if is_own(source) else "Simulated "
    st.plotly_chart(
        figures.history(bars, parts, log=log),
        key=f"history {source.key}",
        config=live.QUIET,
        alt=f"{simulated}{'p' if simulated else 'P'}rices of {bars.token} over time with their volume; train, validation, test and embargoes shaded",
    )
    if parts:
        said = [
            f"**{part.name.capitalize()}** {day(part.first)} to {day(part.last)}, {formats.counted(part.num_bars, 'bar')}"
            for part in parts
            if part.name != "embargo"
        ]
        st.caption(
            f"{'; '.join(said)}. All tokens are split at the same dates. An **embargo** of {formats.counted(splits.config.embargo, 'bar')} "
            "after each of the two dates belongs to no part, so that nothing of one part is seen in the next."
        )


def _show_returns(bars: Any, token: int, key: str) -> None:
    """How the returns of one token are spread, and a line of statistics a token."""
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.subheader("Returns", anchor=False)
        st.plotly_chart(
            figures.return_histogram(bars[token]),
            key=f"returns {key}",
            config=live.QUIET,
            alt=f"Histogram of the returns of {bars[token].token} beside a normal distribution",
        )
        st.caption(
            "What stands beyond the dashed line at both ends are fat tails: a normal distribution has no such moves."
        )
    with right, st.container(border=True, height="stretch"):
        st.subheader("Tokens", anchor=False)
        rows = [figures.return_statistics(each) for each in bars]
        st.dataframe(
            {
                "Token": [each.token for each in bars],
                "Bars": [len(each) for each in bars],
                "Mean (%)": [100 * row.mean for row in rows],
                "Deviation (%)": [100 * row.deviation for row in rows],
                "Lowest (%)": [100 * row.lowest for row in rows],
                "Highest (%)": [100 * row.highest for row in rows],
                "Kurtosis": [row.kurtosis for row in rows],
            },
            hide_index=True,
            width="stretch",
            column_config={"Bars": st.column_config.NumberColumn(format="localized")}
            | {f"{name} (%)": st.column_config.NumberColumn(format="%.2f") for name in ("Mean", "Deviation")}
            | {f"{name} (%)": st.column_config.NumberColumn(format="%.1f") for name in ("Lowest", "Highest")}
            | {"Kurtosis": st.column_config.NumberColumn(format="%.1f")},
            alt="Number of bars and spread of the returns of each token",
        )
        st.caption(
            "Of log returns from close to close. The excess kurtosis of a normal distribution is 0; fat tails have more."
        )


def _ask_windows(source: Any) -> Any:
    """The choices of the split and the windows; the splits they make, None where they make none (said in a sentence)."""
    st.header("Windows", anchor=False)
    st.caption(
        "How histories become windows that a network sees and targets that it forecasts. All that is fitted is fitted on the training part alone."
    )
    answers: dict = {}
    fields = forms.fitting(forms.entries(engine.DataConfig, {}), source)
    forms.ask(fields, f"preparation/{source.key}", answers)
    with services.said_plainly():
        config = engine.checked(engine.DataConfig, forms.nested(answers), "Windows")
        if not _may_make(source, config):
            return None
        splits = services.splits(source.key, config.model_dump_json(), str(engine.data_root()))
        if st.button("Distil with these windows", icon=":material/science:", key="distil prepared"):
            edited = {field.path: answers[field.path] for field in forms.changed(fields, answers)}
            st.session_state.setdefault("preparation", {})[source.key] = forms.nested(edited)
            frame.go_to("distill", {"source": source.key})
        return splits
    return None


def _may_make(source: Any, config: engine.DataConfig) -> bool:
    """Whether windows are made without being asked for: those of very long histories take much memory."""
    shape = engine.data.task_of(source, config).sample_shape
    needed = 4 * math.prod(shape) * (source.num_train + source.num_test) // config.windows.stride
    wanted = (source.key, config.model_dump_json())
    if needed > MUCH_MEMORY and st.session_state.get("prepared") != wanted:
        st.caption(f"These windows take {formats.num_bytes(needed)} of memory. A larger stride makes fewer of them.")
        if not st.button("Make them", icon=":material/visibility:", key="show preparation"):
            return False
        st.session_state["prepared"] = wanted
    return True


def _show_windows(splits: Any, token: int, source: Any) -> None:
    """A few training windows of a token as candlesticks, and how many windows each part has."""
    name = splits.spec.class_names[token]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader(f"Training windows of {words.escaped(name)}", anchor=False)
            if st.button("Draw others", icon=":material/casino:", type="tertiary", key="draw others"):
                st.session_state["sample draw"] = st.session_state.get("sample draw", 0) + 1
        draw = st.session_state.get("sample draw", 0)
        with st.grid(3, min_column_width=280):
            for number, (title, bars) in enumerate(figures.window_samples(splits, NUM_SAMPLES, draw, token)):
                st.plotly_chart(
                    figures.candlesticks(bars, title=title, height=230),
                    key=f"window {number} {source.key}",
                    config=live.QUIET,
                    alt=f"Candlesticks of a training window: {title}",
                )
        begun = (
            " Each begins after a close of 100: what a student sees are returns."
            if splits.config.features == "returns"
            else ""
        )
        st.caption(f"Hollow and green where the close is above the open, filled and red where it is not.{begun}")
        overlap = "; neighbours overlap" if splits.config.stride < splits.config.window_length else ""
        sizes = [formats.counted(len(part), "window") for part in (splits.train, splits.validation, splits.test)]
        st.caption(f"{sizes[0]} of all tokens to train on, {sizes[1]} to choose with, {sizes[2]} to test on{overlap}.")


def show_report(source: Any) -> None:
    """How the files were read: columns, repairs and gaps of each, and which could not be used."""
    report = source.report
    st.header("Files", anchor=False)
    for note in report.notes:
        st.markdown(f"- {words.escaped(note)}")
    with st.container(border=True):
        st.subheader("How they were read", anchor=False)
        for file in report.files:
            lines = [
                f"**{words.escaped(file.name)}**: {formats.counted(file.num_bars, 'bar')} of {words.escaped(file.token)}. "
                f"Columns: {words.escaped(columns_said(file.mapping))}.",
                *(f"- {words.escaped(repair)}" for repair in file.repairs or ("Nothing had to be repaired.",)),
            ]
            st.markdown("\n".join(lines))
        st.caption(f"Imported {words.clock(source.created)}.")
    if report.skipped:
        imported.show_skipped(report.skipped)


def columns_said(mapping: Any) -> str:
    """Which column was read as what: "date, close, volume from Traded"."""
    return ", ".join(
        role if role == column.casefold() else f"{role} from {column}"
        for role, column in mapping.model_dump().items()
        if column
    )
