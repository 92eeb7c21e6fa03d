"""Distilled price sequences as candlesticks with volume and target, beside real windows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from pages.ui import pictures, sections, services, words

MAX_SHOWN = 6
"""Sequences of a token that are drawn at once."""
EVERY = "All tokens"
HEIGHT = 240
NO_BARS = "This picture was stored without its bars."


def show(row: engine.RunRow, steps: Sequence[int], starts_with_all: bool = False) -> int:
    """The set at one step beside real training windows, token by token; returns the step.

    starts_with_all: show every token until one is chosen.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        place = st.container(width=220)
        with st.container(width=420):
            step = pictures.shown_step(row, list(steps))
        draw = f"draw of {row.id}"
        if st.button("Draw other real windows", icon=":material/casino:", type="tertiary", key=f"other {draw}"):
            st.session_state[draw] = st.session_state.get(draw, 0) + 1
    view = pictures.kept(row, step).candles
    if view is None:
        st.caption(NO_BARS)
        return step
    tokens = list(dict.fromkeys(view.tokens))
    with place:
        shown = _ask_tokens(row, tokens, starts_with_all)
    splits, missing = _splits(row)
    told = _told(view, splits)
    for token in shown:
        _token(row, view, told, token, splits)
    start = " The bar before the first closes at 100." if row.request.data.windows.features == "returns" else ""
    about = f"Hollow candles close higher than they open, filled ones lower.{start} Targets are learned too."
    st.caption(f"{pictures.caption(row, step)}. {about} {missing}".strip())
    return step


def show_few(row: engine.RunRow, step: int) -> None:
    """The first sequence of each of the first tokens, small."""
    view = pictures.kept(row, step).candles
    if view is None:
        st.caption(NO_BARS)
        return
    told = _told(view, _splits(row)[0])
    firsts = {token: view.tokens.index(token) for token in view.tokens}
    with st.grid(3, min_column_width=240):
        for number in list(firsts.values())[:3]:
            _panel(row, f"few {number}", view.tokens[number], told[number], view.bars[number], height=190)
    st.caption(pictures.caption(row, step))


def _ask_tokens(row: engine.RunRow, tokens: Sequence[str], starts_with_all: bool) -> list[str]:
    if len(tokens) == 1:
        return list(tokens)
    index, key = 0 if starts_with_all else 1, f"token of {row.id} {starts_with_all}"
    chosen = st.selectbox("Token", [EVERY, *tokens], index, key=key, persist_state="session")
    return list(tokens) if chosen == EVERY else [chosen]


def _told(view: engine.events.CandleView, splits: Any) -> list[str]:
    """The target of each sequence in words, in the scale of real prices if that is known."""
    return figures.target_words(view, *((splits.scaling, splits.spec.class_names) if splits else ()))


def _token(row: engine.RunRow, view: engine.events.CandleView, told: Sequence[str], token: str, splits: Any) -> None:
    """The sequences of one token and as many real windows; side by side if it has only one sequence."""
    mine = [number for number, name in enumerate(view.tokens) if name == token]
    drawn = mine[:MAX_SHOWN]
    is_single = len(drawn) == 1
    columns = 1 if is_single else 3
    first, second = st.columns(2, gap="medium") if is_single else (st.container(), st.container())
    with first:
        part = f", the first {len(drawn)} of {len(mine)}" if len(drawn) < len(mine) else ""
        st.markdown(f"**{words.escaped(token)}, distilled{part}**")
        with st.grid(columns, min_column_width=260):
            for place, number in enumerate(drawn):
                title = token if is_single else f"{token} {place + 1}"
                _panel(row, f"{token} {place}", title, told[number], view.bars[number])
    if splits is None or token not in splits.spec.class_names:
        return
    with second:
        st.markdown(f"**{words.escaped(token)}, real training window{'' if is_single else 's'}**")
        number = splits.spec.class_names.index(token)
        windows = figures.window_samples(splits, len(drawn), st.session_state.get(f"draw of {row.id}", 0), number)
        with st.grid(columns, min_column_width=260):
            for place, (title, bars) in enumerate(windows):
                _panel(row, f"real {token} {place}", title, "", bars)


def _panel(row: engine.RunRow, key: str, title: str, told: str, bars: np.ndarray, height: int = HEIGHT) -> None:
    """One window: its name, its target, its candles."""
    heading = f"{title}: {told}" if told else title
    with st.container(border=True, gap="xsmall"):
        st.markdown(f":small[{words.escaped(heading)}]")
        figure, alt = figures.candles(bars, height=height), f"{formats.counted(len(bars), 'bar')}: {heading}"
        sections.show_chart(figure, f"candles {row.id} {key}", f"Candlesticks with volume of {alt}")


def _splits(row: engine.RunRow) -> tuple[Any, str]:
    """The run's real windows, or None and the reason."""
    source = engine.sources().get(row.source)
    if source is None:
        return None, "The data set of this run was deleted, so no real windows are shown."
    if source.availability(engine.data_root()).state != "present":
        return None, "The data set of this run is not on this machine, so no real windows are shown."
    try:
        return services.splits(source.key, row.request.data.model_dump_json(), str(engine.data_root())), ""
    except engine.UserError as error:
        return None, f"No real windows are shown: {words.escaped(str(error))}"
