"""What all sessions of this process share: the store of runs, the worker, and data sets that are on show."""

import gc
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeVar

import streamlit as st

import engine
from pages.ui import words

Theme = Literal["light", "dark"]
Result = TypeVar("Result")


@contextmanager
def said_plainly() -> Iterator[None]:
    """Show an error that the user can fix as its message, in place of the rest of the page."""
    try:
        yield
    except engine.UserError as error:
        st.error(words.escaped(str(error)), icon=":material/error:")


TAKE_BACK_SECONDS = 60.0
_taken_back = [time.monotonic()]


class Workshop:
    """The store and the one worker of this process. The worker goes on when no browser is open."""

    def __init__(self) -> None:
        self.store = engine.Store(engine.runs_root())
        self.worker = engine.Worker(self.store)
        self.worker.start()

    def close(self) -> None:
        self.worker.close(5.0)


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda workshop: workshop.close())
def workshop() -> Workshop:
    """Opened with the first page, so that queued runs continue after a restart."""
    return Workshop()


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
    return workshop().store


def submit(request: engine.RunRequest) -> str:
    return workshop().worker.submit(request)


def submit_all(requests: Sequence[engine.RunRequest]) -> list[str]:
    """Queue all of these runs, or none if one of them is refused."""
    started: list[str] = []
    try:
        for request in requests:
            started.append(submit(request))
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
    return drained(engine.sources()[source_key].load(config, engine.data_root()))


def drained(events: Generator[engine.Event, None, Result]) -> Result:
    """Run a generator of events to its end and return its result."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def download(source_key: str) -> None:
    """Download a source with a progress bar. Raises DataError if it fails."""
    bar = st.progress(0.0, text="Starting …")
    for event in engine.sources()[source_key].load(engine.DataConfig(), engine.data_root()):
        if isinstance(event, engine.events.Progress) and event.total:
            bar.progress(min(1.0, event.done / event.total), text=event.phase)
    bar.empty()


def theme() -> Theme:
    return "dark" if st.context.theme.type == "dark" else "light"
