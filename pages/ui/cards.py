"""The list of runs: a card each with state, progress, time left and score; to search, sort and tick."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import streamlit as st

import engine
from engine import figures
from engine.figures import formats
from engine.results import Run, names
from pages.ui import frame, heading, progress, services, words

REFRESH = 2.0
"""Seconds between refreshes of the list while a run is queued or running."""

ORDERS = ("Newest", "Oldest", "Name", "Score", "Time taken")
BESIDE = {"random_real": "random (equal bytes)", "random_samples": "as many random", "kmeans_real": "k-means"}
"""What a run's score is shown beside."""
TICKED = "ticked runs"
ASKED = "asked of ticked runs"


@dataclass(frozen=True)
class Choice:
    """Which runs are shown, in which order; an empty field means all.

    text: words that must all occur in a run's name, number, note, tags or data set. tags: a run must have all of them.
    """

    text: str = ""
    states: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    order: str = ORDERS[0]


EVERYTHING = Choice()


def live_list(*, limit: int | None = None, choice: Choice = EVERYTHING, page: int = 1, can_tick: bool = False) -> None:
    """Cards of runs, refreshed while any run is queued or running.

    limit: cards per page, all if None. page: from 1. can_tick: with boxes to tick and buttons for the ticked runs.
    """
    is_active = any(row.is_active for row in services.store().runs())
    frame.refreshing(_cards, REFRESH if is_active else None)(limit, choice, page, can_tick, is_active)


def matching(rows: Sequence[engine.RunRow], choice: Choice) -> list[engine.RunRow]:
    """The chosen runs in order."""
    wanted = choice.text.lower().split()
    found = [
        row
        for row in rows
        if (not choice.states or row.status in choice.states)
        and (not choice.sources or row.source in choice.sources)
        and all(tag in row.tags for tag in choice.tags)
    ]
    titles = _titles(found) if wanted or choice.order == "Name" else {}
    if wanted:
        sources = {key: engine.titles.source(key) for key in {row.source for row in found}}
        texts = {row.id: (row.id, row.note, *row.tags, titles[row.id], sources[row.source]) for row in found}
        found = [row for row in found if all(word in "\n".join(texts[row.id]).lower() for word in wanted)]
    match choice.order:
        case "Oldest":
            found.reverse()
        case "Name":
            found.sort(key=lambda row: titles[row.id].casefold())
        case "Score":
            found.sort(key=_mean, reverse=True)
        case "Time taken":
            found.sort(key=lambda row: row.seconds, reverse=True)
    return found


def _titles(rows: Sequence[engine.RunRow]) -> dict[str, str]:
    """The title of each run, by id; looked up once for all unnamed runs that distil the same."""

    def what(row: engine.RunRow) -> tuple[str, ...]:
        return row.source, row.method, row.action, str(row.request.config)

    shared = {what(row): row for row in rows if not row.name}
    titles = {same: names.run_title(row) for same, row in shared.items()}
    return {row.id: row.name or titles[what(row)] for row in rows}


def ticked(rows: Sequence[engine.RunRow]) -> list[engine.RunRow]:
    by_id = {row.id: row for row in rows}
    return [by_id[run_id] for run_id in st.session_state.get(TICKED, []) if run_id in by_id]


def untick() -> None:
    st.session_state[TICKED] = []


@services.said_plainly()
def _cards(limit: int | None, choice: Choice, page: int, can_tick: bool, was_active: bool) -> None:
    services.spare_the_collector()
    rows = services.store().runs()
    if was_active and not any(row.is_active for row in rows):
        st.rerun()
    found = matching(rows, choice)
    if can_tick:
        _bar(ticked(rows))
    first = (page - 1) * limit if limit else 0
    for row in found[first : first + limit if limit else None]:
        _card(row, can_tick)


def _bar(chosen: Sequence[engine.RunRow]) -> None:
    """How many runs are ticked, and buttons for them; the page answers these, as its dialogs outlive a refresh."""
    if not chosen:
        return
    with (
        st.container(border=True, key="ticked bar"),
        st.container(horizontal=True, vertical_alignment="center", gap="small"),
    ):
        st.markdown(f"**{len(chosen)} ticked**", width="content")
        for label, icon in (("Compare", "compare_arrows"), ("Tag", "sell"), ("Delete", "delete")):
            kind: Literal["primary", "secondary"] = "primary" if label == "Compare" else "secondary"
            if st.button(label, icon=f":material/{icon}:", type=kind, key=f"{label.lower()} ticked"):
                st.session_state[ASKED] = label
                st.rerun()
        st.button("Clear", icon=":material/close:", type="tertiary", key="clear ticked", on_click=untick)


