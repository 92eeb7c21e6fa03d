"""What all sessions of this process share: the store of runs, the worker and loaded data sets."""

import contextlib
import gc
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from engine.figures import formats
from engine.figures.palette import Theme
from pages.ui import words


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Show the message of an error that the user can fix, in place of the rest of the page."""
    try:
        yield
    except engine.UserError as error:
        st.error(words.escaped(str(error)), icon=":material/error:")


Result = TypeVar("Result")
TAKE_BACK_SECONDS, REDRAW_SECONDS = 60.0, 0.1
_taken_back = [time.monotonic()]


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda worker: worker.close(5.0))
def worker() -> engine.Worker:
    """The one worker of this process. It starts with the first page and goes on when no browser is open."""
    found = engine.Worker(engine.Store(engine.runs_root()))
    found.start()
    return found


def spare_the_collector() -> None:
    """To be called by everything that refreshes itself.

    Streamlit collects garbage after every refresh. Walking through all that PyTorch and scikit-learn have imported
    takes the training core 50 to 150 ms. So living objects are left out, except once a minute, so that nothing leaks.
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
    """A source's splits under a preparation (DataConfig as JSON). root: the data folder, for the cache's key."""
    config = engine.DataConfig.model_validate_json(preparation)
    return engine.drained(engine.sources()[source_key].load(config, engine.data_root()))


def followed(events: Generator[engine.Event, None, Result], place: DeltaGenerator) -> Result:
    """Run a generator of events with a progress bar in `place`. If the script is stopped meanwhile, closes it."""
    bar, drawn = place.progress(0.0, text="Starting …"), 0.0

    def show(event: engine.Event) -> None:
        nonlocal drawn
        if isinstance(event, engine.events.Progress) and time.monotonic() - drawn > REDRAW_SECONDS:
            drawn = time.monotonic()
            share = f" · {formats.count(event.done)} of {formats.count(event.total)}" if event.total else ""
            done = min(1.0, event.done / event.total) if event.total else 0.0
            bar.progress(done, text=words.escaped(f"{event.phase[:1].upper()}{event.phase[1:]}{share}"))

    with contextlib.closing(events):
        return engine.drained(events, show)


def theme() -> Theme:
    return "dark" if st.context.theme.type == "dark" else "light"
