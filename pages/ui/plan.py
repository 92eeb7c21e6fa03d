"""The estimate beside Start: time, memory and disk space of a request, measured by a trial on this machine."""

import time
import uuid
from typing import Any

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import frame, services, words

SETTLED_SECONDS = 1.0
"""How long settings must stay unchanged before they are tried."""
REFRESH = 1.0
Answer = engine.Estimate | engine.Refusal | engine.Pending


@st.cache_resource(show_spinner=False, max_entries=1, on_release=lambda trials: trials.close())
def trials() -> engine.Trials:
    """The trials of this process, shared by all sessions."""
    return engine.Trials(services.store())


def show(request: engine.RunRequest) -> Answer:
    """Draw the estimate of a request. Until there is one, refreshes; then reruns the page."""
    answer = _known(request)
    is_pending = isinstance(answer, engine.Pending)
    frame.refreshing(_estimate, REFRESH if is_pending else None)(request, is_pending)
    return answer


def refused(answer: Answer, request: engine.RunRequest) -> str | None:
    """Why a request cannot start and what to change; None if nothing is known against it."""
    if isinstance(answer, engine.Estimate):
        return engine.advice.verdict(answer, request)
    return answer.sentence if isinstance(answer, engine.Refusal) and answer.is_final else None


def may_start(request: engine.RunRequest) -> bool:
    """Wait for a request's trial and return True if it may start; otherwise rerun the page, which says why not."""
    with st.spinner("Estimating time and memory …"):
        answer = trials().wait(request, _asker())
    if refused(answer, request):
        st.rerun()
    return True


def _known(request: engine.RunRequest) -> Answer:
    known = trials().known(request)
    if known is not None:
        return known
    key, now = engine.Trials.key(request), time.monotonic()
    seen, since = st.session_state.get("plan seen", ("", now))
    if seen != key:
        st.session_state["plan seen"] = (key, now)
        return engine.Pending()
    return trials().ask(request, _asker()) if now - since >= SETTLED_SECONDS else engine.Pending()


def _asker() -> str:
    return st.session_state.setdefault("plan asker", uuid.uuid4().hex)


def _estimate(request: engine.RunRequest, was_pending: bool) -> None:
    services.spare_the_collector()
    answer = _known(request)
    if was_pending and not isinstance(answer, engine.Pending):
        st.rerun()  # Start depends on it
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Estimate", anchor=False, width="content")
        look: dict[str, Any] = {"icon": ":material/refresh:", "type": "tertiary", "key": "estimate again"}
        if not isinstance(answer, engine.Pending) and st.button("Again", help="Run the estimate again.", **look):
            trials().forget(request)
            st.rerun()
    if isinstance(answer, engine.Pending):
        _rows([("timer", "Time …", ""), ("memory", "Memory …", ""), ("hard_drive", "Disk …", "")])
        doing = f"{answer.phase[:1].upper()}{answer.phase[1:]} …" if answer.phase else "Estimating …"
        st.caption(f":material/hourglass_top: {words.escaped(doing)}")
    elif isinstance(answer, engine.Estimate):
        _figures(answer, request)
        if sentence := refused(answer, request):
            st.error(words.escaped(sentence), title="Does not fit this machine", icon=":material/block:")
    elif answer.is_final:
        st.error(words.escaped(answer.sentence), icon=":material/error:")
    else:
        st.warning(words.escaped(answer.sentence), title="No estimate", icon=":material/warning:")


def _figures(found: engine.Estimate, request: engine.RunRequest) -> None:
    bound = "At least" if found.lower_bound else "About"
    more = "More than" if found.is_out_of_memory else bound
    place = "GPU memory" if found.device == "cuda" else "memory"
    rows = []
    if not found.is_out_of_memory:
        rows.append(("timer", f"{bound} {formats.duration(found.seconds)}", ""))
    free = "" if found.is_out_of_memory else f", {formats.num_bytes(found.available_memory)} free"
    rows.append(("memory", f"{more} {formats.num_bytes(found.memory_bytes)}", f"{place}{free}"))
    if found.disk_bytes:
        free = formats.num_bytes(found.available_disk)
        rows.append(("hard_drive", f"About {formats.num_bytes(found.disk_bytes)}", f"disk, {free} free"))
    _rows(rows)
    parts = "" if found.is_out_of_memory else engine.advice.time_parts(found, request)
    st.caption(words.escaped(f"{parts}. {engine.advice.origin(found)}" if parts else engine.advice.origin(found)))


def _rows(rows: list[tuple[str, str, str]]) -> None:
    """One line each: (icon, value, what it is)."""
    lines = (f":material/{icon}: **{words.escaped(value)}** {words.escaped(note)}" for icon, value, note in rows)
    st.markdown("  \n".join(lines))
