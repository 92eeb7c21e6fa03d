"""What all sessions of this process share: the store of runs, the worker, and data sets that are on show."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

import engine
from engine.figures.palette import Theme
from pages.ui import words


@contextmanager
def said_plainly() -> Iterator[None]:
    """Show an error that the user can fix as its message, in place of the rest of the page."""
    try:
        yield
    except engine.UserError as error:
        st.error(words.escaped(str(error)), icon=":material/error:")


TAKE_BACK_SECONDS = 60.0
_taken_back = [time.monotonic()]


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda worker: worker.close(5.0))
def worker() -> engine.Worker:
    """The one worker of this process. It starts with the first page and goes on when no browser is open."""
    found = engine.Worker(engine.Store(engine.runs_root()))
    found.start()
    return found


def spare_the_collector() -> None:
    """To be called by everything that refreshes itself.

    Streamlit collects garbage after every refresh. That walks through everything PyTorch and scikit-learn have
    imported: 50 to 150 ms of the core that is training. So what is alive is excluded from collection, and included
    again once a minute so that nothing leaks.
    """
    now = time.monotonic()
    if now - _taken_back[0] > TAKE_BACK_SECONDS:
        _taken_back[0] = now
        gc.unfreeze()
    else:
        gc.freeze()


def store() -> engine.Store:
    return worker().store


def submit_all(requests: Sequence[engine.RunRequest]) -> list[str]:
    """Queue all of these runs, or none if one of them is refused."""
    started: list[str] = []
    try:
        for request in requests:
            started.append(worker().submit(request))
    except engine.UserError:
        for run_id in started:
            store().request_stop(run_id)
        raise
    return started


@st.cache_resource(show_spinner="Reading the data set …", max_entries=2)
def splits(source_key: str, preparation: str, root: str) -> engine.data.Splits:
    """A source's splits under a preparation (DataConfig as JSON); the last two are cached.

    `root` is the data folder; as part of the cache's key it makes another folder be read anew.
    """
    config = engine.DataConfig.model_validate_json(preparation)
    return engine.drained(engine.sources()[source_key].load(config, engine.data_root()))


def download(source_key: str) -> None:
    """Download a source with a progress bar. Raises DataError if it fails."""
    bar = st.progress(0.0, text="Starting …")
    for event in engine.sources()[source_key].load(engine.DataConfig(), engine.data_root()):
        if isinstance(event, engine.events.Progress) and event.total:
            bar.progress(min(1.0, event.done / event.total), text=event.phase)
    bar.empty()


def theme() -> Theme:
    return "dark" if st.context.theme.type == "dark" else "light"
