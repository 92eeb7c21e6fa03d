"""What all sessions of this process share: the store of runs, its worker, and data sets read for looking at."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

import engine
from pages.ui import words


@contextmanager
def said_plainly() -> Iterator[None]:
    """Show what the user can mend as its sentence, in place of the rest of the page."""
    try:
        yield
    except engine.UserError as error:
        st.error(words.escaped(str(error)), icon=":material/error:")


TAKE_BACK_SECONDS = 60.0
_taken_back = [time.monotonic()]


class Workshop:
    """The store and the one worker of this process. The worker goes on when every browser has gone."""

    def __init__(self) -> None:
        self.store = engine.Store(engine.runs_root())
        self.worker = engine.Worker(self.store)
        self.worker.start()

    def close(self) -> None:
        """Let the worker write its checkpoint and end."""
        self.worker.close(5.0)


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda workshop: workshop.close())
def workshop() -> Workshop:
    """Opened by the first page anybody looks at, so that queued runs go on after a restart."""
    return Workshop()


def spare_the_collector() -> None:
    """Called by what refreshes itself. Streamlit collects garbage after every refresh, a walk through all that PyTorch and
    scikit-learn have imported: 50 to 150 ms of the core that is training. What is alive now was just walked and is set
    aside; once a minute it is taken back, so that nothing is kept for ever.
    """
    now = time.monotonic()
    if now - _taken_back[0] > TAKE_BACK_SECONDS:
        _taken_back[0] = now
        gc.unfreeze()
    else:
        gc.freeze()


def sources() -> dict[str, Any]:
    """Every data set that can be chosen now, by key: those of the program, then the imported ones."""
    return engine.sources()


def store() -> engine.Store:
    """The runs of this machine."""
    return workshop().store


def submit(request: engine.RunRequest) -> str:
    """Queue a run; the worker takes it as soon as it is free. The new run's id."""
    return workshop().worker.submit(request)


def submit_all(requests: Sequence[engine.RunRequest]) -> list[str]:
    """Queue several runs, or none: those queued already are taken back where one of them cannot be kept."""
    started: list[str] = []
    try:
        for request in requests:
            started.append(submit(request))
    except engine.UserError:
        for run_id in started:
            store().request_stop(run_id)
        raise
    return started


def resume(run_id: str) -> None:
    """Queue a run again from its last checkpoint."""
    workshop().worker.resume(run_id)


@st.cache_resource(show_spinner="Reading the data set …", max_entries=2)
def splits(source_key: str, preparation: str, root: str) -> Any:
    """A source's splits under a preparation (DataConfig as JSON), kept for the two last asked for.

    `root` is the data folder; it is part of the key, so that another folder is read anew.
    """
    config = engine.DataConfig.model_validate_json(preparation)
    return drained(sources()[source_key].load(config, engine.data_root()))


def drained(events: Any) -> Any:
    """Run a generator of events to its end and give what it returns."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def download(source_key: str) -> None:
    """Fetch a source, showing its progress on the page. Raises DataError where it cannot be had."""
    bar = st.progress(0.0, text="Starting …")
    for event in sources()[source_key].load(engine.DataConfig(), engine.data_root()):
        if event.kind == "progress" and event.total:
            bar.progress(min(1.0, event.done / event.total), text=event.phase)
    bar.empty()


def theme() -> str:
    """ "light" or "dark", as the browser shows the page now."""
    return st.context.theme.type or "light"