def _keep_tick(run_id: str) -> None:
    """Tick or untick a run as its box says."""
    others = [other for other in st.session_state.get(TICKED, []) if other != run_id]
    st.session_state[TICKED] = [*others, run_id] if st.session_state[f"tick {run_id}"] else others


def _card(row: engine.RunRow, can_tick: bool) -> None:
    with st.container(border=True, key=f"card {row.id}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content", gap="small"):
                if can_tick:
                    _tick_box(row)
                heading.badge(row.status, row.stop_requested)
                st.page_link("pages/runs.py", label=words.escaped(names.run_title(row)), query_params={"run": row.id})
            st.markdown(_score(row), width="content")
        if row.is_active:
            progress.bar(row)
            st.caption(_facts(row))
        else:
            file = row.loaded_from
            st.caption(f"{_facts(row)} · {f'loaded from {words.escaped(file)}' if file else progress.text(row)}")
        if row.note:
            st.caption(f"*{words.escaped(_first_line(row.note))}*")
        if row.tags or row.sweep:
            heading.tags_and_sweep(row)
        if row.status == "failed":
            st.markdown(f":small[:red[{words.escaped(row.error)}]]")


def _tick_box(row: engine.RunRow) -> None:
    key, is_ticked = f"tick {row.id}", row.id in st.session_state.get(TICKED, [])
    if bool(st.session_state.get(key)) != is_ticked:  # a value that is set overwrites a click on its way here
        st.session_state[key] = is_ticked
    st.checkbox(f"Tick run {row.id}", key=key, label_visibility="collapsed", on_change=_keep_tick, args=(row.id,))


def _first_line(note: str) -> str:
    line = note.strip().splitlines()[0].strip()
    return line if len(line) <= 90 else f"{line[:89]}…"


def _facts(row: engine.RunRow) -> str:
    facts = f"{row.id} · {words.clock(row.created)} · {words.escaped(words.student_name(row))} · seed {row.seed}"
    if row.start:
        facts += f" · {'evaluates' if row.action == 'evaluate' else 'began from'} run {words.escaped(row.start)}"
    return facts


def _score(row: engine.RunRow) -> str:
    """The test score of a finished run and of few real samples, each with its best protocol.

    How far a recipe is shortened is said once.
    """
    if row.action == "record":
        return _recorded(row)
    best = _best(row)
    if "distilled" not in best:
        return ""
    distilled = best["distilled"]

    def by(row: engine.Row) -> str:
        is_known = row.protocol == distilled.protocol
        return figures.protocol_words(row.protocol.partition("@")[0] if is_known else row.protocol)

    beside = "".join(
        f" · {name} {formats.percent(best[arm].mean)} ({by(best[arm])})" for arm, name in BESIDE.items() if arm in best
    )
    what = {"accuracy": "distilled", "skill": "skill, distilled"}[engine.kind_of(row.method).measure]
    what += f" ({figures.protocol_words(distilled.protocol)})"
    by_class = _balanced_of_done(str(services.store().root), row.id, row.finished)
    balanced = f", {formats.percent(by_class.mean)} balanced," if by_class else ""
    return f"**{formats.percent_spread(distilled.mean, distilled.std, distilled.n)}**{balanced} {what}{beside}"


def _recorded(row: engine.RunRow) -> str:
    if row.status != "done":
        return ""
    recorded = engine.titles.recorded(row.method)
    count = 1 if recorded == "teacher" else row.summary.get("num_experts")
    return "" if count is None else f"**{formats.counted(count, recorded.removesuffix('s'))}**"


def _mean(row: engine.RunRow) -> float:
    """The score to sort by; runs without one come last."""
    best = _best(row)
    return best["distilled"].mean if "distilled" in best else -math.inf


def _best(row: engine.RunRow) -> dict[str, engine.Row]:
    """The best score of each training set of a finished run; none before."""
    if row.status != "done" or row.action == "record":
        return {}
    return _best_of_done(str(services.store().root), row.id, row.finished, engine.results.student_of(row).name)


@lru_cache(maxsize=4096)
def _best_of_done(root: str, run_id: str, finished: float, student: str) -> dict[str, engine.Row]:
    """Cached, as a finished run gets no more scores. `root` and `finished` tell runs of the same number apart."""
    return engine.best_by_arm(services.store().scores(run_id), student)


@lru_cache(maxsize=4096)
def _balanced_of_done(root: str, run_id: str, finished: float) -> engine.Row | None:
    """The balanced accuracy of the distilled set of a finished run, where it decides; cached as above."""
    run = Run(services.store().run(run_id), services.store())
    is_shown = run.is_unbalanced and "distilled" in run.best
    return run.judged_row(run.best["distilled"]) if is_shown else None
